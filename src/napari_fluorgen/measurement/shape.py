"""AreaShape columns with CellProfiler's names and definitions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fluorgen.measurement.hull import hull_measures
from napari_fluorgen.measurement.moments import moment_columns
from napari_fluorgen.measurement.names import Columns

_STRIP_PIXELS = 1 << 20
"""Pixels of a strip of objects whose distances to the rim are computed at once."""


def measure_shape(labels: NDArray, count: int) -> Columns:
    """Measure the shape of labelled objects.

    Parameters
    ----------
    labels : ndarray, shape (Y, X), integer
        Objects numbered from 1; 0 is background.
    count : int
        Rows of the result; a number without a pixel gets a row of NaN.

    Returns
    -------
    dict of str to ndarray, shape (count,), float64
        ``AreaShape_*`` in pixels and degrees, as CellProfiler's MeasureObjectSizeShape with
        the advanced features and without the Zernike features.

    Notes
    -----
    Form factor is 4πA/P², compactness P²/(4πA), with the perimeter of 4-connected borders;
    radii are distances to the nearest pixel outside of the object; Feret diameters run between
    the pixel centres of the convex hull.

    References
    ----------
    Stirling et al., CellProfiler 4, BMC Bioinformatics 22:433 (2021).
    """
    boxes = ndimage.find_objects(labels, max_label=count)
    present = np.array([i for i, box in enumerate(boxes) if box is not None], dtype=np.intp)
    masks = [labels[boxes[i]] == i + 1 for i in present]
    edges = np.array([[s.start, s.stop] for i in present for s in boxes[i]]).reshape(-1, 4)
    shape = moment_columns(masks)
    area = shape["AreaShape_SpatialMoment_0_0"]
    perimeter = _perimeters(labels, count)[present]
    hulls = np.array([hull_measures(mask) for mask in masks]).reshape(-1, 3)
    box_area = (edges[:, 1] - edges[:, 0]) * (edges[:, 3] - edges[:, 2])
    table = {
        "Area": area,
        "Perimeter": perimeter,
        "Center_X": edges[:, 2] + shape["AreaShape_SpatialMoment_0_1"] / area,
        "Center_Y": edges[:, 0] + shape["AreaShape_SpatialMoment_1_0"] / area,
        "BoundingBoxArea": box_area,
        "BoundingBoxMinimum_X": edges[:, 2],
        "BoundingBoxMaximum_X": edges[:, 3],
        "BoundingBoxMinimum_Y": edges[:, 0],
        "BoundingBoxMaximum_Y": edges[:, 1],
        "Extent": area / box_area,
        "ConvexArea": hulls[:, 0],
        "Solidity": area / hulls[:, 0],
        "EulerNumber": np.array([_euler_number(mask) for mask in masks], float),
        "EquivalentDiameter": np.sqrt(4 * area / math.pi),
        "MinFeretDiameter": hulls[:, 1],
        "MaxFeretDiameter": hulls[:, 2],
        "Compactness": perimeter**2 / np.maximum(4 * math.pi * area, 1),
        **dict(zip(("MaximumRadius", "MeanRadius", "MedianRadius"), _radii(masks), strict=True)),
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        table["FormFactor"] = 4 * math.pi * area / perimeter**2
    result = {}
    for name, values in (shape | {f"AreaShape_{k}": v for k, v in table.items()}).items():
        result[name] = np.full(count, np.nan)
        result[name][present] = values
    return result


def _perimeters(labels: NDArray, count: int) -> NDArray[np.float64]:
    """Return the perimeters along 4-connected border pixels, as scikit-image defines them.

    References
    ----------
    Benkrid and Crookes, "Design and FPGA implementation of a perimeter estimator" (2000).
    """
    wide = np.pad(labels, 1)
    inner = wide[1:-1, 1:-1]
    border = np.zeros(wide.shape, bool)
    for neighbour in (wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:]):
        border[1:-1, 1:-1] |= inner != neighbour
    border &= wide > 0
    rows, columns = np.nonzero(border)
    owner = wide[rows, columns]

    def touching(steps: Sequence[tuple[int, int]]) -> NDArray[np.intp]:
        number = np.zeros(rows.size, np.intp)
        for dy, dx in steps:
            place = rows + dy, columns + dx
            number += border[place] & (wide[place] == owner)
        return number

    straight = touching(((-1, 0), (1, 0), (0, -1), (0, 1)))
    diagonal = touching(((-1, -1), (-1, 1), (1, -1), (1, 1)))
    weights = np.zeros(50)
    weights[[5, 7, 15, 17, 25, 27]] = 1
    weights[[21, 33]] = math.sqrt(2)
    weights[[13, 23]] = (1 + math.sqrt(2)) / 2
    length = weights[1 + 2 * straight + 10 * diagonal]
    return np.bincount(owner, length, minlength=count + 1)[1:].astype(np.float64)


def _euler_number(mask: NDArray[np.bool_]) -> float:
    """Return pieces minus holes, with diagonal neighbours connected."""
    wide = np.zeros((mask.shape[0] + 2, mask.shape[1] + 2), np.int8)
    wide[1:-1, 1:-1] = mask
    # the four pixels around a corner as a number of four bits
    corners = wide[:-1, :-1] + 2 * wide[:-1, 1:] + 4 * wide[1:, :-1] + 8 * wide[1:, 1:]
    number = np.bincount(corners.ravel(), minlength=16)
    single, triple = number[[1, 2, 4, 8]].sum(), number[[7, 11, 13, 14]].sum()
    return float((single - triple - 2 * number[[6, 9]].sum()) // 4)


def _radii(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """Return maximum, mean and median distance to the rim, shape (3, len(masks))."""
    result = np.zeros((3, len(masks)))
    for chosen in _strips(masks):
        tops = np.cumsum([0, *(masks[i].shape[0] + 1 for i in chosen)])
        strip = np.zeros((tops[-1] + 1, max(masks[i].shape[1] for i in chosen) + 2), bool)
        for top, i in zip(tops, chosen, strict=False):
            height, width = masks[i].shape
            strip[top + 1 : top + 1 + height, 1 : 1 + width] = masks[i]
        distances = ndimage.distance_transform_edt(strip)
        for top, i in zip(tops, chosen, strict=False):
            height, width = masks[i].shape
            radii = distances[top + 1 : top + 1 + height, 1 : 1 + width][masks[i]]
            radii.sort()
            half = radii.size // 2
            median = radii[half] if radii.size % 2 else (radii[half - 1] + radii[half]) / 2
            result[:, i] = radii[-1], radii.mean(), median
    return result


def _strips(masks: Sequence[NDArray[np.bool_]]) -> Iterator[list[int]]:
    """Gather objects of similar width, one below the other, with background between them."""
    chosen: list[int] = []
    height = 0
    for i in sorted(range(len(masks)), key=lambda i: masks[i].shape[1]):
        height += masks[i].shape[0] + 1
        if chosen and height * masks[i].shape[1] > _STRIP_PIXELS:
            yield chosen
            chosen, height = [], masks[i].shape[0] + 1
        chosen.append(i)
    if chosen:
        yield chosen
