"""Columns beyond the basic ones, against what CellProfiler 4.2.8.1 wrote for the reference."""

from __future__ import annotations

import csv
import gzip
import re

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import InputError
from napari_fluorgen.measurement import extra, measure_field
from napari_fluorgen.measurement.extra import FAMILIES, measure_extra, parse_features
from napari_fluorgen.measurement.granularity import measure_granularity
from napari_fluorgen.measurement.intensity import scale_counts

STEM = "Plate1_B02_s1"
IMAGES = ("Hoechst", "Bodipy", "CellTracker")
OBJECTS = ("Nuclei", "Cells", "Cytoplasm", "LipidDroplets")
PATTERNS = {
    "texture": "^Texture_",
    "granularity": "^Granularity_",
    "radial": "^RadialDistribution_",
    "zernike": "^AreaShape_Zernike_",
    "colocalization": "^Correlation_",
    "neighbors": "^Neighbors_",
}


@pytest.fixture(scope="module")
def field(shared):
    folder = shared / "cellprofiler" / "reference"
    if not folder.is_dir():
        pytest.skip(f"no reference plate at {folder}")
    labels = {"Nuclei": tifffile.imread(folder / f"plate/masks/{STEM}_Nuclei.tif")}
    for name in OBJECTS[1:]:
        labels[name] = tifffile.imread(folder / f"outputs/masks/{STEM}_{name}.tiff")
    images = {
        name: scale_counts(tifffile.imread(folder / f"plate/images/{STEM}_{name}.tif"))
        for name in IMAGES
    }
    expected = {}
    for name in ("Image", *OBJECTS):
        with gzip.open(folder / "outputs" / f"{name}.csv.gz", "rt") as stream:
            rows = [row for row in csv.DictReader(stream) if row["ImageNumber"] == "1"]
        expected[name] = {key: [row[key] for row in rows] for key in rows[0]}
    return labels, images, expected


@pytest.mark.parametrize("family", FAMILIES)
def test_columns_equal_those_of_cellprofiler(family, field):
    if family not in ("granularity", "colocalization"):
        pytest.importorskip("cp_measure")
    labels, images, expected = field
    row, tables = measure_extra((family,), labels, images)
    found = {"Image": {name: [value] for name, value in row.items()}, **tables}
    for table, columns in found.items():
        theirs = {name for name in expected[table] if re.search(PATTERNS[family], name)}
        assert set(columns) == theirs, table
        for name in columns:
            ours, wanted = (np.asarray(c[table][name], float) for c in (found, expected))
            np.testing.assert_array_equal(np.isnan(ours), np.isnan(wanted))
            size = np.sqrt(np.nanmean(wanted**2)) if np.isfinite(wanted).any() else 0
            other = np.abs(ours - wanted) > 2e-6 * np.maximum(np.abs(wanted), size)
            if table == "LipidDroplets":  # docs/cellprofiler.md: droplets of a few pixels
                assert other.mean() < 0.02, name
            elif (table, family) == ("Image", "granularity"):  # sums in single precision
                np.testing.assert_allclose(ours, wanted, rtol=1e-4)
            else:
                assert not other.any(), (table, name)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_number_that_is_missing_keeps_its_row(family):
    if family not in ("granularity", "colocalization"):
        pytest.importorskip("cp_measure")
    rng = np.random.default_rng(0)
    images = {name: rng.random((64, 64), np.float32) for name in ("Hoechst", "Bodipy")}
    gap = np.zeros((64, 64), np.uint32)  # the second nucleus fills its cell: no cytoplasm
    for number, place in ((1, np.s_[5:20, 5:20]), (3, np.s_[30:50, 8:30]), (4, np.s_[30:50, 40:])):
        gap[place] = number
    dense = np.where(gap > 2, gap - 1, gap)
    found = measure_extra((family,), {"Cytoplasm": gap}, images)[1]["Cytoplasm"]
    wanted = measure_extra((family,), {"Cytoplasm": dense}, images)[1]["Cytoplasm"]
    assert set(found) == set(wanted)
    for name, values in found.items():
        assert values.shape == (4,), name
        np.testing.assert_allclose(values[[0, 2, 3]], wanted[name], err_msg=name)
        if name.startswith(("Texture_", "RadialDistribution_")) and "Zernike" not in name:
            assert np.isnan(values[1]), name


def test_families_are_named_as_cellprofiler_names_its_modules():
    assert parse_features("basic") == ()
    assert parse_features("granularity, basic") == ("granularity",)
    assert parse_features(["colocalization", "granularity"]) == ("granularity", "colocalization")
    with pytest.raises(InputError, match="'color' are unknown: choose from basic, all, texture"):
        parse_features("color")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(extra, "extra_installed", lambda: False)
    with pytest.raises(InputError, match=r"texture.*cp-measure.*napari-fluorgen\[measure\]"):
        parse_features("all")


def test_an_empty_field_has_the_same_columns(drawn_field):
    features = "all" if extra.extra_installed() else "granularity,colocalization"
    full = measure_field(drawn_field(), features=features)
    empty = drawn_field(nuclei=())
    flat = {stain: np.full(empty.shape, 200, np.uint16) for stain in empty.images}
    none = measure_field(type(empty)(**{**vars(empty), "images": flat}), features=features)
    for name, table in full.tables.items():
        assert set(none.tables[name]) == set(table), name
        assert {len(values) for values in none.tables[name].values()} == {
            1 if name == "Image" else 0
        }


def test_an_image_with_nan_has_no_granularity():
    image = np.random.default_rng(0).random((60, 70), np.float32)
    image[0, 0] = np.nan
    labels = {"Nuclei": np.ones(image.shape, int)}
    row, tables = measure_granularity(image, "Hoechst", labels)
    assert np.isnan([*row.values(), *np.ravel([*tables["Nuclei"].values()])]).all()
