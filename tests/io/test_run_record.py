import subprocess
import sys

import pytest
from filelock import FileLock

from napari_fluorgen.errors import OutputError
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


def test_a_record_that_another_program_holds_is_not_waited_for_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(run_record, "_LOCK_SECONDS", 0.1)
    holder = FileLock(tmp_path / run_record.LOCK_FILE)
    with holder, pytest.raises(OutputError, match="held by another program"):
        run_record.update_run(tmp_path, {"a": {}})
    run_record.update_run(tmp_path, {"a": {}})
