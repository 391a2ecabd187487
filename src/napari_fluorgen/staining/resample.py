"""Change of pixel size as two small sparse matrices, one an axis.

The weights are those of a triangle filter that widens when the image shrinks (antialiased linear
interpolation, as in PyTorch's ``interpolate(antialias=True)``). A row of a matrix names the input
pixels that one output pixel needs, so that a tile is resampled from exactly its own neighbourhood
and equals the same part of the resampled plane.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def resize_matrix(size_in: int, size_out: int) -> sparse.csr_array:
    """Weights that take `size_in` samples to `size_out`.

    Parameters
    ----------
    size_in, size_out : int
        Number of samples; both cover the same length.

    Returns
    -------
    scipy.sparse.csr_array, shape (size_out, size_in), float32
        Rows add up to 1.
    """
    step = size_in / size_out
    support = max(step, 1.0)
    centres = (np.arange(size_out) + 0.5) * step - 0.5
    offsets = np.arange(int(np.ceil(2 * support)) + 1)
    columns = np.floor(centres - support).astype(np.int64)[:, None] + offsets[None, :] + 1
    weights = np.clip(1 - np.abs(columns - centres[:, None]) / support, 0, None)
    weights[(columns < 0) | (columns >= size_in)] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    used = weights > 0
    rows = np.broadcast_to(np.arange(size_out)[:, None], columns.shape)
    return sparse.csr_array(
        (weights[used].astype(np.float32), (rows[used], columns[used])),
        shape=(size_out, size_in),
    )


def needed(matrix: sparse.csr_array, indices: NDArray[np.int64]) -> slice:
    """The run of input samples that the outputs `indices` are made from."""
    columns = matrix[indices].indices
    return slice(int(columns.min()), int(columns.max()) + 1)


def apply(plane: NDArray[np.float32], rows: Any, columns: Any) -> NDArray[np.float32]:
    """Resample a plane: ``rows @ plane @ columns.T`` in float32.

    Parameters
    ----------
    plane : ndarray, shape (Y, X), float32
        Image.
    rows, columns : sparse array
        Weights of shape (Y', Y) and (X', X).

    Returns
    -------
    ndarray, shape (Y', X'), float32
    """
    half = rows @ plane
    return np.ascontiguousarray((columns @ half.T).T, dtype=np.float32)


def resize(plane: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resample a plane to another number of pixels.

    Parameters
    ----------
    plane : ndarray, shape (Y, X), float32
        Image.
    shape : tuple of int
        Rows and columns wanted; both grids cover the same area.

    Returns
    -------
    ndarray, float32
        The plane itself where it has the shape already.
    """
    if plane.shape == shape:
        return plane
    return apply(
        plane, resize_matrix(plane.shape[0], shape[0]), resize_matrix(plane.shape[1], shape[1])
    )
