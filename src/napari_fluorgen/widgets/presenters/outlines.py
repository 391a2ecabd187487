"""Where the nuclei of a label image lie, and which pixels outline them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Outlines:
    """The nuclei that are in a labels layer, and where.

    Attributes
    ----------
    labels : ndarray of int64, shape (n,)
        Ascending.
    centers : ndarray of float64, shape (n, 2)
        Middle of the bounding boxes, in pixels (y, x).
    sizes : ndarray of int64, shape (n,)
        Longer side of the bounding boxes, in pixels.
    pixels : ndarray of intp, shape (m,)
        Places of the outlines' pixels in the flat image.
    rows : ndarray of intp, shape (m,)
        Row of `labels` to which each of them belongs.
    halo : ndarray of intp, shape (k,)
        Places of the background pixels that touch a nucleus.
    """

    labels: NDArray[np.int64]
    centers: NDArray[np.float64]
    sizes: NDArray[np.int64]
    pixels: NDArray[np.intp]
    rows: NDArray[np.intp]
    halo: NDArray[np.intp]


def find_outlines(image: NDArray[Any], thickness: int = 3) -> Outlines:
    """Find the nuclei of a label image and the pixels of their outlines.

    Parameters
    ----------
    image : ndarray of int, shape (Y, X)
        Nuclei; 0 is background. Labels need not be sequential.
    thickness : int
        Of the outlines, inwards, in pixels, at least 1.
    """
    height, width = image.shape
    inside = np.flatnonzero(image)
    labels, rows = np.unique(image.ravel()[inside], return_inverse=True)
    y, x = np.divmod(inside, width)
    low = np.full((labels.size, 2), max(height, width), np.int64)
    high = np.zeros((labels.size, 2), np.int64)
    for axis, place in enumerate((y, x)):
        np.minimum.at(low[:, axis], rows, place)
        np.maximum.at(high[:, axis], rows, place)
    edge = np.zeros(image.shape, bool)
    for step in range(1, thickness + 1):
        for axis in (0, 1):
            here = [slice(None), slice(None)]
            there = [slice(None), slice(None)]
            here[axis], there[axis] = slice(None, -step), slice(step, None)
            differ = image[tuple(here)] != image[tuple(there)]
            edge[tuple(here)] |= differ
            edge[tuple(there)] |= differ
        if step == 1:
            halo = np.flatnonzero(edge & (image == 0))
    # A nucleus that is cut by the border of the image is closed there.
    for rim in (slice(None, thickness), slice(-thickness, None)):
        edge[rim] = edge[:, rim] = True
    drawn = edge.ravel()[inside]
    return Outlines(
        labels.astype(np.int64),
        (low + high) / 2,
        (high - low).max(axis=1, initial=0) + 1,
        inside[drawn],
        rows[drawn],
        halo,
    )
