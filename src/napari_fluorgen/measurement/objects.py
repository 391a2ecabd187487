"""Cells, cytoplasm and lipid droplets from nuclei labels and the predicted stains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from napari_fluorgen.measurement.names import sequential
from napari_fluorgen.measurement.pixel_size import DEFAULT_PIXEL_SIZE_UM
from napari_fluorgen.stack import square_pixel

CELL_THRESHOLD_CORRECTION = 0.7
"""Factor on the cell threshold; the cytoplasm thins out towards the rim of a cell."""


@dataclass(frozen=True)
class DropletSettings:
    """How lipid droplets are found; lengths in micrometres.

    Attributes
    ----------
    min_diameter_um, max_diameter_um : float
        Smaller droplets are dropped; `max_diameter_um` sets the scale of the background.
    correction : float
        Factor on the automatic threshold; above 1 finds fewer droplets.
    """

    min_diameter_um: float = 0.8
    max_diameter_um: float = 12.0
    correction: float = 1.0


def cross_entropy_threshold(image: NDArray) -> float:
    """Return the minimum cross-entropy threshold, with CellProfiler's stopping rule.

    Parameters
    ----------
    image : ndarray, float
        Intensities scaled to [0, 1].

    References
    ----------
    Li and Tam, Pattern Recognition Letters 18:771 (1998).
    """
    from skimage.filters import threshold_li

    values = np.unique(image)
    if values.size < 2:
        return float(values[0]) if values.size else 0.0
    tolerance = max(float(np.diff(values).min()) / 2, 0.5 / 65536)
    return float(threshold_li(image, tolerance=tolerance))


def combine_stains(lipids: NDArray, cytoplasm: NDArray) -> NDArray[np.float32]:
    """Return lipids + cytoplasm, clipped to [0, 1]: the image on which cells are found."""
    return np.clip(lipids + cytoplasm, 0, 1)


def segment_cells(
    nuclei: NDArray, image: NDArray, correction: float = CELL_THRESHOLD_CORRECTION
) -> NDArray[np.uint32]:
    """Grow each nucleus over the bright region around it.

    Parameters
    ----------
    nuclei : ndarray, shape (Y, X), integer
        Labels from 1; a cell gets the number of its nucleus.
    image : ndarray, shape (Y, X), float32
        Stain of the cell bodies, scaled to [0, 1].
    correction : float
        Factor on the minimum cross-entropy threshold.

    Returns
    -------
    ndarray, shape (Y, X), uint32

    Notes
    -----
    The watershed of CellProfiler's IdentifySecondaryObjects ("Watershed - Image", global minimum
    cross-entropy threshold, holes filled).
    """
    from skimage.segmentation import watershed

    if not nuclei.any():
        return np.zeros(nuclei.shape, np.uint32)
    mask = (image >= cross_entropy_threshold(image) * correction) | (nuclei > 0)
    cells = watershed(
        1 - image, markers=nuclei.astype(np.int32), mask=mask, connectivity=np.ones((3, 3), bool)
    )
    return fill_holes(cells).astype(np.uint32)


def fill_holes(labels: NDArray) -> NDArray:
    """Fill background that one single label encloses; regions at the image border stay open."""
    regions, count = ndimage.label(labels == 0)
    if count == 0:
        return labels
    wide = np.pad(labels, 1)
    lowest = np.full(count + 1, np.iinfo(np.int64).max)
    highest = np.zeros(count + 1, np.int64)
    hole = regions > 0
    owner = regions[hole]
    rows, columns = wide.shape
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        neighbour = wide[down : rows - 2 + down, right : columns - 2 + right][hole]
        touching = neighbour > 0
        np.minimum.at(lowest, owner[touching], neighbour[touching])
        np.maximum.at(highest, owner[touching], neighbour[touching])
    fill = np.where(lowest == highest, highest, 0)
    for border in (regions[0], regions[-1], regions[:, 0], regions[:, -1]):
        fill[border] = 0
    fill[0] = 0
    return np.where(hole, fill[regions], labels).astype(labels.dtype)


def subtract_nuclei(cells: NDArray, nuclei: NDArray) -> NDArray[np.uint32]:
    """Return the cells without their nuclei; a cytoplasm keeps the number of its cell."""
    return np.where(nuclei > 0, 0, cells).astype(np.uint32)


def segment_droplets(
    image: NDArray,
    pixel_size_um: tuple[float, float] | None = None,
    settings: DropletSettings | None = None,
) -> NDArray[np.uint32]:
    """Find lipid droplets: background removed, thresholded, touching ones divided.

    Parameters
    ----------
    image : ndarray, shape (Y, X), float32
        Lipid stain scaled to [0, 1].
    pixel_size_um : tuple of float (y, x), optional
        `DEFAULT_PIXEL_SIZE_UM` where None.
    settings : DropletSettings, optional

    Returns
    -------
    ndarray, shape (Y, X), uint32
        Labels from 1 in reading order of their centres.

    Notes
    -----
    The white top-hat with a square wider than the largest droplet removes haze; what is above
    the minimum cross-entropy threshold is divided by a watershed on the distance to the rim.
    """
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    settings = settings or DropletSettings()
    pixel = square_pixel(pixel_size_um) if pixel_size_um else DEFAULT_PIXEL_SIZE_UM
    smallest = max(settings.min_diameter_um / pixel, 2.0)
    widest = max(int(settings.max_diameter_um / pixel), 3)
    empty = np.zeros(image.shape, np.uint32)
    if image.size == 0 or image.max() == image.min():
        return empty
    smooth = ndimage.gaussian_filter(image.astype(np.float32), smallest / 4)
    opened = ndimage.grey_opening(smooth, size=(widest, widest))
    raised = smooth - ndimage.gaussian_filter(opened, widest / 2)
    threshold = cross_entropy_threshold(np.maximum(raised, 0)) * settings.correction
    mask = raised > max(threshold, 0.0)
    if not mask.any():
        return empty
    rim = ndimage.distance_transform_edt(mask)
    # the faint share of intensity finds a small bright droplet in front of a large one
    height = ndimage.gaussian_filter(rim + smooth / smooth.max(), smallest / 4)
    peaks = peak_local_max(
        height,
        min_distance=max(int(smallest / 2), 1),
        labels=mask.astype(np.uint8),
        exclude_border=False,
    )
    seeds = _keep_centres(peaks, rim[tuple(peaks.T)])
    markers = np.zeros(image.shape, np.int32)
    markers[tuple(seeds.T)] = np.arange(1, len(seeds) + 1)
    droplets = watershed(-height, markers, mask=mask)
    area = np.bincount(droplets.ravel())
    droplets[area[droplets] < math.pi / 4 * smallest**2] = 0
    return sequential(droplets)[0]


def _keep_centres(peaks: NDArray, radii: NDArray) -> NDArray:
    """Drop peaks well inside of a larger droplet; return the rest in reading order.

    Parameters
    ----------
    peaks : ndarray, shape (N, 2)
        Rows and columns.
    radii : ndarray, shape (N,)
        Distance to the rim at each peak.
    """
    inside = cKDTree(peaks).query_ball_point(peaks, 0.75 * radii)
    kept = np.ones(len(peaks), bool)
    for peak in np.argsort(-radii, kind="stable"):
        if kept[peak]:
            kept[inside[peak]] = False
            kept[peak] = True
    seeds = peaks[kept]
    return seeds[np.lexsort((seeds[:, 1], seeds[:, 0]))]
