"""Which of several equally bright pixels CellProfiler calls the brightest.

CellProfiler takes the last one in the order of an unstable sort, so the choice looks arbitrary.
It is that of NumPy's introsort as it was before it used vector instructions, and can be repeated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAF = 4096
"""Pieces up to this size are left to NumPy (which sorts few entries by insertion)."""


def last_of_ties(
    values: NDArray[Any], owner: NDArray[np.intp], highest: NDArray[Any]
) -> NDArray[np.intp]:
    """Return for each owner the index of the highest value that CellProfiler picks.

    Parameters
    ----------
    values : ndarray, shape (N,), float
        Values of the pixels of all objects, in reading order.
    owner : ndarray, shape (N,), integer
        The object of each pixel, from 0.
    highest : ndarray, shape (objects,)
        The highest value of each object; NaN for an object without pixels.

    Returns
    -------
    ndarray, shape (objects,)
        Index into `values`; -1 for an object without one that equals its highest.

    Notes
    -----
    `scipy.ndimage.maximum_position` sorts all pixels by value, whatever object they are in, and
    keeps the last of each object. Only pieces of that sort in which such a pixel lies are sorted
    here. An introsort that turned to its heapsort would be missed; images do not provoke it.

    References
    ----------
    NumPy 1.23, ``npysort/quicksort.cpp``; SciPy 1.9, ``ndimage/_measurements.py``.
    """
    candidates = values == highest[owner]
    result = np.full(highest.size, -1, np.intp)
    chosen = np.flatnonzero(candidates)
    number = np.bincount(owner[chosen], minlength=highest.size)
    tied = number > 1
    if tied.any() and not np.isnan(values).any():
        order = _partial_order(values, np.unique(highest[tied]))
        chosen = order[candidates[order]]
    result[owner[chosen]] = chosen  # of several the last stays
    return result


def _partial_order(values: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.intp]:
    """Return the order of NumPy's introsort, right for entries whose value is in `wanted`."""
    order = np.arange(values.size)
    ordered = values.copy()
    pending = [(0, values.size, -np.inf, np.inf)]
    while pending:
        start, stop, low, high = pending.pop()
        first = np.searchsorted(wanted, low)
        if first == wanted.size or wanted[first] > high:
            continue
        piece, places = ordered[start:stop], order[start:stop]
        if piece.size <= _LEAF:
            sorting = scalar_argsort(piece)
            piece[:], places[:] = piece[sorting], places[sorting]
            continue
        split = _partition(piece, places)
        pivot = piece[split]
        pending += [(start, start + split, low, pivot), (start + split + 1, stop, pivot, high)]
    return order


def scalar_argsort(values: NDArray[Any]) -> NDArray[np.intp]:
    """Sort as NumPy does without vector instructions, which it has none of for this type."""
    return values.astype(np.longdouble).argsort()


def _partition(values: NDArray[Any], places: NDArray[np.intp]) -> int:
    """Divide a piece at the median of three, as NumPy's introsort does, and return where."""

    def swap(one: Any, other: Any) -> None:
        for array in (values, places):
            array[one], array[other] = array[other].copy(), array[one].copy()

    last = values.size - 1
    middle = last >> 1
    if values[middle] < values[0]:
        swap(middle, 0)
    if values[last] < values[middle]:
        swap(last, middle)
    if values[middle] < values[0]:
        swap(middle, 0)
    pivot = values[middle]
    swap(middle, last - 1)
    # two pointers run towards each other and swap; the pivot stops both
    rising = np.flatnonzero(values[1:last] >= pivot) + 1
    falling = np.flatnonzero(values[: last - 1] <= pivot)[::-1]
    both = min(rising.size, falling.size)
    swaps = int(np.count_nonzero(rising[:both] < falling[:both]))
    split = int(rising[swaps]) if swaps < rising.size else last - 1
    if swaps:
        split = min(split, int(falling[swaps - 1]))
        swap(rising[:swaps], falling[:swaps])
    swap(split, last - 1)
    return split
