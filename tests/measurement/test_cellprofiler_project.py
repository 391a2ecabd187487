"""Exported folders through a program that stands in for CellProfiler and fails as it does."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import Cancelled, ExternalToolError, InputError, OutputError
from napari_fluorgen.measurement import export_cellprofiler, run_cellprofiler
from napari_fluorgen.measurement.cellprofiler_gather import read_table
from napari_fluorgen.measurement.cppipe import insert_before_last, save_masks
from napari_fluorgen.stack import FieldIdentity

SHAPE = (40, 48)


@pytest.fixture
def folder(drawn_field, tmp_path):
    """Five fields with 1, 0, 2, 1 and 1 nuclei; gaps in the labels of the third."""
    nuclei = [((20, 20),), (), ((10, 10), (30, 35)), ((12, 12),), ((9, 30),)]
    fields = [
        drawn_field(name, shape=SHAPE, nuclei=places, site=number)
        for number, (name, places) in enumerate(zip("abcde", nuclei, strict=True), 1)
    ]
    fields[2] = replace(fields[2], nuclei_labels=fields[2].nuclei_labels * 5)
    fields[3] = replace(
        fields[3],
        identity=FieldIdentity("vier µ", plate="00123", well="12E5"),
        channel_files={"nuclei": "A first.tif"},
    )
    return export_cellprofiler(fields, tmp_path / "ünï code" / "export").folder


def rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def left_over(output):
    return sorted(path.name for path in output.iterdir())


@pytest.mark.parametrize("processes", [1, 2, 9])
def test_parts_are_joined_in_order(stand_in, folder, tmp_path, processes):
    told = []
    output = tmp_path / "ünï out"
    result = run_cellprofiler(
        folder, output, processes=processes, progress=lambda *counts: told.append(counts)
    )
    assert told[0] == (0, 5)
    assert told[-1] == (5, 5)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert left_over(output) == [
        "Cells.csv",
        "Cytoplasm.csv",
        "Image.csv",
        "LipidDroplets.csv",
        "Nuclei.csv",
        "SingleCells.csv",
        "cellprofiler.log",
        "cellprofiler_masks",
    ]
    images = rows(result.tables["Image"])
    assert [row["ImageNumber"] for row in images] == ["1", "2", "3", "4", "5"]
    assert [row["Count_Nuclei"] for row in images] == ["1", "0", "2", "1", "1"]
    assert images[3]["Metadata_Plate"] == "plate_00123"
    assert list(images[0])[:2] == ["ImageNumber", "Metadata_Field"]
    nuclei = rows(result.tables["Nuclei"])
    assert [(row["ImageNumber"], row["ObjectNumber"]) for row in nuclei] == [
        ("1", "1"),
        ("3", "1"),
        ("3", "2"),
        ("4", "1"),
        ("5", "1"),
    ]
    assert result.objects == dict.fromkeys(("Nuclei", "Cells", "Cytoplasm", "LipidDroplets"), 5)
    assert result.fields == ("a", "b", "c", "vier µ", "e")
    assert result.notes == ()


def test_confidence_of_the_nuclei_comes_along(stand_in, folder, tmp_path):
    result = run_cellprofiler(folder, tmp_path / "out")
    exported = rows(folder / "nuclei_objects.csv")
    names = set(exported[0]) - {"ImageNumber", "ObjectNumber", "Label"}
    assert any("onfidence" in name for name in names)
    for ours, theirs in zip(exported, rows(result.tables["Nuclei"]), strict=True):
        assert {name: theirs[name] for name in names} == {name: ours[name] for name in names}


def test_single_cells_are_put_side_by_side(stand_in, folder, tmp_path):
    result = run_cellprofiler(folder, tmp_path / "out", processes=2)
    cells = rows(result.tables["SingleCells"])
    assert [(row["Metadata_ImageNumber"], row["Metadata_ObjectNumber"]) for row in cells] == [
        (row["ImageNumber"], row["ObjectNumber"]) for row in rows(result.tables["Nuclei"])
    ]
    assert [row["Metadata_Label"] for row in cells] == ["1", "5", "10", "1", "1"]
    assert cells[3]["Metadata_Plate"] == "plate_00123"
    for name in ("Nuclei", "Cells", "Cytoplasm"):
        table = rows(result.tables[name])
        assert [row[f"{name}_AreaShape_Area"] for row in cells] == [
            row["AreaShape_Area"] for row in table
        ]


def test_masks_are_named_by_field(stand_in, folder, tmp_path):
    result = run_cellprofiler(folder, tmp_path / "out", processes=2)
    assert tuple(result.masks) == result.fields
    path = result.masks["c"]["Cells"]
    assert path.name == "c_Cells.tif"
    np.testing.assert_array_equal(
        tifffile.imread(path), tifffile.imread(folder / "masks" / "c_Nuclei.tif")
    )


def test_a_killed_run_keeps_what_is_finished(stand_in, folder, tmp_path, monkeypatch):
    output = tmp_path / "out"
    monkeypatch.setenv("STAND_IN", "killed")
    with pytest.raises(ExternalToolError, match=r"ended from outside after 0 of 1 images.*9"):
        run_cellprofiler(folder, output, processes=5)
    assert left_over(output) == [".cellprofiler-parts"], "no table stands half-filled"
    finished = {
        path.parent.name: path.stat().st_mtime_ns
        for path in output.glob(".cellprofiler-parts/*/complete")
    }
    assert finished
    monkeypatch.setenv("STAND_IN", "sleeps")
    told = []

    def stop():
        return len(told) > 0 and told[-1][0] == len(finished)

    with pytest.raises(Cancelled):  # only what is not finished is started again
        run_cellprofiler(
            folder, output, processes=5, progress=lambda *c: told.append(c), should_stop=stop
        )
    monkeypatch.delenv("STAND_IN")
    result = run_cellprofiler(folder, output, processes=5)
    assert len(rows(result.tables["Image"])) == 5
    assert ".cellprofiler-parts" not in left_over(output)


def test_finished_work_on_other_images_is_not_taken(stand_in, folder, tmp_path, monkeypatch):
    output = tmp_path / "out"
    monkeypatch.setenv("STAND_IN", "killed")
    with pytest.raises(ExternalToolError):
        run_cellprofiler(folder, output, processes=5)
    monkeypatch.delenv("STAND_IN")
    mask = folder / "masks" / "a_Nuclei.tif"
    labels = tifffile.imread(mask)
    labels[:] = 0
    labels[:2, :2] = 1
    tifffile.imwrite(mask, labels)
    result = run_cellprofiler(folder, output, processes=5)
    assert rows(result.tables["Nuclei"])[0]["AreaShape_Area"] == "4"


def test_nuclei_that_get_lost_are_noticed(stand_in, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN", "forgets")
    with pytest.raises(ExternalToolError, match="counted 0 nuclei in the field a, 1 were"):
        run_cellprofiler(folder, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.csv"))


def test_a_missing_module_is_named(stand_in, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN", "plugin")
    with pytest.raises(ExternalToolError, match="does not have the module VirtualStain"):
        run_cellprofiler(folder, tmp_path / "out")


def test_stopping_ends_all_programs(stand_in, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN", "sleeps")
    output = tmp_path / "out"

    def all_started():
        logs = list(output.glob(".cellprofiler-parts/*/cellprofiler.log"))
        return len(logs) == 2 and all("Image #" in log.read_text() for log in logs)

    with pytest.raises(Cancelled):
        run_cellprofiler(folder, output, processes=2, should_stop=all_started)
    assert left_over(output) == [".cellprofiler-parts"]


def test_missing_and_damaged_files_are_named_before_the_run(stand_in, folder, tmp_path):
    path = next((folder / "images").glob("*F002*C02.tif"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"C02.tif is cut short or damaged"):
        run_cellprofiler(folder, tmp_path / "out")
    path.unlink()
    with pytest.raises(InputError, match=r"C02.tif is missing, .* lists for the field b"):
        run_cellprofiler(folder, tmp_path / "out")
    (folder / "load_data.csv").unlink()
    with pytest.raises(InputError, match=r"no load_data.csv"):
        run_cellprofiler(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_tables_that_stand_are_refused_before_the_run(stand_in, folder, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / "Cells.csv").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        run_cellprofiler(folder, output)
    assert left_over(output) == ["Cells.csv"]
    run_cellprofiler(folder, output, overwrite=True)
    assert rows(output / "Cells.csv")
    masks = output / "cellprofiler_masks"
    masks.mkdir(exist_ok=True)
    (masks / "by_hand.tif").write_text("mine")
    with pytest.raises(OutputError, match=r"the first is by_hand\.tif"):
        run_cellprofiler(folder, output, overwrite=True)
    assert (masks / "by_hand.tif").read_text() == "mine"


def test_without_cellprofiler_it_says_how_to_get_it(no_cellprofiler, folder, tmp_path):
    with pytest.raises(ExternalToolError, match="`fluorgen cellprofiler install`"):
        run_cellprofiler(folder, tmp_path / "out")


def test_a_pipeline_of_ones_own(stand_in, folder, tmp_path):
    own = tmp_path / "own.cppipe"
    shutil.copy(folder / "fluorgen.cppipe", own)
    result = run_cellprofiler(folder, tmp_path / "out", pipeline=own)
    assert result.masks == {}
    assert len(rows(result.tables["Image"])) == 5
    own.write_text("CellProfiler Pipeline: x\n\nImages:[module_num:1|]\n")
    with pytest.raises(InputError, match="does not begin with LoadData"):
        run_cellprofiler(folder, tmp_path / "other", pipeline=own)


def test_modules_are_put_before_the_last(folder):
    text = (folder / "fluorgen.cppipe").read_text()
    longer = insert_before_last(text, save_masks("Cells", "Hoechst", "masks"))
    before = [line for line in text.splitlines() if "module_num:" in line]
    after = [line for line in longer.splitlines() if "module_num:" in line]
    assert f"ModuleCount:{len(after)}\n" in longer
    assert [line.split(":")[0] for line in after] == [
        *(line.split(":")[0] for line in before[:-1]),
        "ConvertObjectsToImage",
        "SaveImages",
        "ExportToSpreadsheet",
    ]
    assert [f"[module_num:{n}|" in line for n, line in enumerate(after, 1)] == [True] * len(after)


def test_tables_are_read_as_numbers(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("ObjectNumber,Area,Empty,Well\n1,2.5,,B02\n2,nan,3,B03\n")
    table = read_table(path)
    np.testing.assert_array_equal(table["Area"], [2.5, np.nan])
    np.testing.assert_array_equal(table["Empty"], [np.nan, 3])
    assert table["Well"].tolist() == ["B02", "B03"]
    path.write_text("ObjectNumber,Area\n")
    assert read_table(path)["Area"].shape == (0,)
