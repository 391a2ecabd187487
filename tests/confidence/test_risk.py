"""Conformal risk control: the guarantee over all choices of the new field, and the curves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_fluorgen.confidence.risk import THRESHOLDS, missed_share, risk_control_threshold
from napari_fluorgen.errors import ConfigError, InputError

curves = hnp.arrays(
    np.float64, st.tuples(st.integers(2, 12), st.just(6)), elements=st.sampled_from([0, 0.1, 0.4])
).map(lambda steps: np.pad(np.cumsum(steps, 1).clip(0, 1), ((0, 0), (1, 0))))


@settings(deadline=None)
@given(curves, st.floats(0.01, 0.99))
def test_each_field_in_turn_as_the_new_one_loses_alpha_on_average(losses, alpha):
    """Exchangeability says that each order is as likely: the guarantee holds for any numbers."""
    found = []
    for new in range(len(losses)):
        index = risk_control_threshold(np.delete(losses, new, 0), np.arange(7), alpha)
        found.append(losses[new, int(index)])
    assert np.mean(found) <= alpha + 1e-12


@settings(deadline=None)
@given(curves, st.floats(0.01, 0.99))
def test_threshold_is_the_largest_that_the_paper_allows(losses, alpha):
    n = len(losses)
    allowed = [j for j in range(7) if n / (n + 1) * losses[:, j].mean() + 1 / (n + 1) <= alpha]
    found = risk_control_threshold(losses, np.arange(7) / 6, alpha)
    # Where rounding decides, the neighbour is as good.
    assert abs(round(found * 6) - max(allowed, default=0)) <= (
        np.min(np.abs(losses.mean(0) * n / (n + 1) + 1 / (n + 1) - alpha)) < 1e-9
    )


def test_curves_equal_a_loop():
    rng = np.random.default_rng(0)
    p, truth = rng.random((20, 30), np.float32), rng.random((20, 30)) < 0.3
    p[0, :5] = 0.5  # a threshold
    expected = [np.mean(p[truth] < t) for t in THRESHOLDS]
    np.testing.assert_allclose(missed_share(p, truth), expected, atol=1e-15)
    np.testing.assert_array_equal(missed_share(p, truth * 7), missed_share(p, truth))


def test_grid_ascends_and_its_lowest_threshold_misses_nothing():
    assert np.all(np.diff(THRESHOLDS) > 0)
    assert missed_share(np.zeros((2, 2)), np.ones((2, 2)))[0] == 0
    assert missed_share(np.ones((2, 2)), np.ones((2, 2)))[-1] == 0


def test_field_without_nuclei_misses_none():
    assert not missed_share(np.full((3, 3), 0.2), np.zeros((3, 3))).any()


def test_one_field_allows_no_more_than_everything_at_small_alpha():
    losses = missed_share(np.full((3, 3), 0.9), np.ones((3, 3)))[None]
    assert risk_control_threshold(losses, THRESHOLDS, 0.4) == 0
    assert risk_control_threshold(losses, THRESHOLDS, 0.5) == pytest.approx(0.9, abs=0.01)


def test_bad_input_is_named():
    with pytest.raises(ConfigError, match="between 0 and 1"):
        risk_control_threshold(np.zeros((1, 2)), [0, 1], 0)
    with pytest.raises(InputError, match="one row a field"):
        risk_control_threshold(np.zeros((1, 3)), [0, 1], 0.1)
    with pytest.raises(InputError, match="one row a field"):
        risk_control_threshold(np.zeros((0, 2)), [0, 1], 0.1)
    for losses in ([[0, 0.5, 0.2]], [[0, np.nan, 1]], [[0, 0.5, 1.5]]):
        with pytest.raises(InputError, match="curves that rise"):
            risk_control_threshold(losses, [0, 0.5, 1], 0.1)
    with pytest.raises(InputError, match="loses nothing"):
        risk_control_threshold([[0.1, 0.5]], [0, 1], 0.1)
    with pytest.raises(InputError, match="must be equal"):
        missed_share(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(InputError, match="NaN"):
        missed_share(np.full((2, 2), np.nan), np.zeros((2, 2)))
