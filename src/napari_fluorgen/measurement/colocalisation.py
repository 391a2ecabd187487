"""Colocalisation columns with CellProfiler's names and definitions.

CellProfiler ranks pixels over all objects and takes Costes' threshold from the whole image, which
is why these are not cp-measure's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.measurement.names import Columns

THRESHOLD_PERCENT = 15.0
"""Pixels below this percentage of the brightest are left out of all but Pearson and Costes."""

_SCALE = 65535
Pair = tuple[str, str]
Entry = dict[str, NDArray]


def measure_colocalisation(
    images: Mapping[str, NDArray[np.float32]], labels: Mapping[str, NDArray]
) -> tuple[dict[str, float], dict[str, Columns]]:
    """Compare each pair of images, over the whole image and within each object.

    Parameters
    ----------
    images : mapping of str to ndarray, shape (Y, X), float32
        Images of 16 bit by CellProfiler's name, scaled to [0, 1].
    labels : mapping of str to ndarray, shape (Y, X), integer
        Objects numbered from 1.

    Returns
    -------
    image_row : dict of str to float
        ``Correlation_*`` of the whole image.
    tables : dict of str to dict
        The same, without slopes, of each object.

    References
    ----------
    Costes et al., Biophysical Journal 86:3993 (2004); Singan et al., BMC Bioinformatics 12:407
    (2011); CellProfiler's MeasureColocalization, "Faster" Costes.
    """
    row: dict[str, float] = {}
    tables: dict[str, Columns] = {name: {} for name in labels}
    for pair in combinations(images, 2):
        first, second = (images[name].ravel() for name in pair)
        thresholds = _costes_thresholds(first, second)
        row |= _whole_image(pair, first, second, thresholds)
        for name, mask in labels.items():
            owner = mask.ravel()
            inside = owner > 0
            tables[name] |= _within_objects(
                pair,
                first[inside],
                second[inside],
                owner[inside].astype(np.intp) - 1,
                int(mask.max(initial=0)),
                thresholds,
            )
    return row, tables


def _named(pair: Pair, values: Mapping[str, tuple[object, ...]]) -> dict:
    """Return columns by name; of two values the second belongs to the images the other way."""
    orders = ("_".join(pair), "_".join(pair[::-1]))
    return {
        f"Correlation_{kind}_{order}": value
        for kind, both in values.items()
        for order, value in zip(orders, both, strict=False)
    }


def _whole_image(
    pair: Pair, first: NDArray, second: NDArray, costes: tuple[float, float]
) -> dict[str, float]:
    from scipy.linalg import lstsq

    # single precision where CellProfiler has it
    slope = lstsq(np.array((first, np.ones_like(first))).T, second)[0][0]
    limits = [float(image.max()) * THRESHOLD_PERCENT / 100 for image in (first, second)]
    above, other = first > limits[0], second > limits[1]
    both = above & other
    one, two = first[both], second[both]
    total = first[above].sum(), second[other].sum()
    weight = _rank_weights(first, second, None)[both]
    bright, bright_other = first > costes[0], second > costes[1]
    common = bright & bright_other
    product = (one * two).sum()
    squares = (one**2).sum(), (two**2).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        values: dict[str, tuple[object, ...]] = {
            "Correlation": (np.corrcoef(first, second)[1, 0],),
            "Slope": (slope,),
            "Overlap": (product / np.sqrt(squares[0] * squares[1]),),
            "K": (product / squares[0], product / squares[1]),
            "Manders": (one.sum() / total[0], two.sum() / total[1]),
            "RWC": ((one * weight).sum() / total[0], (two * weight).sum() / total[1]),
            "Costes": (
                first[common].sum() / first[bright].sum(),
                second[common].sum() / second[bright_other].sum(),
            ),
        }
    return {name: float(value) for name, value in _named(pair, values).items()}


def _within_objects(
    pair: Pair,
    first: NDArray,
    second: NDArray,
    owner: NDArray[np.intp],
    count: int,
    costes: tuple[float, float],
) -> Columns:
    if count == 0:
        none = (np.zeros(0), np.zeros(0))
        kinds = {"K": none, "Manders": none, "RWC": none, "Costes": none}
        return _named(pair, {"Correlation": none[:1], "Overlap": none[:1], **kinds})

    def total(values: NDArray, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.bincount(owner[chosen], values[chosen], minlength=count).astype(np.float64)

    every = np.ones(owner.size, bool)
    number = np.bincount(owner, minlength=count)
    highest = [np.full(count, -np.inf, np.float32) for _ in range(2)]
    for peak, pixels in zip(highest, (first, second), strict=True):
        np.maximum.at(peak, owner, pixels)
    limits = [(THRESHOLD_PERCENT / 100 * peak).astype(np.float32) for peak in highest]
    above, other = first >= limits[0][owner], second >= limits[1][owner]
    both = above & other
    weight = _rank_weights(first, second, owner)
    bright, bright_other = first > costes[0], second > costes[1]
    common = bright & bright_other
    product = total(first * second, both)
    squares = total(first**2, both), total(second**2, both)
    sums = total(first, above), total(second, other)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = first - (total(first, every) / number)[owner]
        y = second - (total(second, every) / number)[owner]
        spread = np.sqrt(total(x**2, every)), np.sqrt(total(y**2, every))
        values: dict[str, tuple[NDArray, ...]] = {
            "Correlation": (total(x * y / (spread[0][owner] * spread[1][owner]), every),),
            "Overlap": (product / np.sqrt(squares[0] * squares[1]),),
            "K": (product / squares[0], product / squares[1]),
            "Manders": (total(first, both) / sums[0], total(second, both) / sums[1]),
            "RWC": (total(first * weight, both) / sums[0], total(second * weight, both) / sums[1]),
            "Costes": (
                _share(total(first, common), total(first, first >= costes[0]), common),
                _share(total(second, common), total(second, second >= costes[1]), common),
            ),
        }
    return _named(pair, values)


def _share(part: NDArray, whole: NDArray, common: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return parts of wholes; 0 throughout where no pixel of any object lies above both."""
    return part / whole if common.any() else np.zeros(part.size)


def _rank_weights(first: NDArray, second: NDArray, owner: NDArray | None) -> NDArray[np.float64]:
    """Return how near in rank both values of a pixel are; 1 is the same rank."""
    ranks = []
    for values in (first, second):
        # CellProfiler sorts by value and, among equals, by object
        order = np.lexsort((values,)) if owner is None else np.lexsort((owner, values))
        rising = np.zeros(values.size, np.intp)
        rising[1:] = values[order[1:]] != values[order[:-1]]
        rank = np.empty(values.size, np.intp)
        rank[order] = np.cumsum(rising)
        ranks.append(rank)
    levels = max(rank.max(initial=0) for rank in ranks) + 1
    return (levels - np.abs(ranks[0] - ranks[1])) / levels


def _costes_thresholds(first: NDArray, second: NDArray) -> tuple[float, float]:
    """Return the intensities below which both images no longer correlate (bisection)."""
    some = (first > 0) | (second > 0)
    one, two = first[some], second[some]
    if one.size < 2:
        return 0.0, 0.0
    # single and double precision where CellProfiler has them: one step of the threshold hangs on it
    spread, other = np.var(one, ddof=1), np.var(two, ddof=1)
    covariance = 0.5 * float(np.var(one + two, ddof=1) - (spread + other))
    rise = other - spread
    root = math.sqrt(float(rise * rise) + 4 * covariance**2)
    gradient = (float(rise) + root) / (2 * covariance) if covariance else math.nan
    offset = float(np.mean(two)) - gradient * float(np.mean(one))
    left, right, last, valid = 1.0, float(_SCALE), 0.0, 1.0
    middle = ((right - left) // (6 / 5)) + left
    while last != middle:
        threshold = middle / _SCALE
        below = (first < threshold) | (second < gradient * threshold + offset)
        if np.count_nonzero(below) <= 2:
            left = middle - 1
        else:
            with np.errstate(divide="ignore", invalid="ignore"):
                correlation = np.corrcoef(first[below], second[below])[0, 1]
            if correlation < 0:
                left = middle - 1
            elif correlation >= 0:
                right, valid = middle + 1, middle
        last = middle
        middle = ((right - left) // (6 / 5 if right - left > 6 else 2)) + left
    threshold = (valid - 1) / _SCALE
    return threshold, gradient * threshold + offset
