"""Write tables as CSV files that spreadsheets, pandas and pycytominer read."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.io.own_files import first_foreign, listed_files
from napari_fluorgen.measurement.database import (
    DATABASE,
    properties_name,
    properties_text,
    wells_of_plate,
    write_database,
)
from napari_fluorgen.measurement.field import FieldMeasurements
from napari_fluorgen.measurement.names import MASKS, OBJECT_NAMES, Columns, check_titles
from napari_fluorgen.measurement.single_cells import TABLE, merge_cells


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
    *,
    database: bool = False,
) -> list[Path]:
    """Write ``Image.csv``, ``Nuclei.csv``, ``Cells.csv``, ``Cytoplasm.csv``, ``LipidDroplets.csv``.

    Where nuclei, cells and cytoplasm were measured, ``SingleCells.csv`` has a row a cell, as
    pycytominer reads it.

    Parameters
    ----------
    measurements : FieldMeasurements or iterable of them
        One or many fields; they are numbered from 1 in ``ImageNumber``. An iterator is drained
        field by field.
    folder : path-like
        Made where it does not exist.
    overwrite : bool
        Whether existing tables may be replaced; the database, properties and CellProfiler's masks
        of an earlier run then go too.
    database : bool
        Whether to write ``fluorgen.db`` and a ``.properties`` file for each kind of object, for
        CellProfiler Analyst, which opens the latter where the table of images tells their files.

    Returns
    -------
    list of Path
        The files, one for each table that the measurements hold.

    Raises
    ------
    OutputError
        A table exists and `overwrite` is false, or the folder cannot be written.
    InputError
        Two fields would have one name in the tables.
    """
    folder = Path(folder)
    if isinstance(measurements, FieldMeasurements):
        measurements = (measurements,)
    open_tables: dict[str, CsvTable] = {}
    more: list[Path] = []
    wells: set[str] = set()
    titles: dict[str, str] = {}
    with ExitStack() as stack:

        def place(file: str) -> Path:
            return stack.enter_context(atomic_path(folder / file, overwrite))

        for number, measured in enumerate(measurements, 1):
            check_titles(titles, measured.identity)
            tables = dict(measured.tables)
            wells.update(map(str, tables["Image"].get("Metadata_Well", ())))
            merged = merge_cells(measured)
            if merged is not None:
                tables[TABLE] = merged
            for name, table in tables.items():
                if name not in open_tables:
                    open_tables[name] = CsvTable(place(f"{name}.csv"))
                key = "Metadata_ImageNumber" if name == TABLE else "ImageNumber"
                rows = next(iter(table.values())).size
                open_tables[name].append({**table, key: np.full(rows, number)})
        if database and open_tables:
            kinds = {name: table.path for name, table in open_tables.items() if name != TABLE}
            write_database(kinds, place(DATABASE))
            more.append(folder / DATABASE)
            for name in kinds:
                if name != "Image":
                    more.append(folder / properties_name(name))
                    text = properties_text(
                        name, open_tables["Image"].columns, wells=wells_of_plate(wells)
                    )
                    place(more[-1].name).write_text(text, encoding="utf-8")
    if overwrite and open_tables:
        _drop_stale(folder, more)
    return [folder / f"{name}.csv" for name in open_tables] + more


def _drop_stale(folder: Path, written: Iterable[Path]) -> None:
    """Delete what an earlier run left that speaks of other objects than the new tables."""
    names = [DATABASE, *(properties_name(name) for name in OBJECT_NAMES.values())]
    for path in (folder / name for name in names):
        if path not in written:
            path.unlink(missing_ok=True)
    masks = folder / MASKS
    # a mask that somebody put there keeps the folder
    if masks.is_dir() and first_foreign(masks, listed_files(masks)) is None:
        shutil.rmtree(masks, ignore_errors=True)
