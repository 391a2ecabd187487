"""Intensity and location columns with CellProfiler's names and definitions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.measurement.names import Columns
from napari_fluorgen.measurement.ties import last_of_ties

FULL_SCALE = 65535
"""CellProfiler divides uint16 images by this on reading."""


def scale_counts(image: NDArray) -> NDArray[np.float32]:
    """Return camera counts as CellProfiler sees them: uint16 divided by 65535, floats as is."""
    if image.dtype == np.uint16:
        return (image.astype(np.float64) / FULL_SCALE).astype(np.float32)
    return image.astype(np.float32)


def inner_boundaries(labels: NDArray) -> NDArray[np.bool_]:
    """Return the labelled pixels with a 4-neighbour of another label (image borders are none)."""
    edge = np.zeros(labels.shape, bool)
    rows = labels[1:] != labels[:-1]
    edge[1:] |= rows
    edge[:-1] |= rows
    columns = labels[:, 1:] != labels[:, :-1]
    edge[:, 1:] |= columns
    edge[:, :-1] |= columns
    return edge & (labels > 0)


def measure_intensity(labels: NDArray, images: Mapping[str, NDArray], count: int) -> Columns:
    """Measure the intensity of objects in each image.

    Parameters
    ----------
    labels : ndarray, shape (Y, X), integer
        Objects numbered from 1; 0 is background.
    images : mapping of str to ndarray, shape (Y, X), float32
        Images by CellProfiler's name, scaled to [0, 1].
    count : int
        Rows of the result; a number without a pixel gets NaN.

    Returns
    -------
    dict of str to ndarray, shape (count,), float64
        ``Intensity_*`` and ``Location_*`` as CellProfiler's MeasureObjectIntensity; where the
        brightest value occurs more than once, its location is the one that CellProfiler picks.
    """
    rows, columns = np.nonzero(labels)
    read = rows, columns, labels[rows, columns].astype(np.intp) - 1
    owner = read[2]
    # pixels of one object side by side, in reading order: every statistic is then a run
    grouped = np.argsort(owner, kind="stable")
    rows, columns, owner = rows[grouped], columns[grouped], owner[grouped]
    edge = inner_boundaries(labels)[rows, columns]
    table: Columns = {}
    for name, image in images.items():
        raw = image[rows, columns]
        values = raw.astype(np.float64)
        for key, column in _whole(owner, raw, values, rows, columns, count).items():
            table[f"{key}_{name}"] = column
        highest = table[f"Intensity_MaxIntensity_{name}"].astype(image.dtype)
        for axis, column in _brightest(image, *read, highest).items():
            table[f"Location_MaxIntensity_{axis}_{name}"] = column
        for key, column in _statistics(owner[edge], values[edge], count).items():
            table[f"Intensity_{key}Edge_{name}"] = column
    return table


def _statistics(owner: NDArray, values: NDArray, count: int) -> Columns:
    """Return sum, mean, standard deviation, minimum and maximum of each run of one owner."""
    number = np.bincount(owner, minlength=count)
    present = np.flatnonzero(number)
    start = (np.cumsum(number) - number)[present]
    total, lowest, highest, squares = (np.full(count, np.nan) for _ in range(4))
    total[present] = np.bincount(owner, values, minlength=count)[present]
    with np.errstate(invalid="ignore"):
        mean = total / np.maximum(number, 1)
    if present.size:
        lowest[present] = np.minimum.reduceat(values, start)
        highest[present] = np.maximum.reduceat(values, start)
        squares[present] = np.bincount(owner, (values - mean[owner]) ** 2, minlength=count)[present]
    return {
        "IntegratedIntensity": total,
        "MeanIntensity": mean,
        "StdIntensity": np.sqrt(squares / np.maximum(number, 1)),
        "MinIntensity": lowest,
        "MaxIntensity": highest,
    }


def _whole(
    owner: NDArray, raw: NDArray, values: NDArray, rows: NDArray, columns: NDArray, count: int
) -> Columns:
    """Return the columns that use every pixel of an object; `values` are `raw` in float64."""
    statistics = _statistics(owner, values, count)
    table = {f"Intensity_{key}": column for key, column in statistics.items()}
    number = np.bincount(owner, minlength=count)
    ordered = _sort_runs(raw, number)
    for key, fraction in (("LowerQuartile", 0.25), ("Median", 0.5), ("UpperQuartile", 0.75)):
        table[f"Intensity_{key}Intensity"] = _quantile(ordered, number, fraction)
    spread = np.abs(values - table["Intensity_MedianIntensity"][owner])
    table["Intensity_MADIntensity"] = _quantile(_halve_runs(spread, number), number, 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = statistics["IntegratedIntensity"]
        shift = np.zeros(count)
        for axis, position in (("X", columns), ("Y", rows)):
            centre = np.bincount(owner, position, minlength=count) / number
            mass = np.bincount(owner, position * values, minlength=count) / total
            table[f"Location_CenterMassIntensity_{axis}"] = mass
            shift += (centre - mass) ** 2
        table["Intensity_MassDisplacement"] = np.sqrt(shift)
    table["Location_CenterMassIntensity_Z"] = np.where(number == 0, np.nan, 0.0)
    return table


def _brightest(
    image: NDArray, rows: NDArray, columns: NDArray, owner: NDArray, highest: NDArray
) -> Columns:
    """Return the place of each object's highest value; pixels come in reading order."""
    found = last_of_ties(image[rows, columns], owner, highest)
    some = found >= 0
    places = {"X": columns, "Y": rows, "Z": np.zeros_like(rows)}
    result = {axis: np.full(highest.size, np.nan) for axis in places}
    for axis, position in places.items():
        result[axis][some] = position[found[some]]
    return result


def _sort_runs(values: NDArray, number: NDArray) -> NDArray[np.float64]:
    """Return `values` with each run of `number` entries sorted."""
    ordered = values.copy()  # in their own type: half as wide as float64, sorted twice as fast
    stops = np.cumsum(number).tolist()
    for start, stop in zip([0, *stops], stops, strict=False):
        ordered[start:stop].sort()
    return ordered.astype(np.float64)


def _halve_runs(values: NDArray, number: NDArray) -> NDArray[np.float64]:
    """Return `values` with each run of `number` entries ordered as far as its median needs."""
    ordered = values.copy()
    stops = np.cumsum(number).tolist()
    for start, stop in zip([0, *stops], stops, strict=False):
        half = (stop - start) // 2
        if half:
            ordered[start:stop].partition((half, min(half + 1, stop - start - 1)))
    return ordered


def _quantile(ordered: NDArray, number: NDArray, fraction: float) -> NDArray[np.float64]:
    """Return a quantile for each run of `ordered`; the rank is n·fraction, as in CellProfiler."""
    result = np.full(number.size, np.nan)
    start = np.cumsum(number) - number
    rank = start + number * fraction
    low = rank.astype(np.intp)
    weight = rank - low
    inside = low < start + number - 1
    result[inside] = (
        ordered[low[inside]] * (1 - weight[inside]) + ordered[low[inside] + 1] * weight[inside]
    )
    alone = ~inside & (number > 0)
    result[alone] = ordered[low[alone]]
    return result


def measure_image_intensity(images: Mapping[str, NDArray]) -> dict[str, float]:
    """Measure whole images as CellProfiler's MeasureImageIntensity does.

    Parameters
    ----------
    images : mapping of str to ndarray, shape (Y, X), float32
        Images by CellProfiler's name, scaled to [0, 1].
    """
    row: dict[str, float] = {}
    for name, image in images.items():
        values = image.ravel()
        lower, median, upper = np.percentile(values, [25, 50, 75])
        highest = values.max()
        entries = {
            "TotalIntensity": values.sum(dtype=np.float64),
            "MeanIntensity": values.mean(dtype=np.float64),
            "MedianIntensity": median,
            "StdIntensity": values.std(dtype=np.float64),
            "MADIntensity": np.median(np.abs(values - median)),
            "MaxIntensity": highest,
            "MinIntensity": values.min(),
            "TotalArea": values.size,
            "PercentMaximal": 100.0 * np.count_nonzero(values == highest) / values.size,
            "LowerQuartileIntensity": lower,
            "UpperQuartileIntensity": upper,
        }
        row |= {f"Intensity_{key}_{name}": float(value) for key, value in entries.items()}
    return row
