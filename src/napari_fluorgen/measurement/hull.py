"""Convex hull of a mask: its vertices, its area in pixels, its Feret diameters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import distance

Point = tuple[float, float]


def hull_measures(mask: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return the convex area, the smallest and the largest Feret diameter of one object.

    Parameters
    ----------
    mask : ndarray of bool, shape (Y, X)
        The object in its bounding box.

    Returns
    -------
    convex_area : float
        Pixels whose centre lies within the hull of all pixel edges' midpoints, or on it, as
        scikit-image counts them.
    smallest, largest : float
        Feret diameters between pixel centres, as CellProfiler's.
    """
    left, right = _chains(mask)
    vertices = np.array(left + right[::-1])
    return (_convex_area(left, right, mask.shape[0]), *feret_diameters(vertices))


def _chains(mask: NDArray[np.bool_]) -> tuple[list[Point], list[Point]]:
    """Return the left and the right side of the hull of pixel centres, from top to bottom."""
    # the rims of the rows hold every vertex of the hull; an object may be in pieces
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    places = rows.tolist()
    return (
        _side(list(zip(places, first.tolist(), strict=True)), 1),
        _side(list(zip(places, last.tolist(), strict=True)), -1),
    )


def _side(points: list[Point], sign: int) -> list[Point]:
    """Return the convex side of points in order of rows (Andrew's monotone chain)."""
    chain: list[Point] = []
    for y, x in points:
        while len(chain) > 1:
            (y0, x0), (y1, x1) = chain[-2:]
            if sign * ((y1 - y0) * (x - x0) - (x1 - x0) * (y - y0)) > 0:
                break
            chain.pop()
        chain.append((y, x))
    return chain


def _convex_area(left: list[Point], right: list[Point], height: int) -> float:
    rows = np.arange(height)
    ends = []
    for chain, sign in ((left, 1), (right, -1)):
        # each vertex grows to the midpoints of the edges of its pixel
        grown = sorted(
            point
            for y, x in chain
            for point in ((y - 0.5, float(x)), (y, x - sign * 0.5), (y + 0.5, float(x)))
        )
        ends.append(np.interp(rows, *np.array(_side(grown, sign)).T))
    # an edge may run through pixel centres exactly, which rounding must not lose
    return float(np.sum(np.floor(ends[1] + 1e-9) - np.ceil(ends[0] - 1e-9) + 1))


def feret_diameters(vertices: NDArray[np.float64]) -> tuple[float, float]:
    """Return the smallest and the largest distance between parallel lines that hold a polygon.

    Parameters
    ----------
    vertices : ndarray, shape (N, 2)
        Corners of a convex polygon, in order; neighbours may be equal.

    Returns
    -------
    smallest, largest : float
        In the unit of the points; a single point or a straight line has a smallest of 0.
    """
    points = np.asarray(vertices, float)
    largest = float(distance.pdist(points).max(initial=0.0))
    edges = np.roll(points, -1, axis=0) - points
    lengths = np.hypot(edges[:, 0], edges[:, 1])
    edges = edges[lengths > 0] / lengths[lengths > 0, None]
    if not len(edges):
        return 0.0, largest
    across = points @ np.array([edges[:, 1], -edges[:, 0]])
    return float((across.max(axis=0) - across.min(axis=0)).min()), largest
