from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import InputError, OutputError
from napari_fluorgen.io import find_fields, results
from napari_fluorgen.io.run_record import LOCK_FILE
from napari_fluorgen.workflow import (
    BatchSummary,
    FieldFailed,
    FieldSkipped,
    FieldStarted,
    FieldWritten,
    StainRequest,
    batch_field,
    drain,
    stain_batch,
)

REQUEST = StainRequest.build(model="tiny", device="cpu", precision="float32")


@pytest.fixture
def run(model) -> Callable[..., tuple[BatchSummary, list[Any]]]:
    def run(source: Path | list[Path], folder: Path, request=REQUEST, **options):
        events: list[Any] = []
        found = find_fields(source)
        work = stain_batch(found, request, folder, model=model, **options)
        return drain(work, events.append), events

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_field_of_a_plate_is_written(run, plate, tmp_path) -> None:
    summary, events = run(plate.folder, tmp_path / "out")
    names = results.list_fields(tmp_path / "out")
    assert len(summary.done) == len(names) == 3
    assert summary.skipped == summary.failed == summary.problems == ()
    started = [event for event in events if isinstance(event, FieldStarted)]
    assert [(event.index, event.total) for event in started] == [(0, 3), (1, 3), (2, 3)]
    written = [event for event in events if isinstance(event, FieldWritten)]
    assert [event.identity.name for event in written] == list(summary.done)
    assert all(Path(file).exists() for event in written for file in event.files)
    field = results.read_field(tmp_path / "out", summary.done[0])
    assert field.nuclei_labels.max() == written[0].nuclei
    stem = "Assay_#1_D04_T0001F001L01"
    assert (tmp_path / "out" / f"{stem}A02Z01C02.tif").exists()


def test_results_exist_already_is_said_before_any_work(run, plate, tmp_path) -> None:
    run(plate.files("D04", 1)[-1], tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(OutputError, match=r"--overwrite.*--resume"):
        run(plate.folder, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_overwrite_does_all_again(run, plate, tmp_path) -> None:
    run(plate.folder, tmp_path / "out")
    before = contents(tmp_path / "out")
    summary, _ = run(plate.folder, tmp_path / "out", overwrite=True)
    assert len(summary.done) == 3
    after = contents(tmp_path / "out")
    assert {k: v for k, v in after.items() if k != "run.json"} == {
        k: v for k, v in before.items() if k != "run.json"
    }


def test_resume_does_only_what_is_missing(run, plate, tmp_path) -> None:
    run(plate.files("D04", 2)[-1], tmp_path / "out")
    summary, events = run(plate.folder, tmp_path / "out", resume=True)
    assert len(summary.done) == 2
    assert len(summary.skipped) == 1
    skipped = [event for event in events if isinstance(event, FieldSkipped)]
    assert skipped[0].identity.site == 2
    again, _ = run(plate.folder, tmp_path / "out", resume=True)
    assert len(again.skipped) == 3


def test_resume_does_fields_again_whose_settings_input_or_files_changed(
    run, plate, tmp_path
) -> None:
    out = tmp_path / "out"
    run(plate.folder, out)
    other = StainRequest.build(model="tiny", device="cpu", precision="float32", focus="flipped")
    summary, _ = run(plate.folder, out, other, resume=True)
    assert len(summary.done) == 3
    plane = plate.files("D04", 3)[-1]
    tifffile.imwrite(plane, tifffile.imread(plane) + 1)
    summary, _ = run(plate.folder, out, other, resume=True)
    assert (len(summary.done), len(summary.skipped)) == (1, 2)
    (out / "Assay_#1_D04_T0001F001L01A01Z01C01.tif").write_bytes(b"cut")
    summary, _ = run(plate.folder, out, other, resume=True)
    assert (len(summary.done), len(summary.skipped)) == (1, 2)


def test_a_damaged_field_is_listed_and_the_rest_done(run, plate, tmp_path) -> None:
    plane = next(path for path in plate.files("D04", 2) if path.name.endswith("Z03C04.tif"))
    plane.write_bytes(plane.read_bytes()[:100])
    summary, events = run(plate.folder, tmp_path / "out")
    assert len(summary.done) == 2
    failed = [event for event in events if isinstance(event, FieldFailed)]
    reasons = [event.reason for event in failed] + list(summary.problems)
    assert len(reasons) == 1
    assert "Z03C04" in reasons[0]
    assert len(results.list_fields(tmp_path / "out")) == 2


def test_missing_planes_are_listed_and_the_rest_done(run, plate, tmp_path) -> None:
    next(path for path in plate.files("D04", 1) if path.name.endswith("Z05C04.tif")).unlink()
    summary, _ = run(plate.folder, tmp_path / "out")
    assert len(summary.done) == 2
    assert len(summary.problems) == 1
    assert "D04" in summary.problems[0]


def test_a_fault_in_one_field_does_not_end_the_batch(run, plate, tmp_path, model) -> None:
    found = find_fields(plate.folder)

    def broken():
        raise ZeroDivisionError("by chance")

    fields = (found.fields[0].__class__(found.fields[0].identity, broken), *found.fields[1:])
    work = stain_batch(found.__class__(fields), REQUEST, tmp_path / "out", model=model)
    summary = drain(work)
    assert len(summary.done) == 2
    assert "ZeroDivisionError: by chance" in summary.reasons[summary.failed[0]]


def test_stop_keeps_finished_fields_and_nothing_else(run, plate, tmp_path) -> None:
    out = tmp_path / "out"

    def stop() -> bool:
        return len(results.list_fields(out)) == 1 if out.exists() else False

    summary, _ = run(plate.folder, out, should_stop=stop)
    assert summary.cancelled
    assert len(summary.done) == 1
    assert results.list_fields(out) == list(summary.done)
    assert [path.name for path in out.rglob(".*")] in ([], [LOCK_FILE])
    resumed, _ = run(plate.folder, out, resume=True)
    assert (len(resumed.done), len(resumed.skipped)) == (2, 1)


def test_resuming_a_killed_run_replaces_what_it_left(run, plate, tmp_path) -> None:
    out = tmp_path / "out"
    run(plate.folder, out)
    whole = contents(out)
    record = json.loads((out / "run.json").read_text())
    killed = record["fields"].popitem()[0]
    (out / "run.json").write_text(json.dumps(record))
    next(out.glob(f"{killed}*C03.tif")).unlink()
    resumed, _ = run(plate.folder, out, resume=True)
    assert (resumed.done, len(resumed.skipped)) == ((killed,), 2)
    assert contents(out).keys() == whole.keys()


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
def test_damaged_record_is_said_before_any_work(run, stack_file, tmp_path, options) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text("{")
    with pytest.raises(InputError, match=r"run\.json"):
        run(stack_file, tmp_path / "out", **options)


def test_results_may_lie_beside_the_plate(run, plate) -> None:
    summary, _ = run(plate.folder, plate.folder.parent)
    assert len(summary.done) == 3


def test_nothing_found_is_the_readers_reason(run, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no images"):
        run(tmp_path / "empty", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_output_below_a_file_is_refused(run, stack_file) -> None:
    with pytest.raises(OutputError, match="is a file"):
        run(stack_file, stack_file / "out")


def test_full_disk_is_said_before_the_field_is_stained(
    run, stack_file, tmp_path, monkeypatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(batch_field.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OutputError, match="No disk space"):
        run(stack_file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [{}, {"overwrite": True}, {"resume": True}])
def test_stains_never_take_the_place_of_the_plates_own_images(run, plate, options) -> None:
    before = contents(plate.folder)
    with pytest.raises(OutputError, match="own folder"):
        run(plate.folder, plate.folder, **options)
    assert contents(plate.folder) == before


@pytest.mark.parametrize("format", results.FORMATS)
def test_what_is_in_the_way_is_said_before_the_field_is_stained(
    run, stack_file, tmp_path, format
) -> None:
    foreign = tmp_path / "out" / {"tiff": "field_lipids.tif", "ome-zarr": "field.ome.zarr"}[format]
    foreign.parent.mkdir()
    foreign.write_bytes(b"somebody's")
    summary, events = run(stack_file, foreign.parent, format=format, overwrite=True)
    assert "is no result of 'field'" in summary.reasons["field"]
    assert [type(event) for event in events] == [FieldStarted, FieldFailed]
    assert contents(foreign.parent) == {foreign.name: b"somebody's"}


def test_ome_zarr_results_are_read_back(run, stack_file, tmp_path) -> None:
    summary, _ = run(stack_file, tmp_path / "zarr", format="ome-zarr")
    run(stack_file, tmp_path / "tiff")
    name = summary.done[0]
    one = results.read_field(tmp_path / "zarr", name)
    other = results.read_field(tmp_path / "tiff", name)
    assert np.array_equal(one.nuclei_labels, other.nuclei_labels)
    assert np.array_equal(one.images["lipids"], other.images["lipids"])


@pytest.mark.parametrize("format", results.FORMATS)
def test_results_within_the_input_are_not_stained(run, stack_file, tmp_path, format) -> None:
    data = tmp_path / "data"
    (data / "day 1").mkdir(parents=True)
    stack_file.rename(data / "day 1" / "field.tif")
    assert run(data, data / "out", format=format)[0].done == ("field",)
    summary, _ = run(data, data / "out", format=format, resume=True)
    assert (summary.done, summary.skipped, summary.problems) == ((), ("field",), ())
