from __future__ import annotations

import csv

import numpy as np
import pytest

from napari_fluorgen.errors import InputError, OutputError
from napari_fluorgen.io.own_files import list_files
from napari_fluorgen.measurement import export_cellprofiler, measure_field, write_tables
from napari_fluorgen.measurement.writing import CsvTable


def _rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_fields_are_numbered_and_values_come_back_exactly(drawn_field, tmp_path):
    first = measure_field(drawn_field("a"))
    second = measure_field(drawn_field("b", site=2, seed=1))
    paths = write_tables(iter([first, second]), tmp_path / "tables")
    assert [path.name for path in paths] == [
        "Image.csv",
        "Nuclei.csv",
        "Cells.csv",
        "Cytoplasm.csv",
        "LipidDroplets.csv",
        "SingleCells.csv",
    ]
    rows = _rows(paths[1])
    assert [row["ImageNumber"] for row in rows] == ["1"] * 5 + ["2"] * 5
    written = [float(row["Intensity_StdIntensity_Bodipy"]) for row in rows[5:]]
    np.testing.assert_array_equal(written, second.tables["Nuclei"]["Intensity_StdIntensity_Bodipy"])
    assert list(rows[0])[:2] == ["ImageNumber", "ObjectNumber"]
    assert not paths[0].read_bytes().startswith(b"\xef\xbb\xbf")


def test_fields_with_and_without_confidence_share_a_table(drawn_field, tmp_path):
    fields = [drawn_field("a", confidence=False), drawn_field("b")]
    paths = write_tables([measure_field(field, objects=("nuclei",)) for field in fields], tmp_path)
    rows = _rows(paths[1])
    assert [row["Confidence_Decision"] for row in rows] == [""] * 5 + ["accept"] * 5


def test_two_fields_have_two_names(drawn_field, tmp_path):
    fields = [drawn_field("1"), drawn_field("field_1", seed=1)]
    with pytest.raises(InputError, match=r"'1' and 'field_1' would both be called 'field_1'"):
        write_tables(map(measure_field, fields), tmp_path / "tables")
    with pytest.raises(InputError, match="would both be called"):
        export_cellprofiler(fields, tmp_path / "project")
    assert not list(tmp_path.glob("*/*"))


def test_nothing_is_overwritten_unless_asked(drawn_field, tmp_path):
    measured = measure_field(drawn_field(), objects=("nuclei",))
    (tmp_path / "Nuclei.csv").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        write_tables(measured, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["Nuclei.csv"]
    assert (tmp_path / "Nuclei.csv").read_text() == "mine"
    write_tables(measured, tmp_path, overwrite=True)
    assert len(_rows(tmp_path / "Nuclei.csv")) == 5


def test_what_an_earlier_run_left_does_not_stay_beside_newer_tables(drawn_field, tmp_path):
    measured = measure_field(drawn_field())
    write_tables(measured, tmp_path, database=True)
    masks = tmp_path / "cellprofiler_masks"
    masks.mkdir()
    (masks / "a_Cells.tif").write_text("mask")
    list_files(masks)
    (tmp_path / "mine.properties").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        write_tables(measured, tmp_path)
    assert masks.is_dir()
    nuclei = measure_field(drawn_field(), objects=("nuclei",))
    write_tables(nuclei, tmp_path, overwrite=True, database=True)
    assert not masks.exists()
    assert (tmp_path / "fluorgen.db").is_file()
    left = sorted(path.name for path in tmp_path.glob("*.properties"))
    assert left == ["fluorgen_Nuclei.properties", "mine.properties"]
    write_tables(nuclei, tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.glob("*.properties")] == ["mine.properties"]
    assert not (tmp_path / "fluorgen.db").exists()


def test_masks_of_somebody_else_stay(drawn_field, tmp_path):
    masks = tmp_path / "cellprofiler_masks"
    masks.mkdir()
    list_files(masks)
    (masks / "by_hand.tif").write_text("mine")
    measured = measure_field(drawn_field(), objects=("nuclei",))
    write_tables(measured, tmp_path, overwrite=True)
    assert (masks / "by_hand.tif").read_text() == "mine"


def test_a_failure_half_way_leaves_nothing(drawn_field, tmp_path):
    def fields():
        yield measure_field(drawn_field(), objects=("nuclei",))
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_tables(fields(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_text_with_commas_and_quotes_survives(tmp_path):
    table = CsvTable(tmp_path / "t.csv")
    table.append({"name": np.array(['a,"b"']), "value": np.array([0.1])})
    table.append({"name": np.array(["c"]), "more": np.array([np.nan])})
    assert _rows(tmp_path / "t.csv") == [
        {"name": 'a,"b"', "value": "0.1", "more": ""},
        {"name": "c", "value": "", "more": "nan"},
    ]
