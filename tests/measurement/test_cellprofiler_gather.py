"""What a pipeline of one's own writes, and where, through the stand-in for CellProfiler."""

from __future__ import annotations

import csv
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.errors import Cancelled, ExternalToolError, OutputError
from napari_fluorgen.measurement import export_cellprofiler, run_cellprofiler
from napari_fluorgen.measurement.cellprofiler_gather import ExportedNuclei, gather_tables
from napari_fluorgen.measurement.export import OBJECT_TABLE


@pytest.fixture
def exported(drawn_field, tmp_path):
    fields = [
        drawn_field(name, shape=(40, 48), nuclei=((20, 20),), site=site)
        for site, name in enumerate("abc", 1)
    ]
    return export_cellprofiler(fields, tmp_path / "export").folder


@pytest.fixture
def own(exported, tmp_path):
    return shutil.copy(exported / "fluorgen.cppipe", tmp_path / "own.cppipe")


def rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_tables_in_a_folder_are_joined_there(stand_in, exported, own, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN", "subfolder")
    output = tmp_path / "out"
    result = run_cellprofiler(exported, output, pipeline=own, processes=3)
    assert sorted(path.name for path in (output / "results").iterdir()) == [
        "Cells.csv",
        "Cytoplasm.csv",
        "Image.csv",
        "LipidDroplets.csv",
        "Nuclei.csv",
        "SingleCells.csv",
    ]
    assert result.tables["results/Image"] == output / "results" / "Image.csv"
    assert [row["ImageNumber"] for row in rows(output / "results/Image.csv")] == ["1", "2", "3"]
    assert "Confidence_PNucleus" in rows(output / "results/Nuclei.csv")[0]
    assert result.objects["results/Nuclei"] == 3
    cells = rows(output / "results/SingleCells.csv")
    assert [cell["Metadata_ImageNumber"] for cell in cells] == ["1", "2", "3"]


def test_a_table_of_several_kinds_of_object_keeps_its_two_headers(
    stand_in, exported, own, tmp_path, monkeypatch
):
    monkeypatch.setenv("STAND_IN", "combined")
    result = run_cellprofiler(exported, tmp_path / "out", pipeline=own, processes=3)
    kinds, features, *lines = result.tables["Combined"].read_text().splitlines()
    assert kinds == "Image,Nuclei,Nuclei,Cells"
    assert features == "ImageNumber,ObjectNumber,AreaShape_Area,AreaShape_Area"
    assert [line.split(",")[0] for line in lines] == ["1", "2", "3"]


def test_joining_can_be_stopped(exported, tmp_path):
    part, output = tmp_path / "part", tmp_path / "out"
    part.mkdir()
    for name in ("Image", "Nuclei"):
        (part / f"{name}.csv").write_text("ImageNumber\n1\n")
    asked = iter([False])
    with pytest.raises(Cancelled):
        gather_tables([part], exported / OBJECT_TABLE, output, False, lambda: next(asked, True))
    assert not list(output.glob("*"))


@given(st.lists(st.integers(0, 4), max_size=6), st.text('µ,\u2028\n"x', max_size=6), st.data())
def test_exported_nuclei_are_read_image_by_image(counts, name, data):
    """As from the whole table, which one program wrote field by field."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "nuclei.csv"
        columns = [(i, n, name) for i, count in enumerate(counts, 1) for n in range(1, count + 1)]
        with table.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerows([("ImageNumber", "ObjectNumber", "Note"), *columns])
        images = data.draw(st.sets(st.sampled_from([str(i) for i in range(len(counts) + 2)])))
        assert ExportedNuclei(table).of(images) == {
            (row["ImageNumber"], row["ObjectNumber"]): row
            for row in rows(table)
            if row["ImageNumber"] in images
        }


def test_pictures_that_a_pipeline_saves_are_kept(stand_in, exported, own, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN", "subfolder")
    output = tmp_path / "out"
    result = run_cellprofiler(exported, output, pipeline=own, processes=3)
    kept = output / "cellprofiler_files"
    assert result.notes == (f"The pipeline saved 6 other files: they are in {kept}.",)
    assert (kept / "results" / "outlines_2.png").read_text() == "picture 2"
    assert (kept / "part_00003" / "results" / "all.png").read_text() == "from 3"
    run_cellprofiler(exported, output, pipeline=own, processes=3, overwrite=True)
    (kept / "mine.png").write_text("mine")
    with pytest.raises(OutputError, match=r"the first is mine\.png"):
        run_cellprofiler(exported, output, pipeline=own, overwrite=True)


def test_tables_that_are_written_elsewhere_end_the_run(
    stand_in, exported, own, tmp_path, monkeypatch
):
    monkeypatch.setenv("STAND_IN", "elsewhere")
    output = tmp_path / "out"
    with pytest.raises(ExternalToolError, match=r"No table of images.*Default Output Folder"):
        run_cellprofiler(exported, output, pipeline=own, processes=1)
    assert [path.name for path in output.iterdir()] == [".cellprofiler-parts"]
