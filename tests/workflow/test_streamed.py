from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_fluorgen.confidence import Calibration
from napari_fluorgen.errors import Cancelled, OutputError
from napari_fluorgen.io import read_field, read_stack, results, write_field
from napari_fluorgen.segmentation import windows as windows_module
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity, StainedField
from napari_fluorgen.staining import Notice, TileDone
from napari_fluorgen.staining.journal import Journal
from napari_fluorgen.workflow import StainRequest, drain, stain_field
from napari_fluorgen.workflow.streamed import NucleiRows, stream_field, unfinished_folder

SETTINGS = {"model": "tiny", "device": "cpu", "precision": "float32", "tile_px": 128}
REQUEST = StainRequest.build(**SETTINGS)
MAPS = ["probability", "p-nucleus", "p-background"]
cut_into = windows_module.windows
Z_UM = (-6, -4, -2, 0, 2, 4, 6)


@pytest.fixture
def stack(field_of) -> BrightfieldStack:
    return BrightfieldStack(field_of(3, (250, 330)), FieldIdentity("wide"), (0.325, 0.325), Z_UM)


@pytest.fixture
def stream(model, tmp_path):
    def stream(stack, folder="out", request=REQUEST, **options):
        events = []
        run = stream_field(stack, request, tmp_path / folder, model=model, **options)
        field, _ = drain(run, events.append)
        return field, events

    return stream


def arrays_of(field: StainedField) -> dict[str, np.ndarray]:
    return {
        **{name: np.asarray(image) for name, image in field.images.items()},
        **{f"p-{name}": np.asarray(image) for name, image in field.p_values.items()},
        "probability": np.asarray(field.nuclei_probability),
        "labels": np.asarray(field.nuclei_labels).astype(np.uint32),
    }


def assert_same(found: StainedField, expected: StainedField) -> None:
    mine, theirs = arrays_of(found), arrays_of(expected)
    assert mine.keys() == theirs.keys()
    for name, array in theirs.items():
        assert mine[name].dtype == array.dtype, name
        np.testing.assert_array_equal(mine[name], array, err_msg=name)
    assert found.nuclei.keys() == expected.nuclei.keys()
    for name, column in expected.nuclei.items():
        np.testing.assert_array_equal(found.nuclei[name], column, err_msg=name)


def keep_tiles(done: list[TileDone]):
    return lambda event: done.extend([event] if isinstance(event, TileDone) else [])


def reading_order(labels: np.ndarray) -> np.ndarray:
    """Old numbers of the nuclei, by the first pixel of each in reading order."""
    numbers, first = np.unique(labels, return_index=True)
    return numbers[numbers > 0][np.argsort(first[numbers > 0])]


def test_streamed_equals_held(stack, stream, model, tmp_path) -> None:
    held = drain(stain_field(stack, REQUEST, model=model))
    write_field(held, tmp_path / "held", format="ome-zarr")
    field, events = stream(stack)
    assert sum(isinstance(event, TileDone) for event in events) > 4
    np.testing.assert_array_equal(field.nuclei_labels[:, :], held.nuclei_labels)
    for found in (read_field(tmp_path / "out", "wide"), field):
        mine, theirs = arrays_of(found), arrays_of(read_field(tmp_path / "held", "wide"))
        for name in theirs:
            np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)
    assert len(field.nuclei["label"]) == len(held.nuclei["label"]) > 20
    assert field.provenance["input"] == held.provenance["input"]
    assert field.provenance["confidence"] == held.provenance["confidence"]
    assert field.verdict == held.verdict


def test_resampled_streamed_equals_held(stack, stream, model) -> None:
    other = StainRequest.build(**SETTINGS, pixel_size_um=0.5)
    held = drain(stain_field(stack, other, model=model))
    field, _ = stream(stack, request=other)
    for name, image in held.images.items():
        np.testing.assert_array_equal(np.asarray(field.images[name]), image)
    np.testing.assert_array_equal(field.nuclei_labels[:, :], held.nuclei_labels)


def nuclei_of(probability, model, folder, monkeypatch, **cut):
    """Labels and table of the nuclei of a probability map, window by window."""
    from napari_fluorgen.io.omezarr_write import FieldWriter

    writer = FieldWriter(folder / "a", probability.shape, ["nuclei"], MAPS)
    writer.channel("probability")[:, :] = probability
    calibration = Calibration.from_arrays(model.calibration)
    rows = NucleiRows(writer, folder / "b", calibration, REQUEST)
    with monkeypatch.context() as patch:
        patch.setattr(windows_module, "windows", lambda shape: cut_into(shape, **cut))
        rows.find(model, (0.325, 0.325), lambda: None)
    table = rows.number(lambda: None)
    maps = [writer.channel(name)[:, :] for name in MAPS]
    return labels_on_disk(folder / "a"), table, maps, rows.histogram


def labels_on_disk(path: Path) -> np.ndarray:
    import zarr

    return zarr.open_group(path, mode="r")["labels/nuclei/0"][...]


def blobs(shape, number, radius, seed=0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    total = np.zeros(shape)
    for _ in range(number):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        total += np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * radius**2))
    return np.clip(total, 0, 1).astype(np.float32)


def test_windows_find_the_nuclei_of_the_whole_field(model, tmp_path, monkeypatch) -> None:
    probability = blobs((400, 500), 90, 6)
    whole = nuclei_of(probability, model, tmp_path / "whole", monkeypatch)
    cut = nuclei_of(probability, model, tmp_path / "cut", monkeypatch, core=96, halo=128, whole=0)
    order = reading_order(whole[0])
    assert len(order) > 40
    new = np.zeros(len(order) + 1, np.uint32)
    new[order] = np.arange(1, len(order) + 1)
    np.testing.assert_array_equal(cut[0], new[whole[0]])
    np.testing.assert_array_equal(cut[1]["label"], np.arange(1, len(order) + 1))
    for name in ("probability_mean", "confidence", "decision"):
        np.testing.assert_array_equal(cut[1][name], whole[1][name][order - 1])
    for mine, theirs in zip(cut[2], whole[2], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_allclose(cut[3], whole[3], rtol=0, atol=1e-6)


def test_no_nucleus_of_a_clump_larger_than_the_halo_is_lost(model, tmp_path, monkeypatch) -> None:
    probability = blobs((300, 400), 250, 5)
    whole = nuclei_of(probability, model, tmp_path / "whole", monkeypatch)
    cut = nuclei_of(probability, model, tmp_path / "cut", monkeypatch, core=96, halo=24, whole=0)
    assert np.mean((cut[0] != 0) == (whole[0] != 0)) > 0.999
    assert list(np.unique(cut[0])) == list(range(len(cut[1]["label"]) + 1))
    assert abs(len(cut[1]["label"]) - len(whole[1]["label"])) <= 2


@pytest.mark.parametrize("after", [1, 4, 5, 9])
def test_a_stopped_run_goes_on_where_it_stood(stack, stream, model, tmp_path, after) -> None:
    whole, events = stream(stack, "whole")
    total = sum(isinstance(event, TileDone) for event in events)
    done: list[TileDone] = []

    def stop_then() -> bool:
        return len(done) >= after

    run = stream_field(stack, REQUEST, tmp_path / "out", model=model, should_stop=stop_then)
    with pytest.raises(Cancelled, match=f"{after} finished tiles are kept"):
        drain(run, keep_tiles(done))
    assert len(done) == after
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".wide.unfinished"]

    field, events = stream(stack, resume=True)
    again = [event for event in events if isinstance(event, TileDone)]
    assert [event.done for event in again] == list(range(after + 1, total + 1))
    notes = [event.message for event in events if isinstance(event, Notice)]
    assert notes == [f"The run goes on after {after} of {total} tiles."]
    assert_same(field, whole)
    assert not unfinished_folder(tmp_path / "out", stack).exists()


@pytest.mark.parametrize("change", ["input", "request", "not asked"])
def test_a_stopped_run_of_something_else_is_begun_again(
    stack, stream, model, field_of, tmp_path, change
) -> None:
    done: list[TileDone] = []
    run = stream_field(
        stack, REQUEST, tmp_path / "out", model=model, should_stop=lambda: len(done) >= 3
    )
    with pytest.raises(Cancelled):
        drain(run, keep_tiles(done))
    request = REQUEST
    if change == "input":
        stack = BrightfieldStack(
            field_of(4, (250, 330)), FieldIdentity("wide"), (0.325, 0.325), Z_UM
        )
    if change == "request":
        request = StainRequest.build(**SETTINGS, focus="flipped")
    expected, _ = stream(stack, "whole", request)
    field, events = stream(stack, "out", request, resume=change != "not asked")
    assert next(event.done for event in events if isinstance(event, TileDone)) == 1
    assert_same(field, expected)


def test_stopped_after_the_tiles(stack, stream, model, tmp_path) -> None:
    stages: list[str] = []
    run = stream_field(
        stack, REQUEST, tmp_path / "out", model=model, should_stop=lambda: "segmentation" in stages
    )
    with pytest.raises(Cancelled, match="tiles are kept"):
        drain(run, lambda event: stages.append(getattr(event, "name", "")))
    field, events = stream(stack, resume=True)
    assert not any(isinstance(event, TileDone) for event in events)
    assert_same(field, stream(stack, "whole")[0])


def test_a_run_that_was_killed_while_it_wrote_a_tile_goes_on(
    stack, stream, model, tmp_path, monkeypatch
) -> None:
    whole, _ = stream(stack, "whole")
    record = Journal.record

    def killed(self, number, waiting):
        if number == 5:
            raise KeyboardInterrupt  # the pixels of tile 5 are written, its note is not
        record(self, number, waiting)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "record", killed)
        with pytest.raises(KeyboardInterrupt):
            stream(stack)
    field, events = stream(stack, resume=True)
    assert next(event.done for event in events if isinstance(event, TileDone)) == 6
    assert_same(field, whole)


@pytest.mark.parametrize("before", [False, True], ids=["first field", "later field"])
def test_a_run_whose_record_could_not_be_written_goes_on(
    stack, stream, model, tmp_path, monkeypatch, before
) -> None:
    whole, _ = stream(stack, "whole")
    if before:
        stream(replace(stack, identity=FieldIdentity("other")))

    def busy(*_):
        raise OutputError("run.json was held by another program.")

    with monkeypatch.context() as patch:
        patch.setattr(results, "update_run", busy)
        with pytest.raises(OutputError, match="held"):
            stream(stack)
    assert not list((tmp_path / "out").glob("wide*"))
    field, events = stream(stack, resume=True)
    assert not any(isinstance(event, TileDone) for event in events)
    assert_same(field, whole)


def test_a_journal_without_its_pixels_counts_for_nothing(stack, stream, model, tmp_path) -> None:
    done: list[TileDone] = []
    stopping = stream_field(
        stack, REQUEST, tmp_path / "out", model=model, should_stop=lambda: len(done) > 2
    )
    with pytest.raises(Cancelled):
        drain(stopping, keep_tiles(done))
    shutil.rmtree(unfinished_folder(tmp_path / "out", stack) / "field.ome.zarr")
    field, events = stream(stack, resume=True)
    assert next(event.done for event in events if isinstance(event, TileDone)) == 1
    assert_same(field, stream(stack, "whole")[0])


def test_stopped_while_the_input_is_read(stack, model, tmp_path) -> None:
    events: list[object] = []
    for asked in (1, 2, 8):  # before the digest, within it, within the background
        answers = iter([*[False] * (asked - 1), *[True] * 99])
        run = stream_field(
            stack, REQUEST, tmp_path, model=model, should_stop=lambda a=answers: next(a)
        )
        with pytest.raises(Cancelled):
            drain(run, events.append)
    assert not events


def test_stack_on_disk_is_read_in_parts(stack, stream, model, tmp_path) -> None:
    zarr = pytest.importorskip("zarr")
    path: Path = tmp_path / "input.ome.zarr"
    root = zarr.create_group(path, zarr_format=3)
    root.create_array("0", data=stack.data, chunks=(1, 64, 64))
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    scale = [{"type": "scale", "scale": [2.0, 0.325, 0.325]}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    root.attrs["ome"] = {"version": "0.5", "multiscales": [image]}
    read = read_stack(path)
    expected, _ = stream(stack, "whole")
    field, _ = stream(read)
    np.testing.assert_array_equal(
        np.asarray(field.images["lipids"]), np.asarray(expected.images["lipids"])
    )
    np.testing.assert_array_equal(
        np.asarray(field.nuclei_labels), np.asarray(expected.nuclei_labels)
    )
