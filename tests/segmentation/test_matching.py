"""Matching against brute force."""

import tracemalloc
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_fluorgen.errors import ConfigError, InputError
from napari_fluorgen.segmentation import (
    MatchScores,
    iou_matrix,
    match_instances,
    pool_scores,
    score_thresholds,
)

label_images = hnp.arrays(np.uint32, (5, 6), elements=st.sampled_from([0, 1, 2, 5, 2**32 - 1]))


def objects(labels):
    return [labels == n for n in np.unique(labels[labels > 0])]


def brute_force_matches(truth, predicted, iou):
    true, found = objects(truth), objects(predicted)
    if len(true) > len(found):
        true, found = found, true
    return max(
        sum((a & b).sum() >= iou * (a | b).sum() for a, b in zip(true, order, strict=False))
        for order in permutations(found)
    )


@settings(deadline=None)
@given(label_images, label_images, st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]))
def test_scores_equal_brute_force(truth, predicted, iou):
    scores = match_instances(truth, predicted, iou)
    assert scores.tp == brute_force_matches(truth, predicted, iou)
    assert scores.tp + scores.fn == len(objects(truth))
    assert scores.tp + scores.fp == len(objects(predicted))


@settings(deadline=None)
@given(label_images, label_images)
def test_iou_equals_a_loop_over_pairs(truth, predicted):
    expected = [[(a & b).sum() / (a | b).sum() for b in objects(predicted)] for a in objects(truth)]
    matrix = iou_matrix(truth, predicted)
    assert matrix.shape == (len(objects(truth)), len(objects(predicted)))
    np.testing.assert_allclose(matrix, np.reshape(expected, matrix.shape), rtol=0, atol=1e-15)


@settings(deadline=None)
@given(label_images, label_images)
def test_fewer_match_at_a_higher_threshold_and_sides_swap(truth, predicted):
    scores = score_thresholds(truth, predicted, (0.3, 0.5, 0.9))
    assert scores[0].tp >= scores[1].tp >= scores[2].tp
    swapped = match_instances(predicted, truth)
    assert (swapped.tp, swapped.fp, swapped.fn) == (scores[1].tp, scores[1].fn, scores[1].fp)


def test_two_halves_match_one_nucleus_once():
    truth, predicted = np.ones((1, 4), int), np.array([[1, 1, 2, 2]])
    scores = match_instances(truth, predicted)
    assert (scores.tp, scores.fp, scores.fn) == (1, 1, 0)
    assert (scores.precision, scores.recall, scores.f1) == (0.5, 1.0, pytest.approx(2 / 3))


def test_twenty_thousand_nuclei_take_memory_for_those_that_touch():
    """A matrix of all pairs would take 3.2 GB."""
    truth = np.zeros((600, 600), np.int64)
    truth[::2, ::2].flat = np.arange(1, 300 * 300 + 1)
    truth[truth > 20_000] = 0
    # Found one row lower, where every nucleus has grown by a pixel: IoU is 1/2.
    predicted = truth + np.roll(truth, 1, axis=0)
    tracemalloc.start()
    half, more, third = score_thresholds(truth, predicted, (0.5, 0.51, 0.3))
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (half.tp, half.fp, half.fn) == (20_000, 0, 0)
    assert (more.tp, more.fp, more.fn) == (0, 20_000, 20_000)
    assert third.tp == 20_000
    assert used < 100e6


def test_a_chain_of_nuclei_is_matched_as_far_as_it_goes():
    """Each true nucleus overlaps two found ones by a third, those at the ends one by half."""
    line = np.arange(4_000)
    truth, predicted = (line // 2)[None] + 1, ((line + 1) // 2)[None] + 1
    assert match_instances(truth, predicted, 0.3).tp == 2_000
    assert match_instances(truth, predicted, 0.34).tp == 2


def test_empty_images():
    empty, full = np.zeros((3, 3), int), np.ones((3, 3), int)
    both, missed, invented = (
        match_instances(*pair) for pair in ((empty, empty), (full, empty), (empty, full))
    )
    assert (both.precision, both.recall, both.f1) == (1, 1, 1)
    assert (missed.precision, missed.recall, missed.f1) == (0, 0, 0)
    assert (invented.precision, invented.recall, invented.f1) == (0, 0, 0)


def test_pooled_scores_add_the_counts():
    pooled = pool_scores([MatchScores(3, 1, 0), MatchScores(1, 0, 2)])
    assert pooled == MatchScores(4, 1, 2)
    with pytest.raises(InputError, match="same IoU"):
        pool_scores([MatchScores(1, 0, 0, 0.5), MatchScores(1, 0, 0, 0.7)])
    with pytest.raises(InputError, match="at least one"):
        pool_scores([])


def test_bad_input_is_named():
    with pytest.raises(InputError, match="must be equal"):
        iou_matrix(np.zeros((2, 2), int), np.zeros((2, 3), int))
    with pytest.raises(InputError, match="truth image has type float64"):
        iou_matrix(np.zeros((2, 2)), np.zeros((2, 2), int))
    with pytest.raises(ConfigError, match="IoU threshold is 0"):
        match_instances(np.zeros((2, 2), int), np.zeros((2, 2), int), 0)
