"""Granularity columns with CellProfiler's names and definitions; needs no extra package."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_fluorgen.measurement.names import Columns

SPECTRUM = 16
"""Steps of the spectrum; a step loses what is one pixel of the reduced image larger."""

_SHRINK = 0.25
_BACKGROUND_RADIUS = 10


def measure_granularity(
    image: NDArray[np.float32], name: str, labels: Mapping[str, NDArray] | None = None
) -> tuple[dict[str, float], dict[str, Columns]]:
    """Measure how much of an image lies in bright spots of each size.

    Parameters
    ----------
    image : ndarray, shape (Y, X), float32
        Scaled to [0, 1].
    name : str
        Name of the image in CellProfiler.
    labels : mapping of str to ndarray, shape (Y, X), integer, optional
        Objects numbered from 1, to be measured within.

    Returns
    -------
    image_row : dict of str to float
        ``Granularity_<1..16>_<name>`` of the whole image: percent of its signal lost at each size.
    tables : dict of str to dict
        The same of each object, an array with one entry an object.

    Notes
    -----
    CellProfiler's MeasureGranularity: both subsampling factors 0.25, radius 10, range 16. Images
    that leave less than two pixels after both reductions, or hold NaN or infinity, give NaN.

    References
    ----------
    Ravkin and Temov, Applied Informatics 14:81 (1988).
    """
    from skimage.morphology import disk, erosion, reconstruction

    objects = {key: mask for key, mask in (labels or {}).items() if mask.any()}
    counts = {key: int(mask.max(initial=0)) for key, mask in (labels or {}).items()}
    steps = [f"Granularity_{step}_{name}" for step in range(1, SPECTRUM + 1)]
    small = tuple(int(np.ceil(side * _SHRINK)) for side in image.shape)
    # Reconstruction by scikit-image ends the process where a pixel is NaN.
    if min(image.shape) * _SHRINK**2 <= 1 or not np.isfinite(image).all():
        return dict.fromkeys(steps, np.nan), {
            key: {step: np.full(count, np.nan) for step in steps} for key, count in counts.items()
        }
    pixels = _reduced(image, small)
    pixels -= _background(pixels, tuple(side * _SHRINK for side in image.shape))
    pixels[pixels < 0] = 0
    back = tuple(
        np.arange(side, dtype=float) * (side * _SHRINK - 1) / (side - 1) for side in image.shape
    )
    means = {key: _object_means(image, mask) for key, mask in objects.items()}
    starts = {key: np.maximum(mean, np.finfo(float).eps) for key, mean in means.items()}
    previous = float(pixels.mean())  # in single precision, as CellProfiler's
    start = max(previous, float(np.finfo(float).eps))
    row: dict[str, float] = {}
    tables: dict[str, Columns] = {key: {} for key in counts}
    footprint = disk(1, dtype=bool)
    eroded = pixels
    for step in steps:
        eroded = erosion(eroded, footprint)
        rebuilt = reconstruction(eroded, pixels, footprint=footprint)
        current = float(rebuilt.mean(dtype=np.float64))
        row[step] = (previous - current) * 100 / start
        previous = current
        for key in counts:
            tables[key][step] = np.zeros(0)
        if objects:
            grown = ndimage.map_coordinates(rebuilt, np.meshgrid(*back, indexing="ij"), order=1)
        for key, mask in objects.items():
            mean = _object_means(grown, mask)
            tables[key][step] = (means[key] - mean) * 100 / starts[key]
            means[key] = mean
    return row, tables


def _reduced(image: NDArray, shape: tuple[int, ...]) -> NDArray:
    grid = np.meshgrid(*(np.arange(side) / _SHRINK for side in shape), indexing="ij")
    return ndimage.map_coordinates(image, grid, order=1)


def _background(pixels: NDArray, exact: tuple[float, ...]) -> NDArray:
    """Return what is wider than the largest spot; sides count in fractions, as CellProfiler's."""
    from skimage.morphology import dilation, disk, erosion

    back = tuple(side * _SHRINK for side in exact)
    small = _reduced(pixels, tuple(int(np.ceil(side)) for side in back))
    footprint = disk(_BACKGROUND_RADIUS, dtype=bool)
    opened = dilation(erosion(small, footprint), footprint)
    axes = (
        np.arange(length, dtype=float) * (float(outer) - 1) / (float(inner) - 1)
        for length, outer, inner in zip(pixels.shape, back, exact, strict=True)
    )
    return ndimage.map_coordinates(opened, np.meshgrid(*axes, indexing="ij"), order=1)


def _object_means(image: NDArray, mask: NDArray) -> NDArray[np.float64]:
    count = int(mask.max())
    total = np.bincount(mask.ravel(), image.ravel(), minlength=count + 1)[1:]
    with np.errstate(invalid="ignore"):
        return total / np.bincount(mask.ravel(), minlength=count + 1)[1:]
