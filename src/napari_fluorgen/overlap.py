"""Which objects of two label images share pixels, as a table of those pairs alone.

A matrix of all pairs would take gigabytes for the thousands of nuclei of a slide, of which each
touches a few.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.errors import InputError


@dataclass(frozen=True, eq=False)
class Overlaps:
    """Pairs of a true and a found object that share pixels.

    Attributes
    ----------
    n_true, n_found : int
        Number of objects in each image.
    true, found : ndarray of int64, shape (pairs,)
        The objects of each pair, counted from 0 in the order of their labels.
    iou : ndarray of float64, shape (pairs,)
        Intersection over union of each pair.
    """

    n_true: int
    n_found: int
    true: NDArray[np.int64]
    found: NDArray[np.int64]
    iou: NDArray[np.float64]

    def best_of_found(self) -> NDArray[np.float64]:
        """Largest intersection over union of each found object with a true one, 0 without any."""
        return _largest(self.found, self.iou, self.n_found)

    def best_of_true(self) -> NDArray[np.float64]:
        """Largest intersection over union of each true object with a found one, 0 without any."""
        return _largest(self.true, self.iou, self.n_true)


def find_overlaps(truth: ArrayLike, found: ArrayLike) -> Overlaps:
    """Find the objects of two label images that share pixels.

    Parameters
    ----------
    truth, found : array-like of int, same shape
        0 is background; labels need not be sequential.

    Returns
    -------
    Overlaps

    Raises
    ------
    InputError
        When the shapes differ.
    """
    true, objects = np.asarray(truth), np.asarray(found)
    if true.shape != objects.shape:
        raise InputError(
            f"The true objects have shape {true.shape} and those found have {objects.shape}: "
            "they must be equal."
        )
    either = (true != 0) | (objects != 0)
    # The appended pixel makes sure that background is row 0 and column 0.
    rows, row = np.unique(np.append(true[either], 0), return_inverse=True)
    columns, column = np.unique(np.append(objects[either], 0), return_inverse=True)
    joint = row.astype(np.int64) * len(columns) + column
    pairs, shared = np.unique(joint, return_counts=True)
    row, column = np.divmod(pairs, len(columns))
    true_area = np.bincount(row, weights=shared)
    found_area = np.bincount(column, weights=shared)
    both = (row > 0) & (column > 0)
    row, column, shared = row[both], column[both], shared[both]
    iou = shared / (true_area[row] + found_area[column] - shared)
    return Overlaps(len(rows) - 1, len(columns) - 1, row - 1, column - 1, iou)


def _largest(owner: NDArray[np.int64], iou: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    largest = np.zeros(count)
    np.maximum.at(largest, owner, iou)
    return largest
