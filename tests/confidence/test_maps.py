"""P-value maps and regions: validity on unseen fields, the four regions, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fluorgen.confidence import (
    REGIONS,
    calibrate,
    confidence_and_credibility,
    error_rates,
    p_value_maps,
    prediction_regions,
)
from napari_fluorgen.errors import ConfigError, InputError, ModelError


def make_fields(n, seed):
    """Fields whose probability is informative but far from calibrated; pixels are independent."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        truth = rng.random((64, 64)) < 0.2
        p = 1 / (1 + np.exp(-(rng.normal(size=truth.shape) * 2 + 4 * truth - 3)))
        yield p.astype(np.float32), truth


@pytest.mark.parametrize("significance", [0.01, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("smoothing_seed", [None, 0])
def test_error_of_each_class_on_unseen_fields_is_the_significance(significance, smoothing_seed):
    calibration = calibrate(make_fields(20, seed=0), max_scores=4096)
    rates = [
        error_rates(
            p_value_maps(p, calibration, smoothing_seed=smoothing_seed), truth, significance
        )
        for p, truth in make_fields(40, seed=1)
    ]
    for name in ("nucleus", "background"):
        assert np.mean([rate[name] for rate in rates]) == pytest.approx(significance, abs=0.01)


def test_maps_have_the_shape_and_type_of_the_contract():
    calibration = calibrate(make_fields(1, seed=0))
    maps = p_value_maps(np.zeros((5, 7), np.float16), calibration.to_arrays())
    assert set(maps) == {"nucleus", "background"}
    assert all(m.shape == (5, 7) and m.dtype == np.float32 for m in maps.values())
    assert p_value_maps(np.zeros((0, 7)), calibration)["nucleus"].shape == (0, 7)


def test_no_calibration_no_p_values():
    maps = p_value_maps(np.zeros((5, 7)), None)
    assert maps == {}
    with pytest.raises(InputError, match="no p-values of nucleus and background"):
        prediction_regions(maps)


def test_smoothing_repeats_with_its_seed_and_never_exceeds_the_plain_map():
    calibration = calibrate(make_fields(2, seed=0))
    p = next(make_fields(1, seed=1))[0]
    plain = p_value_maps(p, calibration)
    first, again, other = (p_value_maps(p, calibration, smoothing_seed=s) for s in (1, 1, 2))
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
        assert not np.array_equal(values, other[name])
        assert np.all(values <= plain[name] + 1e-6)


def test_regions_say_what_the_pixel_may_be():
    maps = {
        "nucleus": np.array([[0.05, 0.04, 0.5, 0.5]], np.float32),
        "background": np.array([[0.01, 0.9, 0.05, 0.051]], np.float32),
    }
    regions = prediction_regions(maps, 0.05)
    assert regions.dtype == np.uint8
    assert [REGIONS[r] for r in regions[0]] == ["strange", "background", "nucleus", "uncertain"]
    confidence, credibility = confidence_and_credibility(maps)
    np.testing.assert_allclose(confidence[0], [0.99, 0.96, 0.95, 0.949], atol=1e-6)
    np.testing.assert_allclose(credibility[0], [0.05, 0.9, 0.5, 0.5], atol=1e-6)


@settings(deadline=None)
@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_regions_shrink_as_the_significance_grows(first, second):
    calibration = calibrate(make_fields(1, seed=0))
    maps = p_value_maps(next(make_fields(1, seed=1))[0], calibration)
    wide, narrow = (prediction_regions(maps, s) for s in sorted((first, second)))
    assert np.all(narrow & ~wide == 0)


def test_error_rate_of_a_class_without_pixels_is_unknown():
    maps = {name: np.ones((2, 2), np.float32) for name in ("nucleus", "background")}
    rates = error_rates(maps, np.zeros((2, 2)), 0.05)
    assert rates["background"] == 0
    assert np.isnan(rates["nucleus"])


def test_bad_input_is_named():
    maps = {name: np.ones((2, 2), np.float32) for name in ("nucleus", "background")}
    for significance in (0, 1, -0.1, np.nan):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            prediction_regions(maps, significance)
    with pytest.raises(InputError, match="must be equal"):
        prediction_regions({**maps, "background": np.ones((2, 3), np.float32)})
    with pytest.raises(InputError, match="must be equal"):
        error_rates(maps, np.zeros((3, 3)), 0.05)
    with pytest.raises(ModelError, match="lacks"):
        p_value_maps(np.zeros((2, 2)), {"nucleus": [0.1]})
    with pytest.raises(InputError, match="NaN"):
        p_value_maps(np.full((2, 2), np.nan), calibrate(make_fields(1, seed=0)))
