"""What a pipeline of one's own writes, and where, through the stand-in for CellProfiler."""

from __future__ import annotations

import csv
import shutil

import pytest

from napari_fluorgen.errors import ExternalToolError, OutputError
from napari_fluorgen.measurement import export_cellprofiler, run_cellprofiler


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
    ]
    assert result.tables["results/Image"] == output / "results" / "Image.csv"
    assert [row["ImageNumber"] for row in rows(output / "results/Image.csv")] == ["1", "2", "3"]
    assert "Confidence_PNucleus" in rows(output / "results/Nuclei.csv")[0]
    assert result.objects["results/Nuclei"] == 3


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
