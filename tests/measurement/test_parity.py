"""Our columns against what the real CellProfiler 4.2.8.1 wrote for the reference plate."""

from __future__ import annotations

import csv
import gzip
import re

import numpy as np
import pytest
import tifffile

from napari_fluorgen.measurement import measure_labels
from napari_fluorgen.measurement.intensity import scale_counts
from napari_fluorgen.measurement.objects import segment_cells

OBJECTS = ("Nuclei", "Cells", "Cytoplasm", "LipidDroplets")
IMAGES = ("Hoechst", "Bodipy", "CellTracker", "Confidence")
# modules that the reference pipeline ran beyond what is built in, and notes on its own run
NOT_BUILT_IN = re.compile(
    "Texture|Granularity|RadialDistribution|Zernike|Correlation_|Neighbors|Metadata_|ObjectNumber$"
    "|ImageNumber|ExecutionTime_|FileName_|PathName_|MD5Digest_|URL_|Group_|ModuleError_|Scaling_"
    "|Threshold_|Frame_|Series_|ProcessingStatus"
)
# docs/cellprofiler.md says why: ties, where CellProfiler's choice depends on its sorting
TIES = re.compile("Location_MaxIntensity_[XY]|AreaShape_Orientation")


@pytest.fixture(scope="module")
def reference(shared):
    folder = shared / "cellprofiler" / "reference"
    if not folder.is_dir():
        pytest.skip(f"no reference plate at {folder}")
    return folder


@pytest.fixture(scope="module")
def expected(reference):
    tables = {}
    for name in ("Image", *OBJECTS):
        with gzip.open(reference / "outputs" / f"{name}.csv.gz", "rt") as stream:
            tables[name] = list(csv.DictReader(stream))
    return tables


@pytest.fixture(scope="module")
def measured(reference):
    with (reference / "plate" / "load_data.csv").open() as stream:
        stems = [
            row["Image_ObjectsFileName_Nuclei"].removesuffix("_Nuclei.tif")
            for row in csv.DictReader(stream)
        ]
    fields = []
    for stem in stems:
        labels = {"Nuclei": tifffile.imread(reference / f"plate/masks/{stem}_Nuclei.tif")}
        for name in OBJECTS[1:]:
            labels[name] = tifffile.imread(reference / f"outputs/masks/{stem}_{name}.tiff")
        images = {
            name: scale_counts(tifffile.imread(reference / f"plate/images/{stem}_{name}.tif"))
            for name in IMAGES
        }
        fields.append(measure_labels(labels, images))
    return fields


@pytest.mark.parametrize("table", ["Image", *OBJECTS])
def test_columns_have_the_same_names(table, expected, measured):
    theirs = {name for name in expected[table][0] if not NOT_BUILT_IN.search(name)}
    assert set(measured[0][table]) - {"ImageNumber"} == theirs


@pytest.mark.parametrize("table", ["Image", *OBJECTS])
def test_values_are_equal_but_for_ties(table, expected, measured):
    differing = []
    for name in measured[0][table]:
        ours = np.concatenate([np.asarray(field[table][name], float) for field in measured])
        theirs = np.array([float(row[name] or "nan") for row in expected[table]])
        assert ours.shape == theirs.shape
        if not np.allclose(ours, theirs, rtol=1e-6, atol=1e-6, equal_nan=True):
            differing.append(name)
    assert [name for name in differing if not TIES.search(name)] == []


@pytest.mark.parametrize("stem", ["Plate1_B02_s1", "Plate1_C03_s2"])
def test_cells_are_those_of_cellprofiler(stem, reference):
    nuclei = tifffile.imread(reference / f"plate/masks/{stem}_Nuclei.tif")
    image = scale_counts(tifffile.imread(reference / f"plate/images/{stem}_CellTracker.tif"))
    theirs = tifffile.imread(reference / f"outputs/masks/{stem}_Cells.tiff")
    ours = segment_cells(nuclei, image, correction=1.0)
    assert np.count_nonzero(ours != theirs) < 1e-4 * np.count_nonzero(theirs)
