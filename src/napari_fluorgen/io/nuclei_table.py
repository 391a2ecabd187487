"""The table of nuclei on disk: a CSV file with one row a nucleus."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError

TABLE = "nuclei-table"
"""What a field's record calls the CSV file."""

Table = Mapping[str, NDArray[Any]]
_WORDS = ("decision", "reviewed")


def write_csv(path: Path, table: Table) -> None:
    """Write a table with one row a nucleus; what is not known (NaN) stays empty."""
    columns = [
        ["" if isinstance(v, float) and math.isnan(v) else v for v in column.tolist()]
        for column in table.values()
    ]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*columns, strict=True))


def read_csv(path: Path) -> dict[str, NDArray[Any]]:
    """Read back `write_csv`.

    Raises
    ------
    InputError
        Missing, or no such table.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
        names = rows.pop(0) if rows else []
        if names[:1] != ["label"]:
            raise ValueError(f"its first column is {''.join(names[:1])!r}, not 'label'")
        for number, row in enumerate(rows, start=2):
            if len(row) != len(names):
                raise ValueError(f"line {number} has {len(row)} columns, the first {len(names)}")
        columns = zip(*rows, strict=True) if rows else [()] * len(names)
        return {name: _column(name, texts) for name, texts in zip(names, columns, strict=True)}
    except (OSError, ValueError, OverflowError, csv.Error) as error:
        raise InputError(
            f"The table of nuclei {path} cannot be read ({' '.join(str(error).split())[:160]}): "
            "restore it as staining wrote it, with commas between columns, or stain again."
        ) from error


def _column(name: str, texts: Sequence[str]) -> NDArray[Any]:
    if name == "label":
        return np.array([int(text) for text in texts], np.uint32)
    if name in _WORDS:
        return np.array(texts, np.str_) if texts else np.zeros(0, "<U6")
    return np.array([float(text) if text else math.nan for text in texts], np.float64)


def is_table(path: Path) -> bool:
    """Whether a file begins as `write_csv` begins one."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().startswith("label,probability_mean,")
