"""Scores and p-values: crepes as oracle, and the properties that make them conformal."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_fluorgen.confidence import (
    Calibration,
    calibrate,
    nonconformity,
    p_value_maps,
    p_values,
)
from napari_fluorgen.confidence.scores import to_levels
from napari_fluorgen.errors import ConfigError, InputError

probabilities = hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(0, 1, width=32))


class GivenProbabilities:
    """A classifier for crepes whose prediction is its input."""

    classes_ = np.array([0, 1])

    def predict_proba(self, x):
        return x


def test_p_values_equal_crepes():
    crepes = pytest.importorskip("crepes", exc_type=ImportError)
    rng = np.random.default_rng(0)
    p_cal, p_test = (np.round(rng.random(n), 2).astype(np.float32) for n in (3000, 400))
    truth = rng.random(3000) < p_cal
    calibration = calibrate([(p_cal[None], truth[None])])
    wrapped = crepes.WrapClassifier(GivenProbabilities())

    def two_columns(p):
        # Probabilities of the classes 0 and 1 such that 1 - p(class) is our score.
        return np.column_stack(
            [1 - nonconformity(p, name).astype(float) for name in ("background", "nucleus")]
        )

    wrapped.calibrate(two_columns(p_cal), truth.astype(int), class_cond=True)
    expected = wrapped.predict_p(two_columns(p_test), smoothing=False)
    for column, name in enumerate(("background", "nucleus")):
        ours = p_values(nonconformity(p_test, name), calibration.scores(name))
        np.testing.assert_allclose(ours, expected[:, column], rtol=0, atol=1e-12)
        in_map = p_value_maps(p_test[None], calibration)[name][0]
        np.testing.assert_array_equal(in_map, expected[:, column].astype(np.float32))


def test_p_values_equal_crepes_conformal_classifier_by_class():
    crepes = pytest.importorskip("crepes", exc_type=ImportError)
    rng = np.random.default_rng(1)
    scores, bins = np.round(rng.random(500), 2), rng.integers(0, 2, 500)
    tests, test_bins = np.round(rng.random(200), 2), rng.integers(0, 2, 200)
    oracle = crepes.ConformalClassifier().fit(scores, bins=bins)
    expected = oracle.predict_p(tests[:, None], bins=test_bins, smoothing=False)[:, 0]
    for number in (0, 1):
        ours = p_values(tests[test_bins == number], np.sort(scores[bins == number]))
        np.testing.assert_allclose(ours, expected[test_bins == number], rtol=0, atol=1e-12)


def test_smoothed_p_values_equal_crepes():
    crepes = pytest.importorskip("crepes", exc_type=ImportError)
    rng = np.random.default_rng(2)
    scores, tests = np.round(rng.random(500), 2), np.round(rng.random(200), 2)
    oracle = crepes.ConformalClassifier().fit(scores)
    expected = oracle.predict_p(tests[:, None], smoothing=True, seed=7)[:, 0]
    theta = np.random.RandomState(7).rand(200)
    ours = p_values(tests, np.sort(scores), theta)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)


@settings(deadline=None)
@given(probabilities, st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), max_size=20))
def test_p_values_follow_their_definition(scores, table):
    table = np.sort(np.asarray(table, np.float32))
    theta = np.linspace(0, 1, scores.size, endpoint=False)
    plain, smoothed = p_values(scores, table), p_values(scores, table, theta)
    for i, score in enumerate(scores):
        assert plain[i] == (np.sum(table >= score) + 1) / (len(table) + 1)
        above, equal = np.sum(table > score), np.sum(table == score)
        assert smoothed[i] == pytest.approx((above + theta[i] * (equal + 1)) / (len(table) + 1))


@settings(deadline=None)
@given(probabilities, probabilities)
def test_p_values_fall_as_the_score_rises(p_cal, p_test):
    calibration = calibrate([(p_cal[None], np.ones((1, p_cal.size), bool))])
    p_test = np.sort(p_test)
    maps = p_value_maps(p_test[None], calibration)
    assert np.all(np.diff(maps["nucleus"][0]) >= 0)
    assert np.all(np.diff(maps["background"][0]) <= 0)
    assert all(values.min() > 0 and values.max() <= 1 for values in maps.values())


@settings(deadline=None)
@given(hnp.arrays(np.uint8, st.integers(2, 25), elements=st.integers(0, 5)), st.floats(0.01, 0.99))
def test_p_values_are_super_uniform_over_exchangeable_orders(values, significance):
    """Leave out each pixel in turn: at most a share ``significance`` has p <= significance."""
    scores = nonconformity(values / 5, "nucleus")
    p = [p_values(scores[i], np.sort(np.delete(scores, i))) for i in range(len(scores))]
    assert np.mean(np.asarray(p) <= significance) <= significance + 1e-12


def test_smoothed_p_values_are_uniform_despite_ties():
    rng = np.random.default_rng(2)
    table = np.sort(rng.integers(0, 4, 20_000)) / 4
    p = p_values(rng.integers(0, 4, 20_000) / 4, table, rng.random(20_000))
    empirical = np.searchsorted(np.sort(p), np.linspace(0, 1, 101), side="right") / len(p)
    assert np.abs(empirical - np.linspace(0, 1, 101)).max() < 0.02


def test_levels_round_to_16_bits_and_keep_the_shape():
    for shape in ((), (5,), (0, 4), (300, 7), (2, 3, 4)):
        p = np.random.default_rng(3).random(shape).astype(np.float32)
        levels = to_levels(p)
        assert levels.shape == shape
        assert levels.dtype == np.uint16
        assert np.all(np.abs(levels / 65535 - p) <= 0.51 / 65535)
    assert to_levels([-1e-6, 1 + 1e-6]).tolist() == [0, 65535]


@pytest.mark.parametrize("bad", [[np.nan], [1.5], [-0.5], [np.inf]])
def test_values_that_are_no_probability_are_named(bad):
    with pytest.raises(InputError, match=r"values in \[0, 1\]"):
        nonconformity(bad, "nucleus")


def test_unknown_class_and_type():
    with pytest.raises(ConfigError, match="no class 'cell'"):
        nonconformity([0.5], "cell")
    with pytest.raises(InputError, match="numbers"):
        nonconformity(["a"], "nucleus")


def test_a_table_off_the_grid_is_rounded_like_the_pixels():
    table = np.array([0.1, 0.30000001, 0.7], np.float32)
    p = np.array([[0.9, 0.7, 0.3]], np.float32)
    maps = p_value_maps(p, Calibration(table, table))
    np.testing.assert_allclose(maps["nucleus"][0], [1, 0.75, 0.5])
