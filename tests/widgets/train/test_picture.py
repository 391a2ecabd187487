from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fluorgen.widgets.train.picture import GAP, SIDE, side_by_side


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 700), st.integers(1, 700))
def test_pictures_fit_the_dock(rows, columns):
    image = np.zeros((rows, columns), np.float32)
    picture = side_by_side(image, image)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    assert picture.shape[0] <= SIDE
    assert picture.shape[1] <= 2 * SIDE + GAP


def test_both_halves_have_the_limits_of_the_truth():
    truth = np.linspace(100, 4000, 64 * 64).reshape(64, 64)
    picture = side_by_side(truth / 2, truth)
    faint, real = picture[:, :64], picture[:, -64:]
    assert real.max() == 255
    assert faint.max() == pytest.approx(128, abs=6)
    assert not picture[:, 64:-64].any()


def test_no_numbers_are_dark():
    truth = np.full((8, 8), np.nan)
    assert not side_by_side(truth, truth).any()
    assert not side_by_side(np.ones((8, 8)), np.ones((8, 8))).any(), "a constant has no contrast"


def test_of_a_long_strip_the_brightest_piece_is_shown():
    truth = np.zeros((512, 40))
    truth[400:420] = 1000
    picture = side_by_side(truth, truth)
    assert picture.shape == (50, 2 * 40 + GAP)
    assert (picture == 255).any()
    assert side_by_side(truth.T, truth.T).shape == (40, 2 * 50 + GAP)
