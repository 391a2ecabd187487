"""Measure one stained field: find its objects, fill their tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.confidence import object_confidence
from napari_fluorgen.errors import InputError
from napari_fluorgen.measurement.extra import parse_features
from napari_fluorgen.measurement.intensity import scale_counts
from napari_fluorgen.measurement.names import (
    CONFIDENCE_IMAGE,
    IMAGE_NAMES,
    OBJECT_NAMES,
    Columns,
    check_objects,
    metadata,
    sequential,
)
from napari_fluorgen.measurement.objects import (
    DropletSettings,
    combine_stains,
    segment_cells,
    segment_droplets,
    subtract_nuclei,
)
from napari_fluorgen.measurement.selection import nuclei_rows, select_objects, significance_of
from napari_fluorgen.measurement.tables import measure_labels
from napari_fluorgen.stack import FieldIdentity, StainedField


@dataclass(frozen=True)
class FieldMeasurements:
    """Tables and label images of one field.

    Attributes
    ----------
    identity : FieldIdentity
        The identity of the field.
    tables : dict of str to dict of str to ndarray
        ``"Image"`` (one row), ``"Nuclei"`` and, as asked for, ``"Cells"``, ``"Cytoplasm"``,
        ``"LipidDroplets"``; row ``i`` of a table describes the object with label ``i + 1``.
    labels : dict of str to ndarray, shape (Y, X), uint32
        The objects, by the names of their tables.
    nuclei_ids : ndarray, shape (N,), uint32
        The label that each nucleus had in the field (the same where it was sequential).
    """

    identity: FieldIdentity
    tables: dict[str, Columns]
    labels: dict[str, NDArray[np.uint32]]
    nuclei_ids: NDArray[np.uint32]


def field_images(field: StainedField) -> dict[str, NDArray[np.float32]]:
    """Return the stains, and the nucleus p-values where there are any, as CellProfiler sees them.

    Raises
    ------
    InputError
        A stain is missing or has another shape than the labels.
    """
    images: dict[str, NDArray[np.float32]] = {}
    for stain, name in IMAGE_NAMES.items():
        if stain not in field.images:
            raise InputError(
                f"Field {field.identity.name} has no {stain} stain: stain it again with a model "
                "that predicts nuclei, lipids and cytoplasm."
            )
        images[name] = scale_counts(np.asarray(field.images[stain]))
    if "nucleus" in field.p_values:
        images[CONFIDENCE_IMAGE] = field.p_values["nucleus"].astype(np.float32)
    for name, image in images.items():
        if image.shape != field.shape:
            raise InputError(
                f"Field {field.identity.name}: image {name} has the shape {image.shape}, its "
                f"nuclei labels {field.shape}: they must be the same."
            )
    return images


def find_objects(
    field: StainedField,
    objects: tuple[str, ...] = tuple(OBJECT_NAMES),
    droplets: DropletSettings | None = None,
) -> dict[str, NDArray[np.uint32]]:
    """Return the label images of a field by CellProfiler's names, each numbered from 1.

    Parameters
    ----------
    field : StainedField
    objects : tuple of str
        Of ``"nuclei"``, ``"cells"``, ``"cytoplasm"``, ``"droplets"``; nuclei always come along.
    droplets : DropletSettings, optional
        How droplets are found.
    """
    wanted = check_objects(objects)
    images = field_images(field)
    labels = {"Nuclei": sequential(field.nuclei_labels)[0]}
    lipids, cytoplasm = images[IMAGE_NAMES["lipids"]], images[IMAGE_NAMES["cytoplasm"]]
    if "cells" in wanted:
        labels["Cells"] = segment_cells(labels["Nuclei"], combine_stains(lipids, cytoplasm))
    if "cytoplasm" in wanted:
        labels["Cytoplasm"] = subtract_nuclei(labels["Cells"], labels["Nuclei"])
    if "droplets" in wanted:
        labels["LipidDroplets"] = segment_droplets(lipids, field.pixel_size_um, droplets)
    return labels


def confidence_columns(field: StainedField) -> Columns:
    """Return columns on the confidence in each nucleus, one row a nucleus in order of the labels.

    ``Confidence_PNucleus`` and ``Confidence_PBackground`` are mean p-values, where the field has
    p-values. ``Fluorgen_PValue``, ``Fluorgen_Confidence`` and ``Fluorgen_Decision`` (``accept``,
    ``review`` or ``reject``, a person's where there is one) come from the field's table of nuclei;
    without one, ``Confidence_Decision`` is decided at the significance of the field's request.
    """
    rows = nuclei_rows(field, sequential(field.nuclei_labels)[1])
    if not field.p_values:
        return rows
    table = object_confidence(
        field.nuclei_labels,
        field.p_values,
        probability=field.nuclei_probability,
        significance=significance_of(field),
    )
    left_out = ("label", "decision") if rows else ("label",)
    return rows | {
        "Confidence_" + "".join(word.capitalize() for word in key.split("_")): values
        for key, values in table.items()
        if key not in left_out
    }


def measure_field(
    field: StainedField,
    *,
    objects: tuple[str, ...] = tuple(OBJECT_NAMES),
    droplets: DropletSettings | None = None,
    features: str | Iterable[str] = "basic",
    trusted_only: bool = False,
    certain_only: bool = False,
) -> FieldMeasurements:
    """Measure nuclei, cells, cytoplasm and lipid droplets with CellProfiler's column names.

    Parameters
    ----------
    field : StainedField
    objects : tuple of str
        Of ``"nuclei"``, ``"cells"``, ``"cytoplasm"``, ``"droplets"``; nuclei always come along,
        and cells where cytoplasm is asked for.
    droplets : DropletSettings, optional
        How droplets are found.
    features : str or iterable of str
        ``"basic"``, ``"all"`` or names of `extra.FAMILIES`.
    trusted_only, certain_only : bool
        Leave out nuclei that are not trusted, or pixels that are not certain (`select_objects`).

    Returns
    -------
    FieldMeasurements
        Shapes in pixels, intensities as fractions of 65535.

    Raises
    ------
    InputError
        An unknown kind of object or family of features, a package that is not installed, a stain
        that is missing or of another shape, or nothing to tell trusted or certain by.
    """
    families = parse_features(features)
    labels = find_objects(field, objects, droplets)
    ids = sequential(field.nuclei_labels)[1]
    labels, kept = select_objects(
        field, labels, ids, trusted_only=trusted_only, certain_only=certain_only
    )
    tables = measure_labels(labels, field_images(field), families=families)
    tables["Nuclei"] |= {name: values[kept] for name, values in confidence_columns(field).items()}
    named = metadata(field.identity)
    for name, table in tables.items():
        rows = 1 if name == "Image" else table["Number_Object_Number"].size
        first: Columns = {"ImageNumber": np.ones(rows, np.int64)}
        if name != "Image":
            first["ObjectNumber"] = np.arange(1, rows + 1)
        first |= {key: np.full(rows, value) for key, value in named.items()}
        tables[name] = first | table
    return FieldMeasurements(field.identity, tables, labels, ids[kept])
