from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fluorgen.measurement.intensity import (
    inner_boundaries,
    measure_image_intensity,
    measure_intensity,
    scale_counts,
)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_every_column_equals_numpy_on_each_object(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (12, 15)).astype(np.uint32)
    image = rng.random((12, 15)).astype(np.float32)
    table = measure_intensity(labels, {"A": image}, 3)
    for number in (1, 2, 3):
        rows, columns = np.nonzero(labels == number)
        values = image[rows, columns].astype(float)
        if values.size == 0:
            assert np.isnan(table["Intensity_MeanIntensity_A"][number - 1])
            continue
        got = {key.removesuffix("_A"): column[number - 1] for key, column in table.items()}
        assert got["Intensity_IntegratedIntensity"] == pytest.approx(values.sum())
        assert got["Intensity_MeanIntensity"] == pytest.approx(values.mean())
        assert got["Intensity_StdIntensity"] == pytest.approx(values.std(), abs=1e-9)
        assert got["Intensity_MinIntensity"] == values.min()
        assert got["Intensity_MaxIntensity"] == values.max()
        mass = (columns * values).sum() / values.sum(), (rows * values).sum() / values.sum()
        assert got["Location_CenterMassIntensity_X"] == pytest.approx(mass[0])
        assert got["Location_CenterMassIntensity_Y"] == pytest.approx(mass[1])
        assert got["Intensity_MassDisplacement"] == pytest.approx(
            np.hypot(columns.mean() - mass[0], rows.mean() - mass[1])
        )
        brightest = int(got["Location_MaxIntensity_Y"]), int(got["Location_MaxIntensity_X"])
        assert image[brightest] == values.max()
        ordered = np.sort(values)
        for key, fraction in (("LowerQuartile", 0.25), ("Median", 0.5), ("UpperQuartile", 0.75)):
            rank = fraction * values.size
            low = int(rank)
            high = min(low + 1, values.size - 1)
            expected = ordered[low] * (1 - rank + low) + ordered[high] * (rank - low)
            assert got[f"Intensity_{key}Intensity"] == pytest.approx(expected)


def test_edges_are_the_inner_boundary():
    from skimage.segmentation import find_boundaries

    labels = np.random.default_rng(1).integers(0, 3, (20, 30)).repeat(3, 0).repeat(3, 1)
    np.testing.assert_array_equal(inner_boundaries(labels), find_boundaries(labels, mode="inner"))


def test_edge_columns_use_edge_pixels_only():
    labels = np.zeros((7, 7), np.uint32)
    labels[1:6, 1:6] = 1
    image = np.zeros((7, 7), np.float32)
    image[3, 3] = 1
    table = measure_intensity(labels, {"A": image}, 1)
    assert table["Intensity_MaxIntensity_A"] == 1
    assert table["Intensity_MaxIntensityEdge_A"] == 0


def test_counts_are_scaled_as_cellprofiler_reads_them():
    assert scale_counts(np.array([[65535]], np.uint16)) == 1
    assert scale_counts(np.array([[0.25]], np.float32)) == 0.25


def test_of_few_equal_maxima_the_last_counts():
    image = np.array([[0, 1, 1], [1, 0, 0]], np.float32)
    table = measure_intensity(np.ones((2, 3), np.uint32), {"A": image}, 1)
    assert table["Location_MaxIntensity_X_A"] == 0
    assert table["Location_MaxIntensity_Y_A"] == 1


def test_whole_image():
    row = measure_image_intensity({"A": np.array([[0, 0.5], [0.5, 1]], np.float32)})
    assert row["Intensity_TotalIntensity_A"] == 2
    assert row["Intensity_MedianIntensity_A"] == 0.5
    assert row["Intensity_PercentMaximal_A"] == 25
    assert row["Intensity_MADIntensity_A"] == 0.25
