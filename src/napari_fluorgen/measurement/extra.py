"""The columns beyond shape, intensity and location: by cp-measure, as CellProfiler defines them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.measurement.names import CONFIDENCE_IMAGE, Columns

FAMILIES = ("texture", "granularity", "radial", "zernike", "colocalization", "neighbors")
"""What ``--features`` names beside ``basic`` and ``all``: CellProfiler's modules in short."""

NEIGHBOUR_PIXELS = 50
"""Nuclei this near are neighbours; part of the columns' names, as in CellProfiler."""

TEXTURE_PIXELS = 3
_GREY_LEVELS = 256
_WITHOUT_EXTRA = ("granularity", "colocalization")
_HARALICK = (
    "AngularSecondMoment", "Contrast", "Correlation", "Variance", "InverseDifferenceMoment",
    "SumAverage", "SumVariance", "SumEntropy", "Entropy", "DifferenceVariance",
    "DifferenceEntropy", "InfoMeas1", "InfoMeas2",
)  # fmt: skip

_NEIGHBOURS = (
    "AngleBetweenNeighbors", "FirstClosestDistance", "FirstClosestObjectNumber",
    "NumberOfNeighbors", "PercentTouching", "SecondClosestDistance", "SecondClosestObjectNumber",
)  # fmt: skip


def parse_features(features: str | Iterable[str]) -> tuple[str, ...]:
    """Return the families of columns to measure beside the basic ones, in order.

    Parameters
    ----------
    features : str or iterable of str
        ``"basic"``, ``"all"`` or names of `FAMILIES`, in one text with commas or in many.

    Raises
    ------
    InputError
        For a family that does not exist, or one that needs the extra ``measure`` where that is
        not installed.
    """
    texts = [features] if isinstance(features, str) else list(features)
    words = [word.strip().lower() for text in texts for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in (*FAMILIES, "basic", "all")]
    if unknown or not words:
        raise InputError(
            f"Features {', '.join(map(repr, unknown)) or repr(features)} are unknown: choose from "
            f"basic, all, {', '.join(FAMILIES)}."
        )
    chosen = tuple(family for family in FAMILIES if family in words or "all" in words)
    missing = [family for family in chosen if family not in _WITHOUT_EXTRA]
    if missing and not extra_installed():
        raise InputError(
            f"Features {', '.join(missing)} need the package cp-measure, which is not installed: "
            'pip install "napari-fluorgen[measure]", or measure the basic features.'
        )
    return chosen


def extra_installed() -> bool:
    """Return whether cp-measure is there."""
    return importlib.util.find_spec("cp_measure") is not None


def measure_extra(
    families: Iterable[str], labels: Mapping[str, NDArray], images: Mapping[str, NDArray]
) -> tuple[dict[str, float], dict[str, Columns]]:
    """Measure families of columns on objects and whole images.

    Parameters
    ----------
    families : iterable of str
        From `parse_features`.
    labels : mapping of str to ndarray, shape (Y, X), integer
        Objects by the names of their tables, each numbered from 1. Lipid droplets get Zernike
        columns only; neighbours are counted among nuclei.
    images : mapping of str to ndarray, shape (Y, X), float32
        Images by CellProfiler's name, scaled to [0, 1]; the confidence is left out.

    Returns
    -------
    image_row : dict of str to float
        Columns of the whole image.
    tables : dict of str to dict
        Columns of the objects.
    """
    from napari_fluorgen.measurement.colocalisation import measure_colocalisation
    from napari_fluorgen.measurement.granularity import measure_granularity

    chosen = set(families)
    stains = {key: image for key, image in images.items() if key != CONFIDENCE_IMAGE}
    cells = {key: mask for key, mask in labels.items() if key != "LipidDroplets"}
    row: dict[str, float] = {}
    tables: dict[str, Columns] = {key: {} for key in labels}

    def add(part: tuple[dict[str, float], Mapping[str, Columns]]) -> None:
        row.update(part[0])
        for key, columns in part[1].items():
            tables[key] |= columns

    with _one_thread():
        if "granularity" in chosen:
            for name, image in stains.items():
                add(measure_granularity(image, name, cells))
        if "colocalization" in chosen:
            add(measure_colocalisation(stains, cells))
        if "texture" in chosen:
            add(({k: v for n, i in stains.items() for k, v in _image_texture(n, i).items()}, {}))
        for key, mask in labels.items():
            tables[key] |= _of_objects(chosen, key, mask, stains)
    return row, tables


def _of_objects(
    chosen: set[str], key: str, mask: NDArray, stains: Mapping[str, NDArray]
) -> Columns:
    """Return the columns that cp-measure gives; a mask without objects has them without rows."""
    from napari_fluorgen.measurement.radial import measure_radial

    if not mask.any():
        # cp-measure cannot say which columns there would be: measure one object and drop its row
        one = np.zeros((64, 64), np.uint32)
        one[16:48, 16:48] = 1
        flat = {name: np.full((64, 64), 0.5, np.float32) for name in stains}
        return {name: values[:0] for name, values in _of_objects(chosen, key, one, flat).items()}
    table: Columns = {}
    numbers = mask.astype(np.int64)
    if "zernike" in chosen:
        from cp_measure.core.measureobjectsizeshape import get_zernike

        table |= {
            f"AreaShape_{name}": values for name, values in get_zernike(numbers, None).items()
        }
    if "neighbors" in chosen and key == "Nuclei":
        table |= _neighbours(numbers)
    if key == "LipidDroplets":
        return _as_arrays(table)
    if "radial" in chosen:
        table |= measure_radial(mask, stains)
    for name, image in stains.items():
        if "texture" in chosen:
            for feature, values in _texture(numbers, image).items():
                kind, rest = feature.split("_", 1)
                table[f"Texture_{kind}_{name}_{rest}"] = values
        if "radial" in chosen:
            from cp_measure.core.measureobjectintensitydistribution import get_radial_zernikes

            for feature, values in get_radial_zernikes(numbers, image).items():
                start, kind, rest = feature.split("_", 2)
                table[f"{start}_{kind}_{name}_{rest}"] = values
    return _as_arrays(table)


def _texture(numbers: NDArray, image: NDArray) -> Columns:
    """Measure with a row for each number: cp-measure has none for one that is missing."""
    from cp_measure.core.measuretexture import get_texture

    present = np.unique(numbers[numbers > 0])
    dense = np.searchsorted(present, numbers) + 1
    dense[numbers == 0] = 0
    table: Columns = {}
    for feature, values in get_texture(dense, image, TEXTURE_PIXELS).items():
        table[feature] = np.full(int(present[-1]), np.nan)
        table[feature][present - 1] = values
    return table


def _as_arrays(table: Mapping[str, Any]) -> Columns:
    return {name: np.asarray(values, np.float64) for name, values in table.items()}


def _neighbours(numbers: NDArray) -> Columns:
    from cp_measure.multimask.measureobjectneighbors import measureobjectneighbors
    from scipy.ndimage import center_of_mass
    from scipy.spatial.distance import cdist

    count = int(numbers.max())
    if count == 1:  # cp-measure fails
        return {f"Neighbors_{kind}_{NEIGHBOUR_PIXELS}": np.zeros(1) for kind in _NEIGHBOURS}
    table = measureobjectneighbors(
        numbers, numbers, distance_method="Within a specified distance", distance=NEIGHBOUR_PIXELS
    )
    # cp-measure counts an object as its own nearest: number the others as CellProfiler does
    centres = np.array(center_of_mass(numbers > 0, numbers, np.arange(1, count + 1)))
    nearest = np.zeros((3, count))
    nearest[: min(count, 3)] = (np.argsort(cdist(centres, centres), kind="stable") + 1).T[:3]
    for place, numbered in (("First", nearest[1]), ("Second", nearest[2])):
        table[f"Neighbors_{place}ClosestObjectNumber_{NEIGHBOUR_PIXELS}"] = numbered
    return table


def _image_texture(name: str, image: NDArray) -> dict[str, float]:
    import mahotas.features
    from skimage.util import img_as_ubyte

    features = mahotas.features.haralick(img_as_ubyte(image), distance=TEXTURE_PIXELS)
    return {
        f"Texture_{kind}_{name}_{TEXTURE_PIXELS}_{direction:02d}_{_GREY_LEVELS}": float(value)
        for direction, values in enumerate(features)
        for kind, value in zip(_HARALICK, values, strict=True)
    }


def _one_thread() -> AbstractContextManager[Any]:
    """Keep BLAS to one thread: texture takes 70 times longer with many."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)
