"""Overwriting a result replaces what staining wrote for that field, and nothing else."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import OutputError
from napari_fluorgen.io import results, run_record

from .test_results import make_field, make_table

TRUE_STAIN = np.random.default_rng(0).integers(0, 4000, (30, 41)).astype(np.uint16)


@pytest.mark.parametrize("name", ["stack_nuclei.tif", "labels/stack_nuclei.tif"])
@pytest.mark.parametrize("recorded", [False, True])
def test_a_true_stain_of_the_same_name_stays(tmp_path, name, recorded):
    if recorded:  # of another field: the folder is one of results
        results.write_field(make_field("other"), tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    tifffile.imwrite(tmp_path / name, TRUE_STAIN, imagej=True)
    before = (tmp_path / name).read_bytes()
    with pytest.raises(OutputError, match=rf"{name} exists already and is no result of 'stack'"):
        results.write_field(make_field(), tmp_path, overwrite=True)
    assert (tmp_path / name).read_bytes() == before
    assert results.list_fields(tmp_path) == ["other"] * recorded


def test_a_table_of_somebody_else_stays(tmp_path):
    table = tmp_path / "confidence" / "stack_nuclei.csv"
    table.parent.mkdir()
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["label", "area"], [1, 20]])
    with pytest.raises(OutputError, match="is no result of 'stack'"):
        results.write_field(make_field(nuclei=make_table()), tmp_path, overwrite=True)
    assert table.read_text().startswith("label,area")


@pytest.mark.parametrize("format", results.FORMATS)
def test_what_a_killed_run_left_is_replaced(tmp_path, format):
    files = results.write_field(make_field(nuclei=make_table()), tmp_path, format=format)
    run_record.update_run(tmp_path, {"stack": None})
    results.write_field(make_field(nuclei=make_table()), tmp_path, format=format, overwrite=True)
    assert all(file.exists() for file in files)
    assert results.list_fields(tmp_path) == ["stack"]


def test_what_the_record_names_is_replaced_whatever_it_is_now(tmp_path):
    results.write_field(make_field(), tmp_path)
    tifffile.imwrite(tmp_path / "labels/stack_nuclei.tif", TRUE_STAIN)
    results.write_field(make_field(), tmp_path, overwrite=True)
    assert results.read_field(tmp_path, "stack").nuclei_labels.max() == 3


def test_files_of_another_field_are_not_replaced(tmp_path):
    results.write_field(make_field("a:b"), tmp_path)
    with pytest.raises(OutputError, match="is of the result of 'a:b' and is not replaced"):
        results.write_field(make_field("a_b"), tmp_path, overwrite=True)
    assert results.list_fields(tmp_path) == ["a:b"]


def test_a_disk_that_does_not_tell_capitals_keeps_the_other_result(tmp_path):
    files = results.write_field(make_field("A"), tmp_path)
    for file in files:  # as macOS and Windows see them
        file.with_name("a" + file.name[1:]).hardlink_to(file)
    with pytest.raises(OutputError, match="is of the result of 'A' and is not replaced"):
        results.write_field(make_field("a"), tmp_path, overwrite=True)
    other = tmp_path / "other"
    for name in ("A", "a"):
        results.write_field(make_field(name), other)
    results.write_field(make_field("a"), other, overwrite=True)
    assert results.list_fields(other) == ["A", "a"]


def test_labels_that_somebody_drew_into_an_ome_zarr_stay(tmp_path):
    (path,) = results.write_field(make_field(), tmp_path, format="ome-zarr")
    (path / ".DS_Store").write_text("left by looking")
    results.write_field(make_field(), tmp_path, format="ome-zarr", overwrite=True)
    drawn = path / "labels" / "by-hand"
    drawn.mkdir()
    (drawn / "zarr.json").write_text(json.dumps({"node_type": "group"}))
    with pytest.raises(OutputError, match="holds labels/by-hand, which staining did not write"):
        results.write_field(make_field(), tmp_path, format="ome-zarr", overwrite=True)
    assert (drawn / "zarr.json").is_file()
    assert results.list_fields(tmp_path) == ["stack"]
