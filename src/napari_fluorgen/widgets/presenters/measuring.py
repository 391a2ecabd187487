"""What can be measured, where tables go, and what is said afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from napari_fluorgen.errors import InputError

OBJECTS = (
    (
        "nuclei",
        "Nuclei",
        "Area, shape and intensity of every nucleus (areas in pixels, as in CellProfiler).",
    ),
    ("cells", "Cells", "Cell bodies grown from the nuclei over lipids and cytoplasm."),
    ("cytoplasm", "Cytoplasm", "Cells without their nuclei."),
    ("droplets", "Lipid droplets", "Droplets in the lipid stain, counted and sized by cell."),
)
"""Name in the request, title of the check box, tooltip."""

TRUSTED_ONLY = (
    "Leave out nuclei that wait for review or are rejected, with their cells; cells keep the size "
    "that they have beside all nuclei"
)
"""Tooltip of the check box."""

ALL_IN_CELLPROFILER = (
    "CellProfiler measures all nuclei: choose Built in to measure only those that are trusted"
)
"""Its tooltip while the real CellProfiler is chosen."""

_PLAIN = {"LipidDroplets": "lipid droplets"}


def plain_name(table: str) -> str:
    """Write the name of a CellProfiler object set as a word."""
    return _PLAIN.get(table, table.lower())


def target_folder(base: str, field: str, kind: str) -> Path:
    """Return a folder that does not exist yet, ``<base>/<field>-<kind>``.

    Raises
    ------
    InputError
        No folder is given, or it is a file.
    """
    if not base.strip():
        raise InputError("No folder is chosen: enter one under 'Write to'.")
    folder = Path(base).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file: choose a folder under 'Write to'.")
    return fresh_folder(folder / f"{field}-{kind}")


def layer_features(table: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Turn a measurement table into ``Labels.features`` with the ``index`` column.

    Parameters
    ----------
    table : mapping of str to array
        Columns of one object table; ``ObjectNumber`` is the label.

    Returns
    -------
    dict of str to ndarray
        ``index`` first, then the columns as they are.
    """
    columns = {name: np.asarray(values) for name, values in table.items()}
    rows = len(next(iter(columns.values()), ()))
    index = columns.get("ObjectNumber", np.arange(1, rows + 1))
    return {"index": index.astype(np.int64), **columns}


def fresh_folder(base: Path) -> Path:
    """Return `base`, or the first of ``base-2``, ``base-3`` ... that does not exist yet."""
    if not base.exists():
        return base
    number = 2
    while (candidate := base.with_name(f"{base.name}-{number}")).exists():
        number += 1
    return candidate


def counts_text(counts: Mapping[str, int], folder: Path) -> str:
    """Say what was measured and where the numbers are."""
    found = ", ".join(f"{count} {name}" for name, count in counts.items())
    return (
        f"Measured {found or 'no objects'}. See Layers > Metadata > Features table widget, "
        f"and the tables in {folder}."
    )


def saved_text(files: int, folder: Path) -> str:
    """Say what was saved and how to see it again."""
    return f"{files} files written to {folder}; drop the folder on napari to open them again."
