"""Pairs of objects against a loop over all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_fluorgen.errors import InputError
from napari_fluorgen.overlap import find_overlaps

label_images = hnp.arrays(np.uint32, (5, 6), elements=st.sampled_from([0, 1, 2, 5, 2**32 - 1]))


def objects(labels):
    return [labels == n for n in np.unique(labels[labels > 0])]


@settings(deadline=None)
@given(label_images, label_images)
def test_pairs_equal_a_loop(truth, found):
    expected = np.array(
        [[(a & b).sum() / (a | b).sum() for b in objects(found)] for a in objects(truth)]
    ).reshape(len(objects(truth)), len(objects(found)))
    pairs = find_overlaps(truth, found)
    assert (pairs.n_true, pairs.n_found) == expected.shape
    assert np.array_equal(np.stack([pairs.true, pairs.found], 1), np.argwhere(expected))
    np.testing.assert_array_equal(pairs.iou, expected[expected > 0])
    np.testing.assert_array_equal(pairs.best_of_found(), expected.max(0, initial=0))
    np.testing.assert_array_equal(pairs.best_of_true(), expected.max(1, initial=0))


def test_images_of_other_shapes_are_refused():
    with pytest.raises(InputError, match=r"shape \(2, 2\) .* \(2, 3\): they must be equal"):
        find_overlaps(np.zeros((2, 2), int), np.zeros((2, 3), int))
