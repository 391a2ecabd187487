from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.staining import resample


@given(st.integers(1, 80), st.integers(1, 80))
def test_rows_add_up_to_one(size_in, size_out):
    matrix = resample.resize_matrix(size_in, size_out)
    assert matrix.shape == (size_out, size_in)
    np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)).ravel(), 1, atol=1e-6)


@pytest.mark.parametrize("shape", [(40, 71), (130, 97), (200, 200), (33, 150), (1, 1)])
def test_equals_torch_antialiased_interpolation(shape):
    import torch

    image = np.random.default_rng(0).normal(size=(97, 101)).astype(np.float32)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(image)[None, None], size=shape, mode="bilinear", antialias=True
    )[0, 0].numpy()
    np.testing.assert_allclose(resample.resize(image, shape), expected, atol=1e-4)


def test_same_shape_is_the_same_array():
    image = np.zeros((5, 6), np.float32)
    assert resample.resize(image, (5, 6)) is image


def test_a_part_equals_the_part_of_the_whole():
    image = np.random.default_rng(1).normal(size=(90, 120)).astype(np.float32)
    rows, columns = resample.resize_matrix(90, 55), resample.resize_matrix(120, 190)
    whole = resample.apply(image, rows, columns)
    part_rows, part_columns = rows[20:41], columns[33:97]
    y = resample.needed(part_rows, np.arange(21))
    x = resample.needed(part_columns, np.arange(64))
    part = resample.apply(image[y, x], part_rows[:, y], part_columns[:, x])
    np.testing.assert_array_equal(part, whole[20:41, 33:97])
