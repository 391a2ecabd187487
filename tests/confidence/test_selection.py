"""Trusted nuclei: overlaps, p-values, and the bound on wrong ones over all splits."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import false_discovery_control

from napari_fluorgen.confidence.selection import (
    ObjectCalibration,
    benjamini_hochberg,
    best_overlap,
    object_p_values,
    rejected_objects,
    trusted_objects,
)
from napari_fluorgen.errors import ConfigError, InputError, ModelError
from napari_fluorgen.segmentation.matching import iou_matrix


def calibration(scores, correct, field=None, n_fields=1):
    field = np.zeros(len(scores), int) if field is None else field
    return ObjectCalibration(np.asarray(scores), np.asarray(correct, bool), field, n_fields)


def false_share(selected, correct):
    return np.sum(selected & ~correct) / max(1, np.sum(selected))


labels = hnp.arrays(np.uint32, (6, 7), elements=st.sampled_from([0, 0, 1, 2, 9, 2**32 - 1]))


@settings(deadline=None)
@given(labels, labels)
def test_overlaps_equal_those_of_the_matching(truth, found):
    overlap = iou_matrix(truth, found)
    expected = overlap.max(0, initial=0)
    np.testing.assert_allclose(best_overlap(truth, found), expected, atol=1e-15)


def test_overlap_without_objects():
    empty = np.zeros((3, 3), int)
    assert best_overlap(empty, empty).shape == (0,)
    assert best_overlap(empty, np.eye(3, dtype=int)).tolist() == [0]


@settings(deadline=None)
@given(
    hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(0.001, 1)), st.floats(0.01, 0.99)
)
def test_benjamini_hochberg_equals_scipy(p_values, fdr):
    adjusted = false_discovery_control(p_values)
    certain = np.abs(adjusted - fdr) > 1e-9
    np.testing.assert_array_equal(
        benjamini_hochberg(p_values, fdr)[certain], (adjusted <= fdr)[certain]
    )


def test_p_values_follow_their_definition():
    table = calibration([0.2, 0.5, 0.5, 0.9], [False, False, True, True])
    found = object_p_values([0.1, 0.2, 0.3, 0.5, 0.6], table)
    np.testing.assert_allclose(found, [1, 1, 1, 2 / 5, 1 / 5])  # below 0.5 nothing was right
    assert object_p_values([0.5], calibration([], [])).tolist() == [1]
    many = calibration(np.arange(400), np.arange(400) >= 100)
    assert object_p_values([99, 102, 103], many).tolist() == [1, 1, 1 / 401]


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.uint8, 7, elements=st.integers(0, 4)),
    hnp.arrays(bool, 7),
    st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.7]),
)
def test_wrong_share_is_bounded_over_all_splits_of_any_objects(scores, correct, fdr):
    """Each split is as likely for exchangeable objects: the mean over all is the expectation."""
    shares, lost = [], []
    for test in combinations(range(7), 3):
        known = np.setdiff1d(np.arange(7), test)
        selected = trusted_objects(
            scores[list(test)], calibration(scores[known], correct[known]), fdr
        )
        shares.append(false_share(selected, correct[list(test)]))
        rejected = rejected_objects(
            scores[list(test)], calibration(scores[known], correct[known]), fdr
        )
        lost.append(false_share(rejected, ~correct[list(test)]))
    assert np.mean(shares) <= fdr + 1e-12
    assert np.mean(lost) <= fdr + 1e-12


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(2, 7), st.sampled_from([0.2, 0.3, 0.5, 0.7]))
def test_wrong_share_is_bounded_with_each_field_in_turn_as_the_new_one(data, n_fields, fdr):
    size = data.draw(st.integers(1, 20))
    scores = data.draw(hnp.arrays(np.uint8, size, elements=st.integers(0, 6)))
    correct = data.draw(hnp.arrays(bool, size))
    field = data.draw(hnp.arrays(np.int32, size, elements=st.integers(0, n_fields - 1)))
    shares = []
    for new in range(n_fields):
        own = field == new
        known = calibration(
            scores[~own], correct[~own], field[~own] - (field[~own] > new), n_fields - 1
        )
        selected = trusted_objects(scores[own], known, fdr, unit="field")
        shares.append(false_share(selected, correct[own]))
    assert np.mean(shares) <= fdr + 1e-12


def test_good_scores_select_the_right_objects():
    rng = np.random.default_rng(0)
    correct = rng.random(2000) < 0.7
    scores = rng.normal(size=2000) + 4 * correct
    field = np.repeat(np.arange(40), 50)
    table = calibration(scores[:1000], correct[:1000], field[:1000], 20)
    for unit in ("object", "field"):
        selected = trusted_objects(scores[1000:], table, 0.1, unit=unit)
        assert false_share(selected, correct[1000:]) < 0.15
        assert selected[correct[1000:]].mean() > 0.8


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, st.integers(1, 20), elements=st.floats(0, 1, width=32)),
    st.floats(0.01, 0.5),
    st.floats(0.5, 0.99),
    st.sampled_from(["object", "field"]),
)
def test_more_tolerance_and_higher_scores_never_lose_an_object(scores, low, high, unit):
    rng = np.random.default_rng(1)
    table = calibration(rng.random(60), rng.random(60) < 0.6, np.arange(60) // 6, 10)
    strict = trusted_objects(scores, table, low, unit=unit)
    mild = trusted_objects(scores, table, high, unit=unit)
    assert np.all(mild[strict])
    if strict.any():
        assert np.all(strict[scores >= scores[strict].min()])


def test_no_objects():
    table = calibration([0.5], [True])
    for unit in ("object", "field"):
        assert trusted_objects([], table, 0.1, unit=unit).shape == (0,)


def test_bad_input_is_named():
    table = calibration([0.5], [True])
    for fdr in (0, 1, np.nan):
        with pytest.raises(ConfigError, match="between 0 and 1"):
            trusted_objects([0.5], table, fdr)
    with pytest.raises(ConfigError, match="choose object or field"):
        trusted_objects([0.5], table, 0.1, unit="pixel")
    with pytest.raises(InputError, match="must be equal"):
        best_overlap(np.zeros((2, 2), int), np.zeros((2, 3), int))
    for arguments in (([0.5], [True, False]), ([np.nan], [True]), ([0.5], [True], [3])):
        with pytest.raises(ModelError, match="damaged"):
            calibration(*arguments)
