"""The exported folder in the real CellProfiler (``FLUORGEN_CELLPROFILER``: program or python)."""

from __future__ import annotations

import csv
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_fluorgen.io import list_fields, read_field
from napari_fluorgen.measurement import export_cellprofiler, measure_field, write_tables
from napari_fluorgen.stack import FieldIdentity
from napari_fluorgen.workflow import drain, run_demo

pytestmark = [pytest.mark.cellprofiler, pytest.mark.slow, pytest.mark.timeout(900)]

# the direction of an object as long as it is wide hangs on a rounding error
TIES = ("AreaShape_Orientation",)


@pytest.fixture
def command(cellprofiler) -> list[str]:
    return cellprofiler


def run(command: list[str], pipeline: Path, folder: Path, output: Path) -> dict[str, list[dict]]:
    arguments = ["-c", "-r", "-p", pipeline, "-i", folder, "-o", output]
    environment = {**os.environ, "PYTHONUTF8": "1"}
    done = subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, env=environment
    )
    assert (output / "Image.csv").is_file(), done.stderr[-3000:]
    tables = {}
    for path in output.glob("*.csv"):
        with path.open(newline="", encoding="utf-8") as stream:
            tables[path.stem] = list(csv.DictReader(stream))
    for row in tables["Image"]:
        errors = {key: value for key, value in row.items() if key.startswith("ModuleError_")}
        assert set(errors.values()) <= {"0", "0.0"}, errors
    return tables


def built_in(fields, folder: Path) -> dict[str, list[dict]]:
    tables = {}
    for path in write_tables(map(measure_field, fields), folder):
        with path.open(newline="", encoding="utf-8") as stream:
            tables[path.stem] = list(csv.DictReader(stream))
    return tables


def differing(ours: list[dict], theirs: list[dict]) -> list[str]:
    assert len(ours) == len(theirs)
    names = []
    for name in ours[0].keys() & theirs[0].keys():
        pairs = [(a[name], b[name]) for a, b in zip(ours, theirs, strict=True)]
        try:
            numbers = np.array([[float(value or "nan") for value in pair] for pair in pairs])
            equal = np.allclose(*numbers.T, rtol=1e-6, atol=1e-6, equal_nan=True)
        except ValueError:
            equal = all(a == b for a, b in pairs)
        if not equal and not any(tie in name for tie in TIES):
            names.append(name)
    return sorted(names)


@pytest.fixture
def fields(drawn_field):
    """A CellVoyager field, one with gaps in its labels and a difficult name, an empty one."""
    second = drawn_field("b", site=2, seed=1)
    second = replace(
        second,
        identity=FieldIdentity("zweite Aufnahme #2 µm", plate="00123", well="12E5", site=2),
        nuclei_labels=second.nuclei_labels * 3,
        channel_files={},
    )
    empty = drawn_field("c", site=3, seed=2)
    empty = replace(empty, nuclei_labels=np.zeros_like(empty.nuclei_labels))
    return [drawn_field("a"), second, empty]


def test_the_export_runs_and_counts_the_same_nuclei(command, fields, tmp_path):
    summary = export_cellprofiler(fields, tmp_path / "ünï code" / "export")
    theirs = run(command, summary.pipeline, summary.folder, tmp_path / "out")
    assert [float(row["Count_Nuclei"]) for row in theirs["Image"]] == [5, 5, 0]
    assert [row["Metadata_Plate"] for row in theirs["Image"]] == [
        "Plate 1",
        "plate_00123",
        "Plate 1",
    ]
    assert theirs["Image"][1]["Metadata_Well"] == "well_12E5"
    ours = built_in(fields, tmp_path / "tables")
    for name in ("Nuclei", "Cytoplasm"):
        assert differing(ours[name], theirs[name]) == []
        assert set(theirs[name][0]) <= set(ours[name][0])
    # the droplets are CellProfiler's own, so only the cells themselves compare
    cells = [name for name in differing(ours["Cells"], theirs["Cells"]) if "Droplets" not in name]
    assert cells == []
    assert set(theirs["Cells"][0]) == set(ours["Cells"][0])
    droplets = [float(row["Count_LipidDroplets"]) for row in theirs["Image"]]
    assert droplets == pytest.approx([18, 18, 18], abs=4)


def test_masks_of_all_objects_give_the_tables_that_are_built_in(command, fields, tmp_path):
    summary = export_cellprofiler(fields, tmp_path / "export")
    pipeline = summary.folder / "fluorgen_masks.cppipe"
    theirs = run(command, pipeline, summary.folder, tmp_path / "out")
    ours = built_in(fields, tmp_path / "tables")
    for name in ("Nuclei", "Cells", "Cytoplasm", "LipidDroplets"):
        assert differing(ours[name], theirs[name]) == []
    counts = [name for name in theirs["Image"][0] if name.startswith("Count_")]
    assert len(counts) == 4
    for name in counts:
        assert [float(row[name]) for row in ours["Image"]] == [
            float(row[name]) for row in theirs["Image"]
        ]


def test_more_than_65535_objects_arrive(command, drawn_field, tmp_path):
    field = drawn_field(shape=(600, 600), nuclei=(), confidence=False)
    rows, columns = np.mgrid[:600, :600]
    grid = (rows % 2 == 0) & (columns % 2 == 0)
    labels = np.zeros((600, 600), np.uint32)
    labels[grid] = np.arange(1, grid.sum() + 1)
    assert labels.max() == 90_000
    summary = export_cellprofiler([replace(field, nuclei_labels=labels)], tmp_path / "export")
    short = tmp_path / "count.cppipe"
    short.write_text(counting(summary.pipeline))
    theirs = run(command, short, summary.folder, tmp_path / "out")
    assert float(theirs["Image"][0]["Count_Nuclei"]) == 90_000


def test_the_demo_has_as_many_nuclei_in_cellprofiler(command, tmp_path):
    exported = drain(run_demo(tmp_path / "demo")).exported
    theirs = run(command, exported.pipeline, exported.folder, tmp_path / "out")
    stained = tmp_path / "demo" / "stained"
    ours = [int(read_field(stained, name).nuclei_labels.max()) for name in list_fields(stained)]
    assert min(ours) > 0
    assert [float(row["Count_Nuclei"]) for row in theirs["Image"]] == ours
    assert len(theirs["Nuclei"]) == sum(ours) == exported.n_nuclei


def counting(pipeline: Path) -> str:
    """Return the pipeline with its first module (the loading) and its last alone."""
    head, *modules = pipeline.read_text().split("\n\n")
    last = modules[-1].replace(f"module_num:{len(modules)}|", "module_num:2|")
    head = head.replace(f"ModuleCount:{len(modules)}", "ModuleCount:2")
    return "\n\n".join([head, modules[0], last])


def test_masks_of_every_kind_arrive_with_their_count(command, drawn_field, tmp_path):
    """int32 masks, gaps, none, objects cut by all four borders, and touching ones."""
    field = drawn_field(shape=(128, 160), nuclei=(), confidence=False)
    border = np.zeros(field.shape, np.int64)
    for number, place in enumerate(
        [np.s_[:9, 20:30], np.s_[-9:, 60:70], np.s_[40:50, :9], np.s_[60:70, -9:], np.s_[:5, :5]], 1
    ):
        border[place] = number
    whole = np.ones(field.shape, np.int64)
    whole[:, 80:] = 2  # no background at all
    masks = {
        "int32": border.astype(np.int32),
        "gaps": (border * 1000).astype(np.uint32),
        "empty": np.zeros(field.shape, np.uint32),
        "whole": whole,
    }
    fields = [
        replace(field, identity=FieldIdentity(name), channel_files={}, nuclei_labels=mask)
        for name, mask in masks.items()
    ]
    summary = export_cellprofiler(fields, tmp_path / "export")
    short = tmp_path / "count.cppipe"
    short.write_text(counting(summary.pipeline))
    theirs = run(command, short, summary.folder, tmp_path / "out")
    counts = {row["Metadata_Field"]: float(row["Count_Nuclei"]) for row in theirs["Image"]}
    # a mask without background loses its first object in CellProfiler, whoever writes it
    assert {name: counts[name] for name in ("int32", "gaps", "empty")} == {
        "int32": 5,
        "gaps": 5,
        "empty": 0,
    }
    assert counts["whole"] in (1, 2)


def test_dropped_files_give_the_tables_of_loaddata(command, drawn_field, tmp_path):
    stem = "AssayPlate_Greiner_#655090_B02_T0001F{site:03d}L01"
    fields = [drawn_field(stem.format(site=site), site=site, seed=site) for site in (1, 2)]
    summary = export_cellprofiler(fields, tmp_path / "export")
    theirs = run(
        command, summary.folder / "fluorgen_window.cppipe", summary.folder, tmp_path / "out"
    )
    rows = sorted(theirs["Image"], key=lambda row: row["Metadata_Field"])
    assert [(row["Metadata_Well"], float(row["Metadata_Site"])) for row in rows] == [
        ("B02", 1),
        ("B02", 2),
    ]
    ours = built_in(fields, tmp_path / "tables")
    for name in ("Nuclei", "Cells", "Cytoplasm", "LipidDroplets"):
        found = [
            {key: value for key, value in row.items() if not key.startswith("Metadata_")}
            for row in theirs[name]
        ]
        assert differing(ours[name], found) == []
