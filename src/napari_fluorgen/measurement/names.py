"""The names that CellProfiler users know: images, objects, features, plate metadata."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.segmentation import relabel_sequential
from napari_fluorgen.stack import FieldIdentity

IMAGE_NAMES = {"nuclei": "Hoechst", "lipids": "Bodipy", "cytoplasm": "CellTrackerRed"}
"""Stain -> name of its image in CellProfiler."""

CONFIDENCE_IMAGE = "Confidence"
"""Name of the image of the p-value of "this pixel is nucleus"."""

OBJECT_NAMES = {
    "nuclei": "Nuclei",
    "cells": "Cells",
    "cytoplasm": "Cytoplasm",
    "droplets": "LipidDroplets",
}
"""Kind of object -> name of the object set, its table and its label image."""

MASKS = "cellprofiler_masks"
"""Folder of the objects that CellProfiler found, beside its tables."""

Columns = dict[str, NDArray]
"""One table: column name -> array with one entry a row."""


def check_objects(objects: tuple[str, ...]) -> tuple[str, ...]:
    """Return the kinds of object to find, in order, with those that others are made from.

    Raises
    ------
    InputError
        For a kind that does not exist.
    """
    unknown = [kind for kind in objects if kind not in OBJECT_NAMES]
    if unknown:
        raise InputError(
            f"Objects {', '.join(map(repr, unknown))} cannot be measured: "
            f"choose from {', '.join(OBJECT_NAMES)}."
        )
    wanted = {"nuclei", *objects}
    if "cytoplasm" in wanted:
        wanted.add("cells")
    return tuple(kind for kind in OBJECT_NAMES if kind in wanted)


def guard_text(text: str, prefix: str) -> str:
    """Return `text` so that CellProfiler and spreadsheets keep it as text.

    CellProfiler guesses the type of metadata: plate ``00123`` becomes 123 and ``12E5``
    becomes 1200000.0, so that wells no longer match. A name that does not start with a letter
    or that reads as a number (``nan``, ``inf``) gets `prefix` in front.
    """
    try:
        float(text)
    except ValueError:
        if text[:1].isalpha():
            return text
    return prefix + text


def metadata(identity: FieldIdentity) -> dict[str, str | int]:
    """Return the ``Metadata_`` entries of a field, in CellProfiler's (alphabetical) order."""
    return {
        "Metadata_Field": guard_text(identity.name, "field_"),
        "Metadata_Plate": guard_text(identity.plate, "plate_") if identity.plate else "NoPlate",
        "Metadata_Site": 1 if identity.site is None else identity.site,
        "Metadata_Timepoint": identity.timepoint,
        "Metadata_Well": guard_text(identity.well, "well_") if identity.well else "NoWell",
    }


def check_titles(titles: dict[str, str], identity: FieldIdentity) -> None:
    """Note what a field is called in the tables, by which rows of several tables are joined.

    Raises
    ------
    InputError
        Another field of `titles` is called so: ``1`` becomes ``field_1``, which another may be.
    """
    title = str(metadata(identity)["Metadata_Field"])
    other = titles.setdefault(title, identity.name)
    if other != identity.name:
        raise InputError(
            f"The fields '{other}' and '{identity.name}' would both be called '{title}' in the "
            "tables: give one of their stacks another name and stain it again."
        )


def sequential(labels: NDArray) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Renumber labels to 1..N in rising order, as CellProfiler does when it reads a mask.

    Parameters
    ----------
    labels : ndarray, shape (Y, X), any integer dtype
        0 is background.

    Returns
    -------
    renumbered : ndarray, shape (Y, X), uint32
    originals : ndarray, shape (N,), uint32
        The label that object ``i + 1`` had in `labels`.

    Raises
    ------
    InputError
        When `labels` holds negative or fractional numbers.
    """
    return relabel_sequential(labels), np.unique(labels[labels > 0]).astype(np.uint32)
