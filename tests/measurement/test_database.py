"""Tables for CellProfiler Analyst and for pycytominer."""

from __future__ import annotations

import csv
import os
import sqlite3
import subprocess
from pathlib import Path

import numpy as np
import pytest

from napari_fluorgen.errors import OutputError
from napari_fluorgen.measurement import export_cellprofiler, measure_field, write_tables
from napari_fluorgen.measurement.database import shorten, wells_of_plate

OBJECTS = ("Nuclei", "Cells", "Cytoplasm", "LipidDroplets")


@pytest.fixture
def fields(drawn_field):
    return [drawn_field("a"), drawn_field("b", site=2, seed=1)]


@pytest.fixture
def written(fields, tmp_path):
    folder = tmp_path / "tables"
    write_tables(map(measure_field, fields), folder, database=True)
    return folder


def columns(folder: Path, table: str) -> dict[str, str]:
    with sqlite3.connect(folder / "fluorgen.db") as database:
        return {row[1]: row[2].upper() for row in database.execute(f"PRAGMA table_info({table})")}


def test_the_database_holds_the_tables(written):
    with sqlite3.connect(written / "fluorgen.db") as database:
        counts = database.execute(
            "SELECT ImageNumber, Image_Count_Nuclei FROM Per_Image"
        ).fetchall()
        areas = database.execute(
            "SELECT Nuclei_AreaShape_Area FROM Per_Nuclei ORDER BY ImageNumber, "
            "Nuclei_Number_Object_Number"
        ).fetchall()
    assert counts == [(1, 5), (2, 5)]
    with (written / "Nuclei.csv").open() as stream:
        assert [row[0] for row in areas] == [
            float(row["AreaShape_Area"]) for row in csv.DictReader(stream)
        ]
    assert not [name for name in columns(written, "Per_Image") if name.startswith("Image_Mean_")]
    for name in OBJECTS:
        text = (written / f"fluorgen_{name}.properties").read_text()
        assert f"object_table  = Per_{name}\n" in text
        assert f"cell_x_loc    = {name}_Location_Center_X\n" in text
        assert max(map(len, columns(written, f"Per_{name}"))) <= 64


def test_infinite_features_are_null_and_nan(fields, tmp_path):
    measured = measure_field(fields[0])
    for table in ("Nuclei", "Cytoplasm"):
        measured.tables[table]["AreaShape_FormFactor"][1] = np.inf
    write_tables(measured, tmp_path, database=True)
    with sqlite3.connect(tmp_path / "fluorgen.db") as database:
        query = "SELECT Nuclei_AreaShape_FormFactor FROM Per_Nuclei"
        found = [row[0] for row in database.execute(query)]
    assert found[1] is None
    assert None not in [found[0], *found[2:]]
    with (tmp_path / "SingleCells.csv").open() as stream:
        cells = [row["Nuclei_AreaShape_FormFactor"] for row in csv.DictReader(stream)]
    assert cells[1] == "nan"
    assert np.isfinite([float(cells[0]), *map(float, cells[2:])]).all()


def test_nothing_is_left_of_a_database_that_is_in_the_way(fields, tmp_path):
    (tmp_path / "fluorgen.db").write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        write_tables(map(measure_field, fields), tmp_path, database=True)
    assert [path.name for path in tmp_path.iterdir()] == ["fluorgen.db"]


def test_long_names_lose_letters_from_the_end():
    long = "Cells_Mean_LipidDroplets_Intensity_LowerQuartileIntensity_CellTrackerRed"
    assert shorten([long, "Cells_Area"]) == {
        long: "Cells_Mean_LipidDroplets_Intensity_LowerQuartlIntnsty_CllTrckrRd",
        "Cells_Area": "Cells_Area",
    }
    twins = [f"A_{'e' * place}x{'e' * (80 - place)}" for place in (3, 70)]
    assert len(set(shorten(twins).values())) == 2


def test_single_cells_have_ids_under_metadata_and_features_by_compartment(written):
    with (written / "SingleCells.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 10
    assert rows[0]["Metadata_Well"] == "B02"
    assert [row["Metadata_ImageNumber"] for row in rows] == ["1"] * 5 + ["2"] * 5
    assert [row["Metadata_Label"] for row in rows[:5]] == list("12345")
    starts = {name.split("_")[0] for name in rows[0]}
    assert starts == {"Metadata", "Nuclei", "Cells", "Cytoplasm"}
    assert float(rows[0]["Cells_Children_LipidDroplets_Count"]) == 4


def test_pycytominer_reads_and_normalises_single_cells(written):
    pycytominer = pytest.importorskip("pycytominer")
    import pandas

    profiles = pandas.read_csv(written / "SingleCells.csv")
    done = pycytominer.normalize(profiles, features="infer", method="standardize")
    features = [name for name in done if not name.startswith("Metadata_")]
    assert set(features) == {name for name in profiles if not name.startswith("Metadata_")}
    area = done["Nuclei_Intensity_MeanIntensity_Hoechst"]
    assert abs(area.mean()) < 1e-9
    assert area.std(ddof=0) == pytest.approx(1)
    wells = pycytominer.aggregate(profiles, strata=["Metadata_Plate", "Metadata_Well"])
    assert len(wells) == 1
    assert np.isfinite(wells["Cells_AreaShape_Area"].iloc[0])


@pytest.mark.parametrize(
    ("wells", "number"),
    [
        (["B02", "H12"], 96),
        (["NoWell", "well_12E5"], 96),
        ([], 96),
        (["A01", "I01"], 384),
        (["A13"], 384),
        (["p24"], 384),
        (["Q01"], 1536),
        (["A01", "AF48"], 1536),
        (["AG01"], 1536),
    ],
)
def test_the_plate_is_as_large_as_its_last_well(wells, number):
    assert wells_of_plate(wells) == number


def test_the_properties_tell_the_plate(drawn_field, tmp_path):
    fields = [drawn_field(well, well=well, nuclei=((60, 60),)) for well in ("B02", "C20")]
    write_tables(map(measure_field, fields), tmp_path, database=True)
    assert "plate_type  = 384\n" in (tmp_path / "fluorgen_Nuclei.properties").read_text()


@pytest.mark.cellprofiler
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_columns_equal_those_of_exporttodatabase(fields, shared, tmp_path):
    program = os.environ.get("FLUORGEN_CELLPROFILER")
    reference = shared / "cellprofiler" / "reference" / "measure_everything.cppipe"
    if not program or not reference.is_file():
        pytest.skip("FLUORGEN_CELLPROFILER names no program, or there is no reference pipeline")
    export = export_cellprofiler(fields, tmp_path / "export")
    pipeline = with_database(export.folder / "fluorgen_masks.cppipe", reference.read_text())
    # ExportToDatabase imports MySQL's module for SQLite too: an empty one will do
    for name, text in (
        ("__init__", "class Error(Exception): pass\nescape_string = str.encode\n"),
        ("cursors", "SSCursor = None\n"),
    ):
        module = tmp_path / "stub" / "MySQLdb" / f"{name}.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(text)
    environment = {**os.environ, "PYTHONUTF8": "1", "PYTHONPATH": str(tmp_path / "stub")}
    arguments = ["-c", "-r", "-p", pipeline, "-i", export.folder, "-o", tmp_path / "theirs"]
    start = (
        [program, "-m", "cellprofiler"] if Path(program).name.startswith("python") else [program]
    )
    log = subprocess.run(
        [*start, *map(str, arguments)], capture_output=True, text=True, env=environment
    )
    assert (tmp_path / "theirs" / "fluorgen.db").is_file(), log.stderr[-2000:]
    write_tables(map(measure_field, fields), tmp_path / "ours", database=True)
    own = ("Confidence_", "Fluorgen_")
    bookkeeping = (
        "ExecutionTime_", "FileName_", "PathName_", "URL_", "MD5Digest_", "Scaling_", "Objects",
        "ModuleError_",
    )  # fmt: skip
    for name in ("Image", *OBJECTS):
        ours, theirs = (columns(tmp_path / side, f"Per_{name}") for side in ("ours", "theirs"))
        ours = {k: v for k, v in ours.items() if not k.removeprefix(f"{name}_").startswith(own)}
        if name == "Image":
            theirs = {
                k: v
                for k, v in theirs.items()
                if not k.removeprefix("Image_").startswith(bookkeeping)
            }
        # masks that are loaded get no depth, which is always 0
        ours = {k: v for k, v in ours.items() if not k.endswith("Location_Center_Z")}
        assert set(ours) == set(theirs), name
        different = {k for k in ours if ours[k] != theirs[k] and "Metadata" not in k}
        assert not different, name


def with_database(pipeline: Path, reference: str) -> Path:
    text = pipeline.read_text()
    modules = text.count("[module_num:")
    module = reference[reference.index("ExportToDatabase:[") :]
    module = module.replace("module_num:21|", f"module_num:{modules + 1}|")
    text = text.replace(f"ModuleCount:{modules}", f"ModuleCount:{modules + 1}")
    result = pipeline.with_name("database.cppipe")
    result.write_text(text.rstrip("\n") + "\n\n" + module)
    return result
