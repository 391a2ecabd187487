"""The held-out part beside its truth, as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 136
"""Pixels of each half at most: two halves and a gap fit a dock."""

GAP = 4

_LONGEST = 1.25  # longer side of a piece over its shorter one


def side_by_side(predicted: Any, truth: Any, side: int = SIDE) -> NDArray[np.uint8]:
    """Put prediction (left) and truth (right) into one grey picture.

    Both are shown with the limits of the truth, so that a stain that is too faint looks too faint.
    Of a part that is large or a long strip only the brightest piece of the truth is shown: cells
    must be seen.

    Parameters
    ----------
    predicted, truth : array-like, shape (Y, X)
        Images in camera counts.
    side : int
        Largest height and width of each half.

    Returns
    -------
    ndarray, shape (height, 2 * width + GAP), uint8
        Contiguous.
    """
    real = np.nan_to_num(np.asarray(truth, np.float32))
    window = tuple(_brightest(real, axis, side) for axis in (0, 1))
    halves = [_shrink(np.asarray(x, np.float32)[window], side) for x in (predicted, truth)]
    finite = halves[1][np.isfinite(halves[1])]
    low, high = np.percentile(finite, (1, 99.7)) if finite.size else (0.0, 1.0)
    span = max(float(high - low), 1e-6)
    grey = [np.nan_to_num((half - low) / span).clip(0, 1) for half in halves]
    gap = np.zeros((grey[0].shape[0], GAP), np.float32)
    picture = np.concatenate([grey[0], gap, grey[1]], axis=1)
    return np.ascontiguousarray(np.round(255 * picture), np.uint8)


def _brightest(image: NDArray[np.float32], axis: int, side: int) -> slice:
    """Rows (or columns) of the brightest piece that is neither too large nor a long strip."""
    length = min(image.shape[axis], 2 * side, max(1, round(_LONGEST * image.shape[1 - axis])))
    sums = image.mean(axis=1 - axis, dtype=np.float64)
    first = int(np.argmax(np.convolve(sums, np.ones(length), "valid")))
    return slice(first, first + length)


def _shrink(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Average blocks of pixels until the image fits."""
    step = -(-max(image.shape) // side)
    down, along = (min(step, n) for n in image.shape)  # a narrow strip keeps its one row
    rows, columns = image.shape[0] // down, image.shape[1] // along
    blocks = image[: rows * down, : columns * along].reshape(rows, down, columns, along)
    return blocks.mean(axis=(1, 3), dtype=np.float32)
