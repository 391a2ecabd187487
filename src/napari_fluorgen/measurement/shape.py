"""AreaShape columns with CellProfiler's names and definitions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError, distance

from napari_fluorgen.measurement.names import Columns

# scikit-image's name -> CellProfiler's
_DIRECT = {
    "area": "Area",
    "perimeter": "Perimeter",
    "axis_major_length": "MajorAxisLength",
    "axis_minor_length": "MinorAxisLength",
    "eccentricity": "Eccentricity",
    "centroid-1": "Center_X",
    "centroid-0": "Center_Y",
    "area_bbox": "BoundingBoxArea",
    "bbox-1": "BoundingBoxMinimum_X",
    "bbox-3": "BoundingBoxMaximum_X",
    "bbox-0": "BoundingBoxMinimum_Y",
    "bbox-2": "BoundingBoxMaximum_Y",
    "extent": "Extent",
    "solidity": "Solidity",
    "euler_number": "EulerNumber",
    "area_convex": "ConvexArea",
    "equivalent_diameter_area": "EquivalentDiameter",
}
_ADVANCED = {
    **{f"moments-{p}-{q}": f"SpatialMoment_{p}_{q}" for p in range(3) for q in range(4)},
    **{f"moments_central-{p}-{q}": f"CentralMoment_{p}_{q}" for p in range(3) for q in range(4)},
    **{
        f"moments_normalized-{p}-{q}": f"NormalizedMoment_{p}_{q}"
        for p in range(4)
        for q in range(4)
    },
    **{f"moments_hu-{n}": f"HuMoment_{n}" for n in range(7)},
    **{f"inertia_tensor-{i}-{j}": f"InertiaTensor_{i}_{j}" for i in range(2) for j in range(2)},
    **{f"inertia_tensor_eigvals-{i}": f"InertiaTensorEigenvalues_{i}" for i in range(2)},
}
_PROPERTIES = sorted(
    {name.split("-")[0] for name in (*_DIRECT, *_ADVANCED)} | {"orientation", "image", "label"}
)


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
    from skimage.measure import regionprops_table

    props = regionprops_table(labels, properties=_PROPERTIES)
    present = np.asarray(props["label"], dtype=np.intp) - 1
    if count == 0:
        present = present[:0]

    def column(values: NDArray) -> NDArray[np.float64]:
        result = np.full(count, np.nan)
        result[present] = np.asarray(values, dtype=np.float64)[: present.size]
        return result

    area, perimeter = props["area"].astype(float), props["perimeter"].astype(float)
    table = {f"AreaShape_{cp}": column(props[sk]) for sk, cp in (_DIRECT | _ADVANCED).items()}
    with np.errstate(divide="ignore", invalid="ignore"):
        table["AreaShape_FormFactor"] = column(4 * math.pi * area / perimeter**2)
    table["AreaShape_Compactness"] = column(perimeter**2 / np.maximum(4 * math.pi * area, 1))
    table["AreaShape_Orientation"] = column(_orientation(props))
    sizes = np.array([_radii_and_ferets(mask) for mask in props["image"][: present.size]])
    sizes = sizes.reshape(-1, 5)
    for index, name in enumerate(
        ("MaximumRadius", "MeanRadius", "MedianRadius", "MinFeretDiameter", "MaxFeretDiameter")
    ):
        table[f"AreaShape_{name}"] = column(sizes[:, index])
    return table


def _orientation(props: Columns) -> NDArray[np.float64]:
    """Return the angle of the major axis to the rows in degrees, -90 to 90.

    Where both diagonal moments are equal the sign follows scikit-image 0.18, which CellProfiler
    uses; later releases turned it round.
    """
    degrees = np.degrees(props["orientation"].astype(float))
    diagonal = props["inertia_tensor-0-0"] == props["inertia_tensor-1-1"]
    mixed = props["inertia_tensor-0-1"]
    return np.where(diagonal, np.where(mixed < 0, -45.0, 45.0), degrees)


def _radii_and_ferets(mask: NDArray) -> tuple[float, float, float, float, float]:
    """Return maximum, mean and median radius, smallest and largest Feret diameter."""
    radii = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1][mask]
    # the rims of the rows hold every vertex of the hull
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1)
    last = mask.shape[1] - 1 - mask[rows, ::-1].argmax(axis=1)
    points = np.concatenate([np.c_[rows, first], np.c_[rows, last]]).astype(float)
    return (
        float(radii.max()),
        float(radii.mean()),
        float(np.median(radii)),
        *feret_diameters(points),
    )


def feret_diameters(points: NDArray[np.float64]) -> tuple[float, float]:
    """Return the smallest and the largest distance between parallel lines that hold `points`.

    Parameters
    ----------
    points : ndarray, shape (N, 2), float64

    Returns
    -------
    smallest, largest : float
        In the unit of the points; a single point or a straight line has a smallest of 0.
    """
    try:
        hull = points[ConvexHull(points).vertices]
    except (QhullError, ValueError):  # one point or points on a line
        return 0.0, float(np.max(distance.pdist(points), initial=0.0))
    edges = np.roll(hull, -1, axis=0) - hull
    normals = np.c_[-edges[:, 1], edges[:, 0]] / np.hypot(*edges.T)[:, None]
    across = hull @ normals.T
    return float(np.ptp(across, axis=0).min()), float(distance.pdist(hull).max())
