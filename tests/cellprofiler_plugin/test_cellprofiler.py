"""VirtualStain in the real CellProfiler (``FLUORGEN_CELLPROFILER``: program or python)."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile

import napari_fluorgen
from napari_fluorgen.io import read_stack
from napari_fluorgen.measurement.cppipe import Module, assemble, export_tables, load_data
from napari_fluorgen.measurement.stain_pipeline import (
    EXAMPLE,
    input_modules,
    stain_pipeline,
    virtual_stain,
)
from napari_fluorgen.workflow import stain

FOLDER = Path(napari_fluorgen.__file__).parent / "cellprofiler_plugin"
SETS = 10
SIZE = 160
STAINED = re.compile(r"module VirtualStain # \d+: .* Wall_time = ([0-9.]+) secs")

needs_cellprofiler = [pytest.mark.cellprofiler, pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_example_is_what_the_code_writes() -> None:
    assert (FOLDER / EXAMPLE).read_text(encoding="utf-8") == stain_pipeline()


@pytest.fixture(scope="module")
def plate(tmp_path_factory, sample_folder) -> Path:
    """Ten fields: parts of the two simulated sample fields, with heights and pixel size."""
    folder = tmp_path_factory.mktemp("plate ünï")
    source = sample_folder / "Simulated_20x"
    (folder / "MeasurementDetail.mrf").write_bytes((source / "MeasurementDetail.mrf").read_bytes())
    heights = (source / "MeasurementData.mlf").read_text(encoding="utf-8")
    records = re.findall(r"<bts:MeasurementRecord .*?</bts:MeasurementRecord>\s*", heights, re.S)
    added = []
    for path in sorted(source.glob("*C04.tif")):
        site = int(re.search(r"F(\d{3})L01", path.name)[1])
        image = tifffile.imread(path)
        (record,) = [text for text in records if path.name in text]
        for part in range(SETS // 2):
            number = site + 2 * part
            name = path.name.replace(f"F{site:03d}", f"F{number:03d}")
            start = 88 * part
            crop = image[start : start + SIZE, start : start + SIZE]
            tifffile.imwrite(folder / name, np.ascontiguousarray(crop))
            text = record.replace(f'FieldIndex="{site}"', f'FieldIndex="{number}"')
            added.append(text.replace(path.name, name))
    head, tail = heights[: heights.index(records[0])], "</bts:MeasurementData>\n"
    (folder / "MeasurementData.mlf").write_text(head + "".join(added) + tail, encoding="utf-8")
    return folder


Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start(cellprofiler, tmp_path) -> Start:
    """Start CellProfiler on a pipeline; its log is ``log.txt`` in `tmp_path`."""
    running: list[subprocess.Popen] = []

    def begin(pipeline: str, folder: Path, fluorgen: str = sys.executable) -> subprocess.Popen:
        path = tmp_path / "test.cppipe"
        path.write_text(pipeline, encoding="utf-8")
        arguments = ["-c", "-r", "--plugins-directory", FOLDER, "-p", path, "-i", folder]
        arguments += ["-o", tmp_path / "out", "-d", tmp_path / "done.txt"]
        with (tmp_path / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [*cellprofiler, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUTF8": "1", "FLUORGEN_COMMAND": fluorgen},
            )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.wait()


def tables(folder: Path) -> tuple[list[dict], list[dict]]:
    found = []
    for name in ("Image", "Nuclei"):
        with (folder / "out" / f"{name}.csv").open(newline="", encoding="utf-8") as stream:
            found.append(list(csv.DictReader(stream)))
    images, nuclei = found
    for row in images:
        errors = {value for key, value in row.items() if key.startswith("ModuleError_")}
        assert errors <= {"0", "0.0"}
    return images, nuclei


def log(folder: Path) -> str:
    return (folder / "log.txt").read_text(encoding="utf-8", errors="replace")


def pipeline(inputs: list[Module], **settings: object) -> str:
    return assemble([*inputs, virtual_stain("Brightfield", **settings), export_tables()])


def load_planes(folder: Path, plate: Path, sites: int, planes: int = 7) -> Module:
    """A LoadData table in the plate's folder with a column a plane."""
    rows = []
    for site in range(1, sites + 1):
        files = sorted(plate.glob(f"*F{site:03d}*C04.tif"))[:planes]
        row = {"Metadata_Site": site}
        for number, file in enumerate(files, 1):
            row[f"Image_FileName_Plane{number}"] = file.name
            row[f"Image_PathName_Plane{number}"] = str(plate)
        rows.append(row)
    with (folder / "planes.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, rows[0])
        table.writeheader()
        table.writerows(rows)
    return load_data("planes.csv")


def gone(process: int) -> bool:
    """Whether a process has ended; one that nobody asks for its status (a zombie) has."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"


class TestInCellProfiler:
    pytestmark = needs_cellprofiler

    def test_ten_fields_are_stained_as_by_stain_with_one_worker(self, start, plate, tmp_path):
        assert start(pipeline(input_modules()), plate).wait() == 0
        assert (tmp_path / "done.txt").read_text().strip() == "Complete"
        images, nuclei = tables(tmp_path)
        assert [row["Metadata_Site"] for row in images] == [str(n + 1) for n in range(SETS)]
        assert {row["Metadata_Well"] for row in images} == {"B02"}
        seconds = [float(text) for text in STAINED.findall(log(tmp_path))]
        assert len(seconds) == SETS
        # the first one loads the model: later ones do not
        assert np.median(seconds[1:]) < seconds[0]
        for site in (1, 2):
            field = stain(read_stack(next(plate.glob(f"*F{site:03d}*C04.tif"))))
            row = images[site - 1]
            assert float(row["Count_Nuclei"]) == field.nuclei_labels.max() > 0
            assert int(row["Fluorgen_Accepted_Nuclei"]) == field.trusted.sum()
            assert row["Fluorgen_Verdict_Nuclei"] == (field.verdict or "")
            assert row["Fluorgen_Warning_Nuclei"] == str(int(field.verdict is not None))
            assert row["Fluorgen_Model_Nuclei"].startswith("adipocyte-20x ")
            mine = [r for r in nuclei if r["ImageNumber"] == row["ImageNumber"]]
            for feature, column in (
                ("Confidence", "confidence"),
                ("PValue", "p_value"),
                ("Probability", "probability_mean"),
            ):
                found = [float(r[f"Fluorgen_{feature}"]) for r in mine]
                np.testing.assert_allclose(found, field.nuclei[column], rtol=1e-6)
            codes = {"reject": 0.0, "review": 1.0, "accept": 2.0}
            decisions = [codes[decision] for decision in field.nuclei["decision"]]
            assert [float(r["Fluorgen_Decision"]) for r in mine] == decisions

    def test_planes_as_images_give_the_same_nuclei(self, start, plate, tmp_path):
        names = ", ".join(f"Plane{number}" for number in range(1, 8))
        table = load_planes(tmp_path, plate, 2)
        text = pipeline(
            [table],
            where="In several images, one a plane",
            planes=names,
            z_step_um=2.0,
            pixel_size_um=0.325,
        )
        assert start(text, tmp_path).wait() == 0, log(tmp_path)
        _, nuclei = tables(tmp_path)
        for site in (1, 2):
            field = stain(read_stack(next(plate.glob(f"*F{site:03d}*C04.tif"))))
            found = [float(r["Location_Center_Y"]) for r in nuclei if r["ImageNumber"] == str(site)]
            rows = np.indices(field.shape)[0]
            areas = np.bincount(field.nuclei_labels.ravel())[1:]
            centres = np.bincount(field.nuclei_labels.ravel(), rows.ravel())[1:] / areas
            np.testing.assert_allclose(found, centres, atol=0.05)

    def test_a_volume_is_stained(self, start, plate, tmp_path):
        folder = tmp_path / "volumes"
        folder.mkdir()
        field = next(plate.glob("*F001*Z01C04.tif"))
        tifffile.imwrite(
            folder / "A_B02_T0001F001L01A04Z01C04.tif",
            np.asarray(read_stack(field).data[:]),
            photometric="minisblack",
        )
        text = pipeline(
            input_modules(), where="In one 3D image", z_step_um=2.0, pixel_size_um=0.325
        )
        text = text.replace("Process as 3D?:No", "Process as 3D?:Yes")
        assert start(text, folder).wait() == 0, log(tmp_path)
        images, _ = tables(tmp_path)
        wanted = stain(read_stack(field)).nuclei_labels.max()
        assert [float(row["Count_Nuclei"]) for row in images] == [wanted]

    @pytest.mark.parametrize(
        ("settings", "fluorgen", "words"),
        [
            ({}, "/nowhere/fluorgen", "FLUORGEN_COMMAND says /nowhere/fluorgen"),
            ({"model": "no-model"}, sys.executable, "No model or folder 'no-model'"),
            ({"program": "/bin/false"}, sys.executable, "/bin/false ended without an answer"),
        ],
    )
    def test_what_is_missing_is_said_before_the_first_field(
        self, start, plate, tmp_path, settings, fluorgen, words
    ):
        assert start(pipeline(input_modules(), **settings), plate, fluorgen).wait() != 0
        assert (tmp_path / "done.txt").read_text().strip() == "Failure"
        assert words in log(tmp_path).splitlines()[-1]
        assert "Traceback" not in log(tmp_path).rpartition("MySQLdb")[2]

    def test_too_few_planes_are_said_in_one_sentence(self, start, plate, tmp_path):
        text = pipeline(
            [load_planes(tmp_path, plate, 1, planes=3)],
            where="In several images, one a plane",
            planes="Plane1, Plane2, Plane3",
        )
        assert start(text, tmp_path).wait() != 0
        assert "3 brightfield planes came in where model 'adipocyte-20x' needs 7" in log(tmp_path)
        assert not (tmp_path / "out" / "Nuclei.csv").exists()

    @pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
    def test_the_worker_ends_when_cellprofiler_is_killed(self, start, plate, tmp_path):
        wrapper = tmp_path / "fluorgen"
        noted = tmp_path / "worker"
        wrapper.write_text(
            f'#!/bin/sh\necho $$ > "{noted}"\nexec "{sys.executable}" -m napari_fluorgen.cli "$@"\n'
        )
        wrapper.chmod(0o755)
        process = start(pipeline(input_modules()), plate, str(wrapper))
        while not STAINED.search(log(tmp_path)):
            assert process.poll() is None, log(tmp_path)
            time.sleep(0.2)
        worker = int(noted.read_text())
        assert not gone(worker)
        process.kill()
        deadline = time.monotonic() + 60
        while not gone(worker):
            assert time.monotonic() < deadline
            time.sleep(0.1)
