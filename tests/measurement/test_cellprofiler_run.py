"""How a run of CellProfiler is judged, with small programs that fail the ways it was seen to."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from napari_fluorgen.errors import Cancelled, ExternalToolError, InputError
from napari_fluorgen.measurement import (
    find_cellprofiler,
    measure_features,
    run_pipeline,
)
from napari_fluorgen.measurement.feature_run import FeatureRun
from napari_fluorgen.stack import STAINS

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in programs are scripts")

HEAD = """#!{python}
import csv, glob, os, sys, time
arguments = dict(zip(sys.argv[3::2], sys.argv[4::2]))
folder, output = arguments["-i"], arguments["-o"]
files = sorted(glob.glob(os.path.join(folder, "*C01.tif")))
def write(rows, name="Image.csv", folder=output):
    with open(os.path.join(folder, name), "w") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
def row(number, **more):
    return {{"ImageNumber": number, "Count_nuclei": number, **more}}
"""


@pytest.fixture
def program(tmp_path):
    """Make a program that stands in for CellProfiler."""

    def make(body: str) -> tuple[str, ...]:
        path = tmp_path / "cellprofiler"
        path.write_text(HEAD.format(python=sys.executable) + body)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return (str(path),)

    return make


def run(command, tmp_path, images=2, **more):
    folder = tmp_path / "in"
    folder.mkdir(exist_ok=True)
    return run_pipeline(
        command, tmp_path / "a.cppipe", folder, tmp_path / "out", images=images, **more
    )


def test_rows_come_back_in_order(program, tmp_path):
    command = program("print('Image # 1, module A # 1'); write([row(2), row(1)])")
    assert [row["ImageNumber"] for row in run(command, tmp_path)] == ["1", "2"]


def test_a_table_below_the_input_folder_is_found(program, tmp_path):
    command = program("os.mkdir(folder + '/x'); write([row(1)], 'P_Image.csv', folder + '/x')")
    assert len(run(command, tmp_path, images=1)) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("print('Complete')", "wrote no table"),
        ("print('Complete'); write([row(1)])", "measured 1 of 2"),
        ("write([row(1, ModuleError_01Load=0), row(2, ModuleError_01Load=1)])", "01Load"),
        ("print('OSError: no such image'); sys.exit(255)", "no such image"),
        ("print('ModuleNotFoundError: No module named MySQLdb')", r"no table of images: check"),
        ("write([row(1, ObjectNumber=1)])", "wrote no table"),
    ],
)
def test_a_run_that_says_complete_is_not_believed(body, words, program, tmp_path):
    with pytest.raises(ExternalToolError, match=words):
        run(program(body), tmp_path)


def test_stopping_ends_the_program(program, tmp_path):
    body = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    marker = tmp_path / "pid"
    with pytest.raises(Cancelled):
        run(program(body), tmp_path, should_stop=lambda: marker.exists() and marker.read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(int(marker.read_text()), 0)


def test_a_program_that_cannot_start(tmp_path):
    with pytest.raises(ExternalToolError, match="cannot be started"):
        run((str(tmp_path / "gone"),), tmp_path)


def test_finding(program, tmp_path, monkeypatch):
    command = program("")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("FLUORGEN_CELLPROFILER", raising=False)
    assert find_cellprofiler() == command
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert find_cellprofiler() is None
    monkeypatch.setenv("FLUORGEN_CELLPROFILER", command[0])
    assert find_cellprofiler() == command
    assert find_cellprofiler(sys.executable) == (sys.executable, "-m", "cellprofiler")
    monkeypatch.setenv("FLUORGEN_CELLPROFILER", str(tmp_path / "gone"))
    with pytest.raises(ExternalToolError, match="FLUORGEN_CELLPROFILER says"):
        find_cellprofiler()
    with pytest.raises(ExternalToolError, match="is no program"):
        find_cellprofiler(tmp_path / "gone")


COUNT = """
import tifffile
rows = []
for number, file in enumerate(reversed(files), 1):
    field_of_view = os.path.basename(file).split("T0001")[1][:5]
    print("Image # %d, module Count # 1" % number, flush=True)
    rows.append(row(number, Metadata_FoV=field_of_view, Mean=float(tifffile.imread(file).mean())))
write(rows)
"""


def fields(count: int):
    for number in range(1, count + 1):
        truth = {stain: np.full((8, 8), 100 * number, np.uint16) for stain in STAINS}
        predicted = {stain: image + np.float32(10.2) for stain, image in truth.items()}
        yield f"field {number}", predicted, truth


@pytest.mark.parametrize("processes", [1, 4])
def test_sets_are_compared_field_by_field(processes, program):
    told = []
    (command,) = program(COUNT)
    measured = measure_features(
        fields(3),
        cellprofiler=command,
        processes=processes,
        progress=lambda done, total: told.append((done, total)),
    )
    assert measured.fields == ("field 1", "field 2", "field 3")
    assert measured.truth["Mean"].tolist() == [100, 200, 300]
    assert measured.predicted["Mean"].tolist() == [110, 210, 310]
    assert measured.scores.columns["Mean"] == pytest.approx(10 / 200)
    assert measured.pipeline == "challenge-style"
    assert told[0] == (0, 6)
    assert told == sorted(told)


def test_the_first_failure_ends_all_runs(program):
    (command,) = program("time.sleep(0 if 'truth' in folder else 60)")
    began = time.monotonic()
    with pytest.raises(ExternalToolError, match="no table"):
        measure_features(fields(1), cellprofiler=command, processes=2)
    assert time.monotonic() - began < 30


def test_what_cannot_be_measured_is_said(tmp_path, program):
    run = FeatureRun(tmp_path / "features")
    _, predicted, truth = next(fields(1))
    with pytest.raises(InputError, match="no lipids and no cytoplasm"):
        run.add("a", {"nuclei": predicted["nuclei"]}, truth)
    with pytest.raises(InputError, match="not in camera counts"):
        run.add("a", {**predicted, "lipids": np.full((8, 8), -1.0)}, truth)
    with pytest.raises(InputError, match="no field"):
        run.measure(program(COUNT))
    with pytest.raises(InputError, match="cannot be read"):
        FeatureRun(tmp_path / "other", tmp_path / "gone.cppipe")
    (tmp_path / "text.cppipe").write_text("hello")
    with pytest.raises(InputError, match="no CellProfiler pipeline"):
        FeatureRun(tmp_path / "third", tmp_path / "text.cppipe")


def test_without_cellprofiler(monkeypatch, tmp_path):
    monkeypatch.delenv("FLUORGEN_CELLPROFILER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExternalToolError, match="was not found"):
        measure_features(fields(1))


def test_the_pipeline_of_the_user_is_run_as_it_is(program, tmp_path):
    (command,) = program(
        COUNT + "\nassert open(arguments['-p']).read().endswith('mine\\n')"
        "\nassert '--data-file' not in sys.argv"
    )
    own = tmp_path / "mine.cppipe"
    own.write_text("CellProfiler Pipeline: http://www.cellprofiler.org\nmine\n")
    assert measure_features(fields(1), cellprofiler=command, pipeline=own).pipeline == own.name
    assert Path(own).read_text().endswith("mine\n")
