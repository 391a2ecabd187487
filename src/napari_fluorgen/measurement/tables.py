"""From labels and images to the tables that CellProfiler would write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.measurement.extra import measure_extra
from napari_fluorgen.measurement.intensity import measure_image_intensity, measure_intensity
from napari_fluorgen.measurement.names import Columns
from napari_fluorgen.measurement.relations import (
    count_children,
    find_parents,
    mean_over_children,
)
from napari_fluorgen.measurement.shape import measure_shape

_PARENTS = {"Cells": ("Nuclei",), "Cytoplasm": ("Cells", "Nuclei"), "LipidDroplets": ("Cells",)}


def measure_labels(
    labels: Mapping[str, NDArray],
    images: Mapping[str, NDArray],
    *,
    families: Iterable[str] = (),
) -> dict[str, Columns]:
    """Measure objects on images, with CellProfiler's column names and definitions.

    Parameters
    ----------
    labels : mapping of str to ndarray, shape (Y, X), integer
        Any of ``"Nuclei"``, ``"Cells"``, ``"Cytoplasm"``, ``"LipidDroplets"``, each numbered
        from 1. A cytoplasm carries the number of its cell.
    images : mapping of str to ndarray, shape (Y, X), float32
        Images by CellProfiler's name, uint16 counts divided by 65535.
    families : iterable of str
        From `parse_features`: columns beyond shape, intensity, location and relations.

    Returns
    -------
    dict of str to dict
        ``"Image"`` (one row) and a table for each entry of `labels`, columns in CellProfiler's
        order (alphabetical).
    """
    counts = {name: int(image.max(initial=0)) for name, image in labels.items()}
    tables: dict[str, Columns] = {}
    row, more = measure_extra(families, labels, images)
    for name, image in labels.items():
        table = measure_shape(image, counts[name])
        table |= measure_intensity(image, images, counts[name]) | more[name]
        for axis in "XY":
            table[f"Location_Center_{axis}"] = table[f"AreaShape_Center_{axis}"].copy()
        if name in ("Cells", "LipidDroplets"):
            table["Location_Center_Z"] = np.zeros(counts[name])
        table["Number_Object_Number"] = np.arange(1, counts[name] + 1)
        tables[name] = table
    _relate(tables, labels, counts)
    result = {"Image": _image_row(row, tables, counts, images)}
    return result | {name: dict(sorted(table.items())) for name, table in tables.items()}


def _relate(tables: dict[str, Columns], labels: Mapping[str, NDArray], counts: dict) -> None:
    """Add parent, child and mean-over-children columns."""
    parent_of: dict[tuple[str, str], NDArray] = {}
    for child, parents in _PARENTS.items():
        for parent in parents:
            if child not in labels or parent not in labels:
                continue
            if (child, parent) == ("Cytoplasm", "Nuclei"):
                # they do not overlap: the nucleus of the cytoplasm's cell
                found = np.r_[0, parent_of["Cells", "Nuclei"]][parent_of["Cytoplasm", "Cells"]]
            else:
                found = find_parents(labels[parent], labels[child], counts[parent], counts[child])
            parent_of[child, parent] = found
            tables[child][f"Parent_{parent}"] = found
            tables[parent][f"Children_{child}_Count"] = count_children(found, counts[parent])
    if ("LipidDroplets", "Cells") in parent_of:
        tables["Cells"] |= mean_over_children(
            tables["LipidDroplets"],
            "LipidDroplets",
            parent_of["LipidDroplets", "Cells"],
            counts["Cells"],
        )


def _image_row(
    row: dict[str, float],
    tables: Mapping[str, Columns],
    counts: Mapping[str, int],
    images: Mapping[str, NDArray],
) -> Columns:
    """Return the one-row table of counts, image intensities, means and standard deviations."""
    row = row | {f"Count_{name}": count for name, count in counts.items()}
    for name, image in images.items():
        row |= {f"Height_{name}": image.shape[0], f"Width_{name}": image.shape[1]}
    row |= measure_image_intensity(images)
    for name, table in tables.items():
        for feature, values in table.items():
            if feature == "Number_Object_Number":
                continue
            finite = values[np.isfinite(values)]
            mean, deviation = (finite.mean(), finite.std()) if finite.size else (np.nan, np.nan)
            row[f"Mean_{name}_{feature}"] = mean
            row[f"StDev_{name}_{feature}"] = deviation
    return {key: np.array([value]) for key, value in sorted(row.items())}
