"""`run_cellprofiler` with the real CellProfiler (``FLUORGEN_CELLPROFILER``), and how it fails."""

from __future__ import annotations

import csv
import os
import shlex
import signal
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import ExternalToolError
from napari_fluorgen.measurement import (
    export_cellprofiler,
    find_cellprofiler,
    measure_field,
    run_cellprofiler,
    run_pipeline,
)
from napari_fluorgen.measurement.cellprofiler_gather import read_table
from napari_fluorgen.stack import FieldIdentity

pytestmark = [
    pytest.mark.cellprofiler,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("cellprofiler"),
]

SHAPE = (128, 160)
NUCLEI = ((30, 30), (90, 120))


@pytest.fixture
def fields(drawn_field):
    """Gaps in the labels with a difficult name, an empty field, and a plain one."""
    first = drawn_field("a", shape=SHAPE, nuclei=NUCLEI)
    first = replace(
        first,
        identity=FieldIdentity("Aufnahme #1 µm", plate="00123", well="12E5", site=1),
        nuclei_labels=first.nuclei_labels * 7,
        channel_files={},
    )
    empty = drawn_field("b", shape=SHAPE, nuclei=NUCLEI, site=2, seed=1)
    empty = replace(empty, nuclei_labels=np.zeros_like(empty.nuclei_labels))
    return [first, empty, drawn_field("c", shape=SHAPE, nuclei=NUCLEI, site=3, seed=2)]


@pytest.fixture
def exported(fields, tmp_path) -> Path:
    return export_cellprofiler(fields, tmp_path / "Übung 写真" / "export").folder


@pytest.fixture
def killed(tmp_path):
    """A program that is CellProfiler and writes its process number first."""
    program = tmp_path / "noted"
    command = shlex.join(find_cellprofiler())
    program.write_text(f'#!/bin/sh\necho $$ >> {tmp_path}/numbers\nexec {command} "$@"\n')
    program.chmod(0o755)
    return program


def test_tables_and_masks_come_back(fields, exported, tmp_path):
    told = []
    output = tmp_path / "Übung 写真" / "out"
    result = run_cellprofiler(exported, output, processes=2, progress=lambda *c: told.append(c))
    assert told[-1] == (3, 3)
    image = read_table(result.tables["Image"])
    np.testing.assert_array_equal(image["ImageNumber"], [1, 2, 3])
    np.testing.assert_array_equal(image["Count_Nuclei"], [2, 0, 2])
    assert image["Metadata_Plate"].tolist() == ["plate_00123", "Plate 1", "Plate 1"]
    assert image["Metadata_Well"][0] == "well_12E5"
    nuclei = read_table(result.tables["Nuclei"])
    ours = [measure_field(field).tables["Nuclei"] for field in fields]
    for name in ("AreaShape_Area", "AreaShape_Perimeter", "Intensity_MeanIntensity_Hoechst"):
        expected = np.concatenate([table[name] for table in ours])
        np.testing.assert_allclose(nuclei[name], expected, rtol=1e-6)
    assert read_table(result.tables["SingleCells"])["Metadata_Label"].tolist() == [7, 14, 1, 2]
    # the names of both engines are the same, but for what CellProfiler says of its own run
    assert set(ours[0]) == set(nuclei)
    for name in ("Cells", "Cytoplasm", "LipidDroplets"):
        table = read_table(result.tables[name])
        for number, masks in enumerate(result.masks.values(), 1):
            labels = tifffile.imread(masks[name])
            rows = table["ImageNumber"] == number
            areas = np.bincount(labels.ravel(), minlength=1)[1:]
            np.testing.assert_array_equal(areas, table["AreaShape_Area"][rows])
            np.testing.assert_array_equal(np.arange(1, areas.size + 1), table["ObjectNumber"][rows])


def test_a_killed_run_goes_on_where_it_was(exported, killed, tmp_path):
    output = tmp_path / "out"
    logs = output / ".cellprofiler-parts"

    def kill_the_second() -> bool:
        started = {log.parent.name for log in logs.glob("*/cellprofiler.log")}
        if len(started) == 2:
            second = (logs / max(started) / "cellprofiler.log").read_text()
            if "Image #" in second:
                for number in (tmp_path / "numbers").read_text().split()[1:]:
                    with suppress(ProcessLookupError):
                        os.kill(int(number), signal.SIGKILL)
        return False

    options = {"executable": killed, "processes": 1}
    own = exported / "fluorgen.cppipe"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_fluorgen.measurement.cellprofiler_project._MOST_IMAGES", 2)
        with pytest.raises(ExternalToolError, match=r"ended from outside after .* of 1 images"):
            run_cellprofiler(exported, output, pipeline=own, should_stop=kill_the_second, **options)
        assert [path.name for path in output.iterdir()] == [logs.name]
        before = (tmp_path / "numbers").read_text().split()
        result = run_cellprofiler(exported, output, pipeline=own, **options)
    assert len(before) == 2
    assert len((tmp_path / "numbers").read_text().split()) == 3, "the first part is not repeated"
    assert read_table(result.tables["Image"])["Count_Nuclei"].tolist() == [2, 0, 2]


def test_a_missing_module_is_named(exported, tmp_path):
    own = tmp_path / "own.cppipe"
    text = (exported / "fluorgen.cppipe").read_text()
    own.write_text(text.replace("\nImageMath:", "\nNoSuchModule:"))
    with pytest.raises(ExternalToolError, match=r"does not have the module NoSuchModule"):
        run_cellprofiler(exported, tmp_path / "out", pipeline=own, processes=1)
    assert not list((tmp_path / "out").glob("*.csv"))


def test_an_image_that_vanishes_is_named(exported, tmp_path):
    with (exported / "load_data.csv").open(newline="", encoding="utf-8") as stream:
        gone = list(csv.DictReader(stream))[1]["Image_FileName_Bodipy"]
    (exported / "images" / gone).unlink()
    with pytest.raises(ExternalToolError) as caught:
        run_pipeline(
            find_cellprofiler(), exported / "fluorgen.cppipe", exported, tmp_path / "out", images=3
        )
    assert gone.rsplit(".", 1)[0] in str(caught.value)
    assert "LoadData" in str(caught.value)
