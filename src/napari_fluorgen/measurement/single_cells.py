"""One row a cell: nuclei, cells and cytoplasm side by side, as pycytominer reads profiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.measurement.field import FieldMeasurements
from napari_fluorgen.measurement.names import Columns

TABLE = "SingleCells"
COMPARTMENTS = ("Nuclei", "Cells", "Cytoplasm")
"""Prefixes of the features. Droplets come as their means and number in the columns of cells;
a compartment of their own would be mangled by pycytominer."""

_IDS = ("ImageNumber", "ObjectNumber")
_NOT_FEATURES = ("Metadata_", "Fluorgen_", "Confidence_")


def merge_cells(measured: FieldMeasurements) -> Columns | None:
    """Return the single-cell table of a field, or None where a compartment was not measured.

    Parameters
    ----------
    measured : FieldMeasurements
        With nuclei, cells and cytoplasm; all three carry the number of the nucleus.

    Returns
    -------
    dict of str to ndarray, shape (cells,)
        ``Metadata_*`` columns: plate, well, site, field, timepoint, ``ImageNumber``,
        ``ObjectNumber``, ``Label`` (the nucleus's label in napari), confidence and decision.
        Then the features, each with its compartment in front (``Cells_AreaShape_Area``).
    """
    tables = [measured.tables.get(name) for name in COMPARTMENTS]
    if any(table is None for table in tables):
        return None
    nuclei = measured.tables["Nuclei"]
    rows = nuclei["ObjectNumber"].size
    merged: Columns = {}
    for key, values in nuclei.items():
        if key.startswith(_NOT_FEATURES) or key in _IDS:
            merged[f"Metadata_{key.removeprefix('Metadata_')}"] = values
    merged["Metadata_Label"] = measured.nuclei_ids
    for name, table in zip(COMPARTMENTS, tables, strict=True):
        for key, values in (table or {}).items():
            if key.startswith(_NOT_FEATURES) or key in _IDS:
                continue
            # a nucleus that fills its cell leaves no cytoplasm: the last ones may lack a row
            whole = values if len(values) == rows else np.full(rows, np.nan)
            whole[: len(values)] = values
            merged[f"{name}_{key}"] = _finite(whole)
    return merged


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    """Put NaN for infinity, which pycytominer refuses: one pixel has an infinite form factor."""
    if values.dtype.kind == "U":  # as CellProfiler wrote them
        return np.where(np.isin(values, ("inf", "-inf")), "nan", values)
    return np.where(np.isinf(values), np.nan, values) if values.dtype.kind == "f" else values
