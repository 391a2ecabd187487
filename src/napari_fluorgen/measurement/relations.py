"""Which object lies in which: parents, children and means over children."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from napari_fluorgen.measurement.names import Columns


def find_parents(
    parents: NDArray, children: NDArray, parent_count: int, child_count: int
) -> NDArray[np.int64]:
    """Return for each child the parent that covers most of its pixels (0: none).

    Parameters
    ----------
    parents, children : ndarray, shape (Y, X), integer
        Labels from 1; 0 is background. Of equal overlaps the lower parent number wins, as in
        CellProfiler.
    parent_count, child_count : int
        Highest numbers in use.

    Returns
    -------
    ndarray, shape (child_count,), int64
    """
    both = (parents > 0) & (children > 0)
    shape = (child_count + 1, parent_count + 1)
    overlap = sparse.coo_matrix(
        (np.ones(np.count_nonzero(both), np.int64), (children[both], parents[both])), shape=shape
    ).tocsr()
    overlap.sum_duplicates()
    return np.asarray(overlap.argmax(axis=1), dtype=np.int64).ravel()[1:]


def count_children(parent_of: NDArray, parent_count: int) -> NDArray[np.int64]:
    """Return the number of children of parents 1..parent_count."""
    return np.bincount(parent_of, minlength=parent_count + 1)[1:].astype(np.int64)


def mean_over_children(
    table: Columns, child_name: str, parent_of: NDArray, parent_count: int
) -> Columns:
    """Return ``Mean_<child>_<feature>`` for every parent; NaN for a parent without children."""
    number = count_children(parent_of, parent_count)
    means: Columns = {}
    for feature, values in table.items():
        if feature.startswith(("Parent_", "Mean_", "Children_")):
            continue
        total = np.bincount(parent_of, values.astype(np.float64), minlength=parent_count + 1)[1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            means[f"Mean_{child_name}_{feature}"] = total / number
    return means
