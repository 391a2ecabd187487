"""What one field does wrong stays with that field; what stops all of them is said at once."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import tifffile

from napari_fluorgen.errors import OutputError, StorageError
from napari_fluorgen.io import find_fields, results
from napari_fluorgen.workflow import FieldFailed, FieldWritten, StainRequest, drain, stain_batch
from napari_fluorgen.workflow.measuring import export_folder, measure_folder

REQUEST = StainRequest.build(model="tiny", device="cpu", precision="float32")


@pytest.fixture
def run(model):
    def run(source: Path | list[Path], folder: Path, request=REQUEST, **options):
        events: list[Any] = []
        work = stain_batch(find_fields(source), request, folder, model=model, **options)
        try:
            return drain(work, events.append), events
        except OutputError as error:
            return error, events

    return run


def copy_of(stack_file: Path, path: Path, add: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, tifffile.imread(stack_file) + add, photometric="minisblack")
    return path


def test_a_file_in_the_way_of_one_field_leaves_the_others(run, stack_file, tmp_path) -> None:
    sources = [copy_of(stack_file, tmp_path / "in" / f"{name}.tif") for name in "abc"]
    out = tmp_path / "out"
    out.mkdir()
    (out / "b_lipids.tif").write_text("mine")
    summary, events = run(sources, out)
    assert (summary.done, summary.failed) == (("a", "c"), ("b",))
    assert "b_lipids.tif exists already" in summary.reasons["b"]
    assert [event.identity.name for event in events if isinstance(event, FieldFailed)] == ["b"]
    assert results.list_fields(out) == ["a", "c"]


def test_a_name_too_long_for_its_results_leaves_the_others(run, stack_file, tmp_path) -> None:
    name = "n" * 245
    sources = [copy_of(stack_file, tmp_path / "in" / f"{one}.tif") for one in (name, "z")]
    summary, _ = run(sources, tmp_path / "out")
    assert (summary.done, summary.failed) == (("z",), (name,))
    assert "name is too long" in summary.reasons[name]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_that_make_the_same_files_are_numbered(run, stack_file, tmp_path) -> None:
    sources = [copy_of(stack_file, tmp_path / "in" / f"{name}.tif") for name in ("a:b", "a_b")]
    summary, events = run(sources, tmp_path / "out", overwrite=True)
    assert summary.done == ("a:b", "a_b_2")
    files = [Path(file).name for event in events if isinstance(event, FieldWritten)
             for file in event.files]  # fmt: skip
    assert {"a_b_nuclei.tif", "a_b_2_nuclei.tif"} <= set(files)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_ends_the_batch(run, plate, tmp_path, monkeypatch, code) -> None:
    write, written = results.write_tiff, []

    def full(path, image, size):
        if len(written) == 10:  # in the second field
            raise OSError(code, os.strerror(code))
        written.append(path)
        write(path, image, size)

    monkeypatch.setattr(results, "write_tiff", full)
    error, events = run(plate.folder, tmp_path / "out")
    assert isinstance(error, StorageError)
    done = [event.identity.name for event in events if isinstance(event, FieldWritten)]
    assert len(done) == 1
    assert results.list_fields(tmp_path / "out") == done


def test_resuming_never_replaces_the_result_of_another_input(run, stack_file, tmp_path) -> None:
    out = tmp_path / "out"
    first = copy_of(stack_file, tmp_path / "a" / "f.tif")
    other = copy_of(stack_file, tmp_path / "b" / "f.tif", add=1)
    run(first, out)
    before = (out / "f_nuclei.tif").read_bytes()
    summary, _ = run(other, out, resume=True)
    assert summary.failed == ("f",)
    assert f"belongs to another input, {first}," in summary.reasons["f"]
    assert (out / "f_nuclei.tif").read_bytes() == before
    changed = StainRequest.build(model="tiny", device="cpu", precision="float32", focus="flipped")
    assert run(other, out, changed, resume=True)[0].failed == ("f",)
    assert run(first, out, changed, resume=True)[0].done == ("f",)
    assert run(other, out, overwrite=True)[0].done == ("f",)


def test_resuming_knows_an_input_that_was_moved(run, stack_file, tmp_path) -> None:
    out = tmp_path / "out"
    run(copy_of(stack_file, tmp_path / "a" / "f.tif"), out)
    shutil.move(tmp_path / "a", tmp_path / "b")
    assert run(tmp_path / "b" / "f.tif", out, resume=True)[0].skipped == ("f",)


def test_inputs_are_told_apart_in_other_working_directories(
    run, stack_file, tmp_path, monkeypatch
) -> None:
    out = tmp_path / "out"
    for folder, add in (("a", 0), ("b", 1)):
        copy_of(stack_file, tmp_path / folder / "f.tif", add)
    monkeypatch.chdir(tmp_path / "a")
    run(Path("f.tif"), out)
    monkeypatch.chdir(tmp_path / "b")
    assert run(Path("f.tif"), out, resume=True)[0].failed == ("f",)


@pytest.mark.parametrize("format", results.FORMATS)
def test_a_file_name_that_is_no_utf_8_is_stained(run, stack_file, tmp_path, format) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    try:
        source = copy_of(stack_file, tmp_path / "in" / f"{name}.tif")
    except (OSError, UnicodeError):
        pytest.skip("this disk takes UTF-8 names alone")
    summary, _ = run(source, tmp_path / "out", format=format)
    assert (summary.done, dict(summary.reasons)) == (("café",), {})
    assert results.read_field(tmp_path / "out", "café").identity.name == "café"
    assert run(source, tmp_path / "out", format=format, resume=True)[0].skipped == ("café",)
    assert measure_folder(tmp_path / "out", tmp_path / "tables", database=True).fields == ("café",)
    assert export_folder(tmp_path / "out", tmp_path / "project").n_fields == 1
