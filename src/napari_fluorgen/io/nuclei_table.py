"""The table of nuclei on disk: rows of a CSV file, lists in ``run.json``."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUCLEI, TABLE = "nuclei", "nuclei-table"
"""Where a field's record has the columns, and the name of the CSV file."""

Table = Mapping[str, NDArray[Any]]


def write_csv(path: Path, table: Table) -> None:
    """Write a table with one row a nucleus; what is not known (NaN) stays empty."""
    columns = to_lists(table)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def is_table(path: Path) -> bool:
    """Whether a file begins as `write_csv` begins one."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().startswith("label,probability_mean,")


def to_lists(table: Table) -> dict[str, list[Any]]:
    """Columns as JSON has them; NaN becomes None."""
    return {
        name: [None if isinstance(v, float) and math.isnan(v) else v for v in column.tolist()]
        for name, column in table.items()
    }


def from_lists(columns: Mapping[str, list[Any]], number: int) -> dict[str, NDArray[Any]]:
    """Read back `to_lists`.

    Parameters
    ----------
    columns : mapping of str to list
        As in ``run.json``.
    number : int
        Nuclei of the field.

    Raises
    ------
    ValueError
        When a column has another length or holds other values than `StainedField.nuclei` has.
    """
    table: dict[str, NDArray[Any]] = {}
    for name, values in columns.items():
        if len(values) != number:
            raise ValueError(f"{name} of {len(values)} nuclei is listed, the field has {number}")
        if name == "label":
            table[name] = np.array(values, np.uint32)
        elif name in ("decision", "reviewed"):
            table[name] = np.array(values, np.str_) if values else np.zeros(0, "<U6")
        else:
            table[name] = np.array([math.nan if v is None else v for v in values], np.float64)
    return table
