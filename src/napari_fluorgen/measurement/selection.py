"""Measure only nuclei that are trusted, and only pixels of which the model is certain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.confidence import prediction_regions
from napari_fluorgen.errors import InputError
from napari_fluorgen.measurement.names import Columns, sequential
from napari_fluorgen.stack import StainedField

_BACKGROUND, _NUCLEUS = 1, 2
_SAME_NUMBER = ("Nuclei", "Cells", "Cytoplasm")

Labels = dict[str, NDArray[np.uint32]]


def significance_of(field: StainedField) -> float:
    """Return the significance that a field was stained with."""
    return float(field.provenance.get("request", {}).get("significance", 0.05))


def nuclei_rows(field: StainedField, originals: NDArray[np.uint32]) -> Columns:
    """Return the table of nuclei of a field, with one row for each of its labels in rising order.

    Parameters
    ----------
    field : StainedField
    originals : ndarray, shape (N,), uint32
        The labels.

    Returns
    -------
    dict of str to ndarray, shape (N,)
        ``Fluorgen_PValue``, ``Fluorgen_Confidence``, ``Fluorgen_Decision`` (after review); empty
        where the field has no table, or one of other nuclei.
    """
    names = {"p_value": "Fluorgen_PValue", "confidence": "Fluorgen_Confidence"}
    labels = np.asarray(field.nuclei.get("label", ()), np.uint32)
    if not field.nuclei or not np.array_equal(np.sort(labels), originals):
        return {}
    order = np.argsort(labels)
    rows = {ours: field.nuclei[theirs][order] for theirs, ours in names.items()}
    return rows | {"Fluorgen_Decision": field.decisions[order]}


def select_objects(
    field: StainedField,
    labels: Labels,
    originals: NDArray[np.uint32],
    *,
    trusted_only: bool,
    certain_only: bool,
) -> tuple[Labels, NDArray[np.bool_]]:
    """Leave out nuclei, with their cells, and pixels.

    Parameters
    ----------
    field : StainedField
    labels : dict of str to ndarray, shape (Y, X), uint32
        From `find_objects`: cells are grown from all nuclei, so that those beside an untrusted
        nucleus keep their size.
    originals : ndarray, shape (N,), uint32
        The label that nucleus ``i + 1`` has in the field.
    trusted_only : bool
        Only nuclei that are accepted, by the model or by a person.
    certain_only : bool
        Only pixels whose prediction region is one class; of nuclei those that are nucleus. A
        nucleus without such a pixel is left out.

    Returns
    -------
    labels : dict of str to ndarray
        Numbered from 1 again; lipid droplets lose pixels only.
    kept : ndarray, shape (N,), bool
        Which nuclei are left.

    Raises
    ------
    InputError
        The field has no decisions, or no p-values.
    """
    labels = dict(labels)
    kept = np.ones(originals.size, bool)
    name = field.identity.name
    if trusted_only:
        rows = nuclei_rows(field, originals)
        if not rows and originals.size:
            raise InputError(
                f"Field {name} has no decisions about its nuclei: stain it again with a calibrated "
                "model, or measure all nuclei."
            )
        kept &= np.asarray(rows.get("Fluorgen_Decision", ()), np.str_) == "accept"
    if certain_only:
        if not field.p_values:
            raise InputError(
                f"Field {name} has no p-values: stain it again with a calibrated model, or measure "
                "all pixels."
            )
        regions = prediction_regions(field.p_values, significance_of(field))
        certain = (regions == _BACKGROUND) | (regions == _NUCLEUS)
        for kind, mask in labels.items():
            inside = regions == _NUCLEUS if kind == "Nuclei" else certain
            labels[kind] = np.where(inside, mask, 0).astype(np.uint32)
        kept &= np.bincount(labels["Nuclei"].ravel(), minlength=originals.size + 1)[1:] > 0
        if "LipidDroplets" in labels:
            labels["LipidDroplets"] = sequential(labels["LipidDroplets"])[0]
    if not kept.all():
        number = np.zeros(originals.size + 1, np.uint32)
        number[1:][kept] = np.arange(1, np.count_nonzero(kept) + 1)
        for kind in _SAME_NUMBER:
            if kind in labels:
                labels[kind] = number[labels[kind]]
    return labels, kept
