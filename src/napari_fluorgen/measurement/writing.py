"""Write tables as CSV files that spreadsheets, pandas and pycytominer read."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.measurement.field import FieldMeasurements
from napari_fluorgen.measurement.names import Columns


class CsvTable:
    """A CSV file that grows field by field.

    The first rows decide the columns; where later ones bring more, the file is written anew with
    the wider header, so that a plate never has to fit in memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.columns: list[str] = []

    def append(self, columns: Columns) -> None:
        """Add rows; a column that is missing here or was missing before stays empty."""
        added = [name for name in columns if name not in self.columns]
        if added:
            self._widen(added)
        rows = max((len(values) for values in columns.values()), default=0)
        blank = [""] * rows
        texts = [as_text(columns[name]) if name in columns else blank for name in self.columns]
        with self.path.open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream, lineterminator="\n").writerows(zip(*texts, strict=True))

    def _widen(self, added: list[str]) -> None:
        old = []
        if self.path.exists():
            with self.path.open(newline="", encoding="utf-8") as stream:
                old = list(csv.reader(stream))[1:]
        self.columns += added
        with self.path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows(row + [""] * len(added) for row in old)


def as_text(values: NDArray) -> list[str]:
    """Return numbers in their shortest exact form, NaN as ``nan`` (as CellProfiler writes it)."""
    return [repr(value) if isinstance(value, float) else str(value) for value in values.tolist()]


def write_tables(
    measurements: FieldMeasurements | Iterable[FieldMeasurements],
    folder: str | Path,
    overwrite: bool = False,
) -> list[Path]:
    """Write ``Image.csv``, ``Nuclei.csv``, ``Cells.csv``, ``Cytoplasm.csv``, ``LipidDroplets.csv``.

    Parameters
    ----------
    measurements : FieldMeasurements or iterable of them
        One or many fields; they are numbered from 1 in ``ImageNumber``. An iterator is drained
        field by field.
    folder : path-like
        Made where it does not exist.
    overwrite : bool
        Whether existing tables may be replaced.

    Returns
    -------
    list of Path
        The files, one for each table that the measurements hold.

    Raises
    ------
    OutputError
        A table exists and `overwrite` is false, or the folder cannot be written.
    """
    folder = Path(folder)
    if isinstance(measurements, FieldMeasurements):
        measurements = (measurements,)
    open_tables: dict[str, CsvTable] = {}
    with ExitStack() as stack:
        for number, measured in enumerate(measurements, 1):
            for name, table in measured.tables.items():
                if name not in open_tables:
                    path = atomic_path(folder / f"{name}.csv", overwrite)
                    open_tables[name] = CsvTable(stack.enter_context(path))
                rows = next(iter(table.values())).size
                numbered = {**table, "ImageNumber": np.full(rows, number)}
                open_tables[name].append(numbered)
    return [folder / f"{name}.csv" for name in open_tables]
