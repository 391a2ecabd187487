import json
import subprocess
import sys

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_fluorgen.errors import InputError, OutputError
from napari_fluorgen.io import run_record

WRITER = """
import sys
from napari_fluorgen.io import run_record
folder, name = sys.argv[1:]
input()  # until all have started
for number in range(15):
    run_record.update_run(folder, {f"{name}{number}": {"format": "tiff"}})
"""


def test_programs_that_write_at_once_lose_no_record(tmp_path):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [
        subprocess.Popen([*command, name], stdin=subprocess.PIPE, text=True) for name in "abc"
    ]
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert len(run_record.read_run(tmp_path)) == 45


TEXTS = st.text('\n\r\u2028\\ "{}[]:,aé1\udce9', max_size=6)
RECORDS = st.dictionaries(TEXTS, st.dictionaries(TEXTS, TEXTS | st.lists(TEXTS)), max_size=4)


@given(first=RECORDS, second=RECORDS, removed=TEXTS)
@settings(suppress_health_check=list(HealthCheck), max_examples=50, deadline=None)
def test_records_are_merged_whatever_their_names_and_texts(tmp_path, first, second, removed):
    path = tmp_path / "run.json"
    path.unlink(missing_ok=True)
    for records in (first, second, {removed: None}):
        run_record.update_run(tmp_path, records)
    expected = {name: record for name, record in (first | second).items() if name != removed}
    assert run_record.read_run(tmp_path) == expected
    assert json.loads(path.read_text(encoding="utf-8")) == {"fields": expected}
    for name in {*first, *second, removed}:
        assert run_record.read_record(tmp_path, name) == expected.get(name, {})


def test_names_of_files_that_are_no_utf_8_are_recorded(tmp_path):
    name = b"caf\xe9 \xb5m".decode("utf-8", "surrogateescape")
    run_record.update_run(tmp_path, {name: {"input": {"source": f"/data/{name}.tif"}}, "é": {}})
    record = {"input": {"source": f"/data/{name}.tif"}}
    assert run_record.read_record(tmp_path, name) == record
    assert json.loads((tmp_path / "run.json").read_bytes().decode())["fields"][name] == record
    run_record.update_run(tmp_path, {name: None})
    assert run_record.read_run(tmp_path) == {"é": {}}


def test_other_fields_are_copied_not_parsed(tmp_path, monkeypatch):
    run_record.update_run(tmp_path, {"A01": {"nuclei": [1, 2]}, "A02": {}})
    parsed = []
    monkeypatch.setattr(run_record.json, "loads", lambda text: parsed.append(text))
    run_record.update_run(tmp_path, {"A03": {}})
    assert run_record.read_record(tmp_path, "A01") == {"nuclei": [1, 2]}
    assert not parsed


def test_a_record_in_another_layout_is_understood(tmp_path):
    fields = {"A01": {"format": "tiff"}, "A02": {"messages": ['\n "A03": {']}}
    (tmp_path / "run.json").write_text(json.dumps({"fields": fields}, indent=1))
    assert run_record.read_record(tmp_path, "A02") == fields["A02"]
    run_record.update_run(tmp_path, {"A03": {}})
    assert run_record.read_run(tmp_path) == fields | {"A03": {}}


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"fields": []}', '{\n"fields": {\n "A01": }}\n', "\xff"]
)
def test_a_damaged_record_is_one_sentence(tmp_path, text):
    (tmp_path / "run.json").write_text(text, encoding="latin-1")
    for read in (run_record.read_run, lambda folder: run_record.read_record(folder, "A01")):
        with pytest.raises(InputError, match=r"run\.json cannot be read"):
            read(tmp_path)


def test_a_record_that_another_program_holds_is_not_waited_for_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(run_record, "_LOCK_SECONDS", 0.1)
    holder = FileLock(tmp_path / run_record.LOCK_FILE)
    with holder, pytest.raises(OutputError, match="held by another program"):
        run_record.update_run(tmp_path, {"a": {}})
    run_record.update_run(tmp_path, {"a": {}})


def test_a_record_is_read_again_only_when_it_was_written_again(tmp_path):
    path = run_record.update_run(tmp_path, {"a": {"format": "tiff"}})
    text = run_record._text(path)
    assert run_record._text(path) is text
    run_record.update_run(tmp_path, {"a": {"format": "zarr"}})
    assert run_record.read_record(tmp_path, "a") == {"format": "zarr"}
    path.unlink()
    assert run_record.read_record(tmp_path, "a") == {}


def test_fields_are_ordered_also_by_digits_that_are_no_numbers(tmp_path):
    run_record.update_run(tmp_path, {name: {} for name in ("dose10", "dose10²", "dose9")})
    assert list(run_record.read_run(tmp_path)) == ["dose9", "dose10", "dose10²"]
