"""Nuclei from probability: shapes with a known answer, invariants, bad input."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_fluorgen.confidence import p_value_maps
from napari_fluorgen.errors import ConfigError, InputError
from napari_fluorgen.models import NucleiSettings
from napari_fluorgen.segmentation import match_instances, segment_nuclei

PIXEL = 0.5


def disc(shape, centre, radius):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def blurred(mask, sigma=1.0):
    return ndimage.gaussian_filter(mask.astype(np.float32), sigma)


def segment(probability, **settings):
    return segment_nuclei(probability, **{"pixel_size_um": PIXEL, **settings})


def test_separate_nuclei_are_found_as_they_are():
    truth = np.zeros((80, 100), np.uint32)
    for number, centre in enumerate([(20, 20), (20, 60), (60, 40)], start=1):
        truth[disc(truth.shape, centre, 9)] = number
    labels = segment(truth > 0)
    assert labels.dtype == np.uint32
    np.testing.assert_array_equal(labels, truth)


def test_touching_nuclei_are_divided_at_the_neck():
    shape = (60, 80)
    left, right = disc(shape, (30, 28), 12), disc(shape, (30, 48), 12)
    labels = segment(blurred(left | right))
    assert labels.max() == 2
    assert labels[30, 28] != labels[30, 48]
    neck = np.flatnonzero(np.diff(labels[30].astype(int)) * (labels[30, 1:] > 0) * labels[30, :-1])
    assert abs(int(neck[0]) - 38) <= 2


@pytest.mark.parametrize("angle", range(0, 180, 15))
@pytest.mark.parametrize("axes", [(14, 8), (18, 9), (10, 10)])
def test_an_ellipse_is_one_nucleus(axes, angle):
    y, x = np.mgrid[-30:31, -30:31]
    t = np.deg2rad(angle)
    along, across = x * np.cos(t) + y * np.sin(t), y * np.cos(t) - x * np.sin(t)
    ellipse = (along / axes[0]) ** 2 + (across / axes[1]) ** 2 <= 1
    assert segment(ellipse).max() == 1
    assert segment(blurred(ellipse, 2)).max() == 1


def test_peaks_of_equal_height_with_a_shallow_neck_are_one_nucleus():
    mask = np.zeros((40, 70), bool)
    mask[10:30, 10:60] = True
    mask[[10, 29], 34:36] = False
    assert segment(mask).max() == 1


def test_small_holes_are_filled_and_large_ones_and_bays_stay():
    mask = disc((60, 60), (30, 30), 20)
    pierced = mask & ~disc(mask.shape, (30, 30), 3)
    np.testing.assert_array_equal(segment(pierced) > 0, mask)
    ring = mask & ~disc(mask.shape, (30, 30), 12)
    assert segment(ring)[30, 30] == 0
    at_edge = np.ones((30, 30), bool)
    at_edge[:3, 10:13] = False
    np.testing.assert_array_equal(segment(at_edge) > 0, at_edge)


def test_size_limits_are_inclusive_and_in_square_micrometres():
    mask = np.zeros((40, 40), bool)
    mask[5:15, 5:15] = True  # 100 px = 25 µm² at 0.5 µm
    assert segment(mask, min_area_um2=25, max_area_um2=25).max() == 1
    assert segment(mask, min_area_um2=25.1).max() == 0
    assert segment(mask, min_area_um2=1, max_area_um2=24.9).max() == 0
    assert segment(mask, pixel_size_um=(0.25, 0.5), min_area_um2=12.6).max() == 0
    assert segment(mask, pixel_size_um=(0.25, 0.5), min_area_um2=12.5).max() == 1
    assert segment(mask, pixel_size_um=0.1, min_area_um2=1.0).max() == 1


def test_settings_that_are_not_given_are_those_of_a_model_that_names_none():
    parameters = inspect.signature(segment_nuclei).parameters
    usual = NucleiSettings().model_dump()
    assert {name: parameters[name].default for name in usual} == usual


def test_a_part_that_is_too_small_goes_to_its_neighbour():
    big, small = disc((60, 80), (30, 25), 14), disc((60, 80), (30, 45), 6)
    union = big | small
    assert segment(union, min_area_um2=5).max() == 2
    labels = segment(union, min_area_um2=40)
    np.testing.assert_array_equal(labels, union.astype(np.uint32))


def test_nuclei_at_the_edge_stay_unless_excluded():
    mask = disc((50, 50), (0, 25), 12) | disc((50, 50), (35, 25), 9)
    assert segment(mask).max() == 2
    inside = segment(mask, exclude_border=True)
    assert inside.max() == 1
    assert inside[35, 25] == 1


def test_certain_pixels_seed_what_the_distance_cannot_tell_apart():
    mask = np.zeros((40, 80), bool)
    mask[12:28, 10:70] = True
    core = disc(mask.shape, (20, 24), 6) | disc(mask.shape, (20, 56), 6)
    p_values = {
        "nucleus": np.where(mask, 0.5, 0.01).astype(np.float32),
        "background": np.where(core, 0.01, 0.5).astype(np.float32),
    }
    assert segment(mask).max() == 1
    labels = segment(mask, p_values=p_values)
    assert labels.max() == 2
    np.testing.assert_array_equal(labels > 0, mask)
    nothing_certain = {**p_values, "background": np.ones(mask.shape, np.float32)}
    np.testing.assert_array_equal(segment(mask, p_values=nothing_certain), segment(mask))
    np.testing.assert_array_equal(segment(mask, p_values=p_value_maps(mask, None)), segment(mask))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([1.0, 3.0]),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
@settings(max_examples=40, deadline=None)
def test_invariants_on_random_fields(seed, sigma, shape):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    probability = np.clip(0.5 + noise / (4 * noise.std() + 1e-9), 0, 1).astype(np.float32)
    limits = {"min_area_um2": 4.0, "max_area_um2": 100.0}
    labels = segment(probability, **limits)
    np.testing.assert_array_equal(labels, segment(probability.copy(), **limits))
    assert labels.dtype == np.uint32
    assert labels.shape == shape
    numbers, areas = np.unique(labels[labels > 0], return_counts=True)
    assert numbers.tolist() == list(range(1, len(numbers) + 1))
    assert np.all((areas >= 16) & (areas <= 400))
    for number in numbers:
        assert ndimage.label(labels == number)[1] == 1
    # Beyond the threshold only filled holes may be labelled.
    filled = ndimage.binary_fill_holes(probability >= 0.5)
    assert not np.any((labels > 0) & ~filled)


def test_most_nuclei_of_a_crowded_field_are_found():
    rng = np.random.default_rng(0)
    truth = np.zeros((400, 400), np.uint32)
    for number in range(1, 120):
        own = disc(truth.shape, rng.uniform(0, 400, 2), rng.uniform(9, 13))
        if (truth[own] > 0).mean() < 0.1:
            truth[own & (truth == 0)] = number
    noise = ndimage.gaussian_filter(rng.normal(size=truth.shape), 3)
    probability = np.clip(blurred(truth > 0, 2) + 0.1 * noise / noise.std(), 0, 1)
    assert match_instances(truth, segment(probability)).f1 > 0.9


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("shape", [(0, 5), (1, 1), (30, 30)])
def test_empty_and_full_fields(value, shape):
    labels = segment(np.full(shape, value, np.float32), max_area_um2=1e6)
    assert labels.shape == shape
    assert labels.max(initial=0) == (1 if value and shape == (30, 30) else 0)


def test_other_types_and_read_only_views_are_taken():
    mask = disc((40, 40), (20, 20), 10)
    view = np.asfortranarray(mask.astype(np.float16))[::1]
    view.flags.writeable = False
    np.testing.assert_array_equal(segment(view), mask.astype(np.uint32))


def test_bad_input_is_named():
    good = np.zeros((10, 10), np.float32)
    with pytest.raises(InputError, match="NaN"):
        segment(np.full((4, 4), np.nan))
    with pytest.raises(InputError, match=r"shape \(2, 3, 4\)"):
        segment(np.zeros((2, 3, 4)))
    with pytest.raises(InputError, match="p-values of background have shape nothing"):
        segment(good, p_values={"nucleus": good})
    for wrong in (
        {"pixel_size_um": 0},
        {"pixel_size_um": (0.5, np.nan)},
        {"threshold": 0},
        {"significance": 1},
        {"min_area_um2": 10, "max_area_um2": 5},
        {"seed_distance_um": 0},
    ):
        with pytest.raises(ConfigError, match=r"give|size limits"):
            segment(good, **wrong)
