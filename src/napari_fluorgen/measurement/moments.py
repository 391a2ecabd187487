"""Moments of labelled objects with CellProfiler's names and definitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.measurement.names import Columns

_ORDER = 3


def image_moments(mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the raw moments within the bounding box and the central moments of one object.

    Parameters
    ----------
    mask : ndarray of bool, shape (Y, X)
        The object in its bounding box.

    Returns
    -------
    raw, central : ndarray, shape (4, 4), float64
        Index ``[p, q]`` is the power of the row and of the column.
    """
    image = mask.astype(float)
    raw = _moments(image, (0.0, 0.0))
    return raw, _moments(image, (raw[1, 0] / raw[0, 0], raw[0, 1] / raw[0, 0]))


def _moments(image: NDArray[np.float64], centre: tuple[float, float]) -> NDArray[np.float64]:
    # the products and their order are those of scikit-image 0.18, down to the last digit: whether
    # a round object leans left or right hangs on it
    result = image
    for length, middle in zip(image.shape, centre, strict=True):
        powers = (np.arange(length, dtype=float) - middle)[:, None] ** np.arange(_ORDER + 1)
        result = np.dot(np.moveaxis(result, 0, -1), powers)
    return result


def moment_columns(masks: Sequence[NDArray[np.bool_]]) -> Columns:
    """Measure moments, inertia and the axes of the ellipse with the same inertia.

    Parameters
    ----------
    masks : sequence of ndarray of bool, shape (Y, X)
        Each object in its bounding box.

    Returns
    -------
    dict of str to ndarray, shape (len(masks),), float64
        ``AreaShape_*`` columns.

    References
    ----------
    Hu, IRE Transactions on Information Theory 8:179 (1962); Stirling et al., BMC Bioinformatics
    22:433 (2021).
    """
    both = np.array([image_moments(mask) for mask in masks]).reshape(-1, 2, 4, 4)
    raw, central = both[:, 0], both[:, 1]
    area = raw[:, 0, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        powers = np.add.outer(np.arange(4), np.arange(4))
        normalised = central / area[:, None, None] ** (powers / 2 + 1)
        normalised[:, powers < 2] = np.nan
    tensor = np.empty((len(area), 2, 2))
    tensor[:, 0, 0] = (central[:, 0, 2] + central[:, 2, 0] - central[:, 2, 0]) / area
    tensor[:, 1, 1] = (central[:, 0, 2] + central[:, 2, 0] - central[:, 0, 2]) / area
    tensor[:, 0, 1] = tensor[:, 1, 0] = -central[:, 1, 1] / area
    eigenvalues = np.clip(np.linalg.eigvalsh(tensor), 0, None)[:, ::-1]
    table = {f"SpatialMoment_{p}_{q}": raw[:, p, q] for p in range(3) for q in range(4)}
    table |= {f"CentralMoment_{p}_{q}": central[:, p, q] for p in range(3) for q in range(4)}
    table |= {f"NormalizedMoment_{p}_{q}": normalised[:, p, q] for p in range(4) for q in range(4)}
    table |= {f"HuMoment_{n}": values for n, values in enumerate(_hu(normalised))}
    table |= {f"InertiaTensor_{i}_{j}": tensor[:, i, j] for i in range(2) for j in range(2)}
    table |= {f"InertiaTensorEigenvalues_{i}": eigenvalues[:, i] for i in range(2)}
    table["MajorAxisLength"], table["MinorAxisLength"] = 4 * np.sqrt(eigenvalues.T)
    longest = np.where(eigenvalues[:, 0] == 0, 1, eigenvalues[:, 0])
    ratio = np.where(eigenvalues[:, 0] == 0, 1, eigenvalues[:, 1] / longest)
    table["Eccentricity"] = np.sqrt(1 - ratio)
    table["Orientation"] = _orientation(tensor)
    return {f"AreaShape_{name}": values for name, values in table.items()}


def _orientation(tensor: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angle of the major axis to the rows in degrees, -90 to 90.

    Where both diagonal entries are equal the sign follows scikit-image 0.18, which CellProfiler
    uses; later releases turned it round.
    """
    first, mixed, last = tensor[:, 0, 0], tensor[:, 0, 1], tensor[:, 1, 1]
    degrees = np.degrees(0.5 * np.arctan2(-2 * mixed, last - first))
    return np.where(first == last, np.where(mixed < 0, -45.0, 45.0), degrees)


def _hu(nu: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return Hu's seven invariants of normalised moments, shape (N, 4, 4)."""
    n20, n02, n11 = nu[:, 2, 0], nu[:, 0, 2], nu[:, 1, 1]
    n30, n12, n21, n03 = nu[:, 3, 0], nu[:, 1, 2], nu[:, 2, 1], nu[:, 0, 3]
    a, b = n30 + n12, n21 + n03
    c, d = n30 - 3 * n12, 3 * n21 - n03
    return [
        n20 + n02,
        (n20 - n02) ** 2 + 4 * n11**2,
        c**2 + d**2,
        a**2 + b**2,
        c * a * (a**2 - 3 * b**2) + d * b * (3 * a**2 - b**2),
        (n20 - n02) * (a**2 - b**2) + 4 * n11 * a * b,
        d * a * (a**2 - 3 * b**2) - c * b * (3 * a**2 - b**2),
    ]
