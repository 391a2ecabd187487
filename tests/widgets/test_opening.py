from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import FluorgenError, InputError
from napari_fluorgen.widgets import opening
from napari_fluorgen.widgets.presenters.layers import record_of

from .conftest import write_labels


def test_the_only_plate_of_a_folder_is_opened(plate_folder):
    opened = opening.open_path(plate_folder.parent)
    assert opened.plate is not None
    assert opened.plate.wells == ("B03", "D04")
    assert any("D04" in problem for problem in opened.problems)


def test_of_several_plates_one_has_to_be_chosen(plate_folder):
    shutil.copytree(plate_folder, plate_folder.parent / "second")
    with pytest.raises(InputError, match="2 plates"):
        opening.open_path(plate_folder.parent)


def test_a_file_is_one_stack_in_memory(tmp_path):
    planes = np.arange(7 * 8 * 9, dtype=np.uint16).reshape(7, 8, 9)
    tifffile.imwrite(tmp_path / "s.tif", planes)
    opened = opening.open_path(tmp_path / "s.tif")
    assert isinstance(opened.stack.data, np.ndarray)
    np.testing.assert_array_equal(opened.stack.data, planes)


def test_large_stacks_stay_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "RESIDENT_BYTES", 10)
    planes = np.arange(7 * 8 * 9, dtype=np.uint16).reshape(7, 8, 9)
    tifffile.imwrite(tmp_path / "s.tif", planes)
    data = opening.open_path(tmp_path / "s.tif").stack.data
    assert not isinstance(data, np.ndarray)
    assert data.shape == (7, 8, 9)
    np.testing.assert_array_equal(np.asarray(data[3]), planes[3])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int32])
def test_true_nuclei_of_a_plate_are_read_as_they_were_stored(plate_folder, dtype):
    labels = np.arange(96 * 128).reshape(96, 128).astype(dtype)
    write_labels(plate_folder, "B03", 1, labels)
    first, second = opening.open_path(plate_folder).plate.entries("B03")
    read = opening.read_entry(first).truth["labels"]
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, labels)
    assert "labels" not in opening.read_entry(second).truth


@pytest.mark.parametrize(
    "labels",
    [np.ones((50, 128), np.uint8), np.ones((96, 128), np.float32), np.ones((2, 96, 128), np.uint8)],
)
def test_true_nuclei_that_cannot_be_used_are_left_out(plate_folder, labels):
    path = write_labels(plate_folder, "B03", 1, labels)
    stack = opening.read_entry(opening.open_path(plate_folder).plate.entries("B03")[0])
    assert set(stack.truth) == {"nuclei", "lipids", "cytoplasm"}
    assert stack.notes[-1].startswith("The outlines of true nuclei are left out: ")
    assert str(path) in stack.notes[-1]


@pytest.mark.parametrize("name", ["missing.tif", "missing"])
def test_what_is_not_there_is_one_sentence(tmp_path, name):
    with pytest.raises(FluorgenError) as caught:
        opening.open_path(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_damaged_results_are_listed_and_the_rest_read(result, tmp_path):
    from dataclasses import replace

    from napari_fluorgen.io.results import write_field
    from napari_fluorgen.stack import FieldIdentity

    for name in ("a", "b"):
        write_field(replace(result, identity=FieldIdentity(name), channel_files={}), tmp_path)
    next(tmp_path.glob("a_lipids.tif")).write_bytes(b"broken")
    opened = opening.open_path(tmp_path)
    assert opened.results == ("a", "b")
    assert record_of(opened.layers[0].kwargs["metadata"])["identity"].name == "b"
    assert "a" in opened.problems[0]


def test_a_record_of_another_program_is_no_result(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((7, 8, 9), np.uint16))
    (tmp_path / "run.json").write_text('{"learning_rate": 0.1}')
    assert opening.result_names(tmp_path) == ()
    assert opening.open_path(tmp_path).stack is not None
