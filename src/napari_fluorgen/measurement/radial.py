"""Radial distribution columns with CellProfiler's names and definitions (extra ``measure``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.measurement.names import Columns
from napari_fluorgen.measurement.ties import last_of_ties

RINGS = 4
_WEDGES = 8


def measure_radial(labels: NDArray, images: Mapping[str, NDArray]) -> Columns:
    """Measure how the intensity of objects is distributed between centre and rim.

    Parameters
    ----------
    labels : ndarray, shape (Y, X), integer
        Objects numbered from 1; a number may be missing.
    images : mapping of str to ndarray, shape (Y, X), float32
        Images by CellProfiler's name.

    Returns
    -------
    dict of str to ndarray, shape (count,), float64
        ``RadialDistribution_FracAtD_*``, ``_MeanFrac_*`` and ``_RadialCV_*`` of four rings, as
        CellProfiler's MeasureObjectIntensityDistribution with scaled bins and objects as their
        own centres; NaN for a number that is missing. Of several equally deep centres it is the
        one that CellProfiler picks.
    """
    count = int(labels.max(initial=0))
    if count == 0:
        names = _names(images)
        return {name: np.zeros(0) for name in names}
    inside, ring, wedge = _rings(labels, count)
    owner = labels[inside].astype(np.intp) - 1
    number = _histogram(owner, ring, RINGS + 1, count, None)
    missing = np.bincount(labels.ravel(), minlength=count + 1)[1:] == 0
    share = number / np.maximum(number.sum(1, keepdims=True), 1)
    table: Columns = {}
    for name, image in images.items():
        values = image[inside].astype(np.float32)
        total = _histogram(owner, ring, RINGS + 1, count, values)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = total / total.sum(1, keepdims=True)
            mean = part / (share + np.finfo(float).eps)
        for index in range(RINGS):
            here = ring == index
            place = f"{name}_{index + 1}of{RINGS}"
            table[f"RadialDistribution_FracAtD_{place}"] = part[:, index]
            table[f"RadialDistribution_MeanFrac_{place}"] = mean[:, index]
            table[f"RadialDistribution_RadialCV_{place}"] = _variation(
                owner[here], wedge[here], values[here], count
            )
    for values in table.values():
        values[missing] = np.nan
    return table


def _names(images: Mapping[str, Any]) -> list[str]:
    return [
        f"RadialDistribution_{kind}_{name}_{ring + 1}of{RINGS}"
        for name in images
        for ring in range(RINGS)
        for kind in ("FracAtD", "MeanFrac", "RadialCV")
    ]


def _histogram(
    owner: NDArray, index: NDArray, width: int, count: int, values: NDArray | None
) -> NDArray:
    """Sum pixels by object and place; in single precision and reading order, as CellProfiler."""
    from scipy.sparse import coo_matrix

    weights = np.ones(owner.size) if values is None else values
    return coo_matrix((weights, (owner, index)), (count, width)).toarray()


def _variation(owner: NDArray, wedge: NDArray, values: NDArray, count: int) -> NDArray:
    """Return standard deviation over mean of the mean intensities of the wedges of a ring."""
    number = _histogram(owner, wedge, _WEDGES, count, None)
    total = _histogram(owner, wedge, _WEDGES, count, values)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.ma.masked_array(total / number, number == 0)
        variation = np.ma.asarray(means.std(1) / means.mean(1))
    result = np.array(variation.data, np.float64)
    result[(number > 0).sum(1) == 0] = 0
    return result


def _rings(labels: NDArray, count: int) -> tuple[NDArray, NDArray, NDArray]:
    """Return the mask of pixels reached from their centre, and for each its ring and wedge."""
    from centrosome import cpmorphology, propagate

    numbers = labels.astype(int)
    to_edge = cpmorphology.distance_to_edge(numbers)
    rows, columns = _deepest(numbers, to_edge, count)
    centres = np.zeros(labels.shape, int)
    there = rows >= 0
    centres[rows[there], columns[there]] = numbers[rows[there], columns[there]]
    from_centre = np.zeros(labels.shape)
    reached = np.zeros(labels.shape, int)
    # objects that touch have different colours, so that none spreads into its neighbour
    colours = cpmorphology.color_labels(numbers)
    for colour in range(1, int(colours.max()) + 1):
        mask = colours == colour
        spread, distance = propagate.propagate(np.zeros(labels.shape), centres, mask, 1)
        from_centre[mask], reached[mask] = distance[mask], spread[mask]
    inside = reached > 0
    share = from_centre[inside] / (from_centre[inside] + to_edge[inside] + 0.001)
    ring = np.minimum((share * RINGS).astype(int), RINGS)
    y, x = np.nonzero(inside)
    down = y - rows[reached[inside] - 1]
    right = x - columns[reached[inside] - 1]
    wedge = (down > 0) + 2 * (right > 0) + 4 * (np.abs(down) > np.abs(right))
    return inside, ring, wedge


def _deepest(labels: NDArray, depth: NDArray, count: int) -> tuple[NDArray, NDArray]:
    """Return row and column of the centre of each object; -1 for a number that is missing."""
    highest = np.full(count + 1, -np.inf)
    np.maximum.at(highest, labels.ravel(), depth.ravel())
    highest[0] = np.nan  # the background takes part in CellProfiler's sort, and has no centre
    found = last_of_ties(depth.ravel(), labels.ravel(), highest)[1:]
    rows, columns = np.full(count, -1), np.full(count, -1)
    there = found >= 0
    rows[there], columns[there] = np.unravel_index(found[there], labels.shape)
    return rows, columns
