"""Intervals of intensities: coverage on unseen fields, with pixels and with fields as unit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fluorgen.confidence.intervals import (
    SCALES,
    IntervalCalibration,
    calibrate_interval,
    interval,
)
from napari_fluorgen.confidence.spread import SpreadTable, fit_spread, flip_spread, gradient_size
from napari_fluorgen.errors import ConfigError, InputError, ModelError


def fields(n, seed=0):
    """Predictions whose error grows with intensity, by a factor that varies with the field."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        prediction = rng.random((48, 48)).astype(np.float32)
        spread = 0.02 + 0.1 * prediction
        truth = prediction + rng.uniform(0.8, 1.2) * spread * rng.normal(size=prediction.shape)
        yield prediction, spread, truth


def inside(calibration, field, spread=True):
    prediction, width, truth = field
    low, high = interval(prediction, width if spread else None, calibration)
    return np.mean((low <= truth) & (truth <= high))


@pytest.mark.parametrize("coverage", [0.5, 0.9])
def test_pixels_of_unseen_fields_lie_within(coverage):
    calibration = calibrate_interval(fields(60), coverage=coverage)
    found = np.mean([inside(calibration, one) for one in fields(60, seed=1)])
    assert found == pytest.approx(coverage, abs=0.03)
    own = np.mean([inside(calibration, one) for one in fields(60)])
    assert coverage <= own < coverage + 0.01


def test_scale_is_the_smallest_that_holds_the_share():
    calibration = calibrate_interval(fields(5))
    ratios = np.concatenate([(np.abs(t - p) / s).ravel() for p, s, t in fields(5)])
    expected = np.quantile(ratios, 0.9)
    assert expected * 0.999 <= calibration.scale <= expected * SCALES[1] / SCALES[0] * 1.001


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(3, 14), st.sampled_from([0.6, 0.8, 0.9]))
def test_each_field_in_turn_as_the_new_one_is_covered(seed, n, coverage):
    all_fields = [(p[:6, :6], s[:6, :6], t[:6, :6]) for p, s, t in fields(n, seed)]
    found = [
        inside(
            calibrate_interval(
                all_fields[:i] + all_fields[i + 1 :], coverage=coverage, unit="field"
            ),
            new,
        )
        for i, new in enumerate(all_fields)
    ]
    assert np.mean(found) >= coverage - 1e-6


def test_field_as_unit_is_wider_and_infinite_for_few_fields():
    pixel, field = (calibrate_interval(fields(40), unit=unit) for unit in ("pixel", "field"))
    assert field.scale > pixel.scale
    few = calibrate_interval(fields(8), unit="field")
    assert few.scale == np.inf
    low, high = interval(np.full((2, 2), 0.3), np.ones((2, 2)), few, limits=(0, 1))
    assert low.min() == 0
    assert high.max() == 1


def test_learned_spread_follows_the_error_and_needs_none_at_use():
    table = fit_spread((p, t) for p, _, t in fields(10))
    learned = [(p, table.spread(p), t) for p, _, t in fields(10, seed=1)]
    calibration = calibrate_interval(learned, table=table)
    p, true_spread, t = next(fields(1, seed=2))
    assert np.corrcoef(table.spread(p).ravel(), true_spread.ravel())[0, 1] > 0.8
    assert inside(calibration, (p, None, t), spread=False) > 0.7
    constant = calibrate_interval((p, np.ones_like(p), t) for p, _, t in fields(10, seed=1))
    widths = [np.ptp(interval(p, s, c), axis=0).mean() for c, s in
              ((calibration, None), (constant, np.ones_like(p)))]  # fmt: skip
    assert widths[0] < widths[1]


def test_table_equals_a_loop_and_fills_empty_bins():
    p = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]], np.float32)
    t = p + np.array([[0.1] * 4, [0.3] * 4, [0.5] * 4], np.float32)
    table = fit_spread([(p, t)], bins=2)
    found = table.spread(p)
    for value in np.unique(found):
        assert np.abs(t - p)[found == value].mean() == pytest.approx(value, abs=1e-6)
    assert np.isfinite(table.residual).all()


def test_spread_of_flips_undoes_them():
    rng = np.random.default_rng(0)
    planes = rng.random((7, 8, 8)).astype(np.float32)
    mean, spread = flip_spread(lambda x: x.mean(0), planes)
    np.testing.assert_allclose(mean, planes.mean(0), atol=1e-6)
    assert spread.max() < 1e-6
    seen = []

    def biased(x):
        seen.append(x.shape)
        return x[0] + np.arange(x.shape[2], dtype=np.float32)

    mean, spread = flip_spread(biased, planes[:, :6])
    assert seen == [(7, 6, 8)] * 4
    np.testing.assert_allclose(mean, planes[0, :6] + 3.5, atol=1e-5)
    expected = np.std([np.arange(8), np.arange(8)[::-1]] * 2, axis=0, ddof=1)
    np.testing.assert_allclose(spread, np.tile(expected, (6, 1)), atol=1e-5)


def test_saved_and_read_back():
    table = fit_spread((p, t) for p, _, t in fields(2))
    for calibration in (
        calibrate_interval(fields(3), table=table),
        calibrate_interval(fields(3), unit="field"),
    ):
        back = IntervalCalibration.from_arrays(calibration.to_arrays())
        for name in ("scale", "floor", "coverage", "unit", "n_fields"):
            assert getattr(back, name) == getattr(calibration, name)
        if calibration.table is None:
            assert back.table is None
        else:
            np.testing.assert_array_equal(back.table.residual, table.residual)


def test_bad_input_is_named():
    good = next(fields(1))
    for arguments in ({"coverage": 1}, {"unit": "plate"}, {"floor": 0}):
        with pytest.raises(ConfigError):
            calibrate_interval([good], **arguments)
    with pytest.raises(InputError, match="no field"):
        calibrate_interval([])
    with pytest.raises(InputError, match="no field"):
        fit_spread([])
    with pytest.raises(InputError, match=r"Calibration field 2 has .*must be equal"):
        calibrate_interval([good, (good[0], good[1], good[2][1:])])
    with pytest.raises(InputError, match="not finite"):
        calibrate_interval([(good[0], good[1], good[2] * np.nan)])
    with pytest.raises(InputError, match="needs the spread"):
        interval(good[0], None, calibrate_interval([good]))
    with pytest.raises(InputError, match="must be equal"):
        interval(good[0], good[1][1:], calibrate_interval([good]))
    with pytest.raises(InputError, match="two rows"):
        gradient_size(np.zeros(4))
    with pytest.raises(ModelError, match="five numbers"):
        IntervalCalibration.from_arrays({"numbers": [1, 2]})
    with pytest.raises(ModelError, match="damaged"):
        IntervalCalibration(np.nan, 0.1, 0.9, "pixel", 1)
    with pytest.raises(ModelError, match="lacks"):
        SpreadTable.from_arrays({"residual": np.ones((2, 2))})
    with pytest.raises(ModelError, match="not ascending"):
        SpreadTable([0.5, 0.1], [0.1], np.ones((3, 2)))
