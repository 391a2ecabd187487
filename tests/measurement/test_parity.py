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
# docs/cellprofiler.md says why: objects as long as they are wide, down to a rounding error
TIES = re.compile("AreaShape_Orientation")


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


def _stems(reference) -> list[str]:
    with (reference / "plate" / "load_data.csv").open() as stream:
        masks = [row["Image_ObjectsFileName_Nuclei"] for row in csv.DictReader(stream)]
    return [mask.removesuffix("_Nuclei.tif") for mask in masks]


@pytest.fixture(scope="module")
def measured(reference):
    fields = []
    for stem in _stems(reference):
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
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
        ours, theirs = ours[~np.isnan(ours)], theirs[~np.isnan(theirs)]
        # values near zero are held against the size of their column
        size = np.sqrt(np.mean(theirs**2)) if theirs.size else 0.0
        if np.any(np.abs(ours - theirs) > 1e-6 * np.maximum(np.abs(theirs), size)):
            differing.append(name)
    assert [name for name in differing if not TIES.search(name)] == []


def test_other_places_of_the_maximum_are_just_as_bright(reference, expected):
    for field, stem in enumerate(_stems(reference), 1):
        for image in IMAGES:
            pixels = tifffile.imread(reference / f"plate/images/{stem}_{image}.tif")
            scaled = scale_counts(pixels)
            for row in expected["Nuclei"]:
                if int(row["ImageNumber"]) == field:
                    x, y = (int(float(row[f"Location_MaxIntensity_{a}_{image}"])) for a in "XY")
                    brightest = float(row[f"Intensity_MaxIntensity_{image}"])
                    assert scaled[y, x] == pytest.approx(brightest, rel=1e-6)


def test_other_orientations_belong_to_objects_without_a_long_axis(expected, measured):
    ours = np.concatenate([field["LipidDroplets"]["AreaShape_Orientation"] for field in measured])
    theirs = np.array([float(row["AreaShape_Orientation"]) for row in expected["LipidDroplets"]])
    other = np.abs(ours - theirs) > 1e-6
    assert other.mean() < 0.01
    np.testing.assert_allclose(np.abs(theirs[other]), 45)
    np.testing.assert_allclose(ours[other], -theirs[other])


@pytest.mark.parametrize("stem", ["Plate1_B02_s1", "Plate1_C03_s2"])
def test_cells_are_those_of_cellprofiler(stem, reference):
    nuclei = tifffile.imread(reference / f"plate/masks/{stem}_Nuclei.tif")
    image = scale_counts(tifffile.imread(reference / f"plate/images/{stem}_CellTracker.tif"))
    theirs = tifffile.imread(reference / f"outputs/masks/{stem}_Cells.tiff")
    ours = segment_cells(nuclei, image, correction=1.0)
    assert np.count_nonzero(ours != theirs) < 1e-4 * np.count_nonzero(theirs)
