from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.measure import regionprops
from skimage.morphology import convex_hull_image

from napari_fluorgen.measurement.hull import hull_measures
from napari_fluorgen.measurement.shape import measure_shape


def test_disc_has_the_shape_of_a_disc(disc):
    table = measure_shape(disc((101, 121), 50, 60, 30).astype(np.uint32), 1)
    assert table["AreaShape_Center_X"] == pytest.approx(60)
    assert table["AreaShape_Center_Y"] == pytest.approx(50)
    assert table["AreaShape_Area"] == pytest.approx(math.pi * 900, rel=0.01)
    assert table["AreaShape_FormFactor"] == pytest.approx(1, abs=0.1)
    assert table["AreaShape_Compactness"] == pytest.approx(1 / table["AreaShape_FormFactor"])
    assert table["AreaShape_Eccentricity"] == pytest.approx(0, abs=1e-6)
    assert table["AreaShape_MaxFeretDiameter"] == pytest.approx(60)
    assert table["AreaShape_MinFeretDiameter"] == pytest.approx(60, abs=1)
    assert table["AreaShape_MaximumRadius"] == pytest.approx(30, abs=1)
    assert table["AreaShape_MeanRadius"] == pytest.approx(30 / 3, abs=0.6)
    assert table["AreaShape_EulerNumber"] == 1


def test_rectangle_is_measured_exactly():
    labels = np.zeros((20, 30), np.uint16)
    labels[4:8, 10:21] = 1
    table = {key: values[0] for key, values in measure_shape(labels, 1).items()}
    assert table["AreaShape_Area"] == 44
    assert (table["AreaShape_BoundingBoxMinimum_X"], table["AreaShape_BoundingBoxMaximum_X"]) == (
        10,
        21,
    )
    assert table["AreaShape_BoundingBoxArea"] == 44
    assert table["AreaShape_Extent"] == table["AreaShape_Solidity"] == 1
    assert table["AreaShape_MinFeretDiameter"] == pytest.approx(3)
    assert table["AreaShape_MaxFeretDiameter"] == pytest.approx(math.hypot(3, 10))
    assert abs(table["AreaShape_Orientation"]) == pytest.approx(90)


def test_rows_follow_labels_and_missing_objects_are_nan():
    labels = np.zeros((9, 9), np.int32)
    labels[1:3, 1:3] = 1
    labels[5:8, 5:8] = 3
    area = measure_shape(labels, 4)["AreaShape_Area"]
    np.testing.assert_array_equal(area, [4, np.nan, 9, np.nan])


def test_no_object_gives_all_columns_without_rows():
    empty = measure_shape(np.zeros((5, 5), np.uint32), 0)
    assert set(empty) == set(measure_shape(np.ones((5, 5), np.uint32), 1))
    assert all(values.shape == (0,) for values in empty.values())


def mask_of(points: list[tuple[int, int]]) -> np.ndarray:
    rows, columns = np.array(points).T
    mask = np.zeros((rows.max() + 1, columns.max() + 1), bool)
    mask[rows, columns] = True
    return mask[rows.min() :, columns.min() :]


@pytest.mark.parametrize("points", [[(2, 3)], [(0, 0), (0, 1)], [(0, 0), (2, 2), (5, 5)]])
def test_feret_of_a_line_is_its_length(points):
    _, smallest, largest = hull_measures(mask_of(points))
    assert smallest == pytest.approx(0, abs=1e-9)
    assert largest == pytest.approx(math.dist(points[0], points[-1]))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=40))
def test_feret_equals_a_search_over_angles(points):
    _, smallest, largest = hull_measures(mask_of(points))
    angles = np.linspace(0, np.pi, 721)
    widths = np.ptp(np.array(points, float) @ np.c_[np.cos(angles), np.sin(angles)].T, axis=0)
    assert smallest <= widths.min() + 1e-9
    assert widths.min() <= smallest + largest * np.pi / 720 + 1e-9
    assert largest == pytest.approx(widths.max(), rel=1e-4, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=25))
def test_convex_area_is_that_of_scikit_image(points):
    mask = mask_of(points)
    assert hull_measures(mask)[0] == np.count_nonzero(convex_hull_image(mask))


@given(arrays(np.uint8, (12, 14), elements=st.integers(0, 3)))
def test_labels_in_many_pieces_equal_scikit_image(labels):
    table = measure_shape(labels, 3)
    for region in regionprops(labels):
        found = {key: values[region.label - 1] for key, values in table.items()}
        assert found["AreaShape_Perimeter"] == pytest.approx(region.perimeter)
        assert found["AreaShape_EulerNumber"] == region.euler_number
        assert found["AreaShape_Eccentricity"] == pytest.approx(region.eccentricity, abs=1e-6)
        assert found["AreaShape_MajorAxisLength"] == pytest.approx(region.axis_major_length)
        for n, value in enumerate(region.moments_hu):
            assert found[f"AreaShape_HuMoment_{n}"] == pytest.approx(value, abs=1e-9)
        radii = ndimage.distance_transform_edt(np.pad(region.image, 1))[1:-1, 1:-1][region.image]
        assert found["AreaShape_MeanRadius"] == pytest.approx(radii.mean())
        assert found["AreaShape_MedianRadius"] == pytest.approx(np.median(radii))
        assert found["AreaShape_MaximumRadius"] == radii.max()
