"""Bring together what several CellProfiler programs wrote."""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import Cancelled, ExternalToolError
from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.io.own_files import list_files, listed_files
from napari_fluorgen.measurement.cellprofiler_run import image_table
from napari_fluorgen.measurement.field import FieldMeasurements
from napari_fluorgen.measurement.names import IMAGE_NAMES, MASKS, Columns
from napari_fluorgen.measurement.single_cells import COMPARTMENTS, TABLE, merge_cells
from napari_fluorgen.measurement.writing import CsvTable
from napari_fluorgen.stack import FieldIdentity

FILES = "cellprofiler_files"
"""Folder of what else a pipeline of one's own saved, such as pictures."""

COMPLETE = "complete"
"""Lies in the folder of a part that is finished."""

_LOG = "cellprofiler.log"
_NUMBERS = ("ImageNumber", "ObjectNumber")


class ExportedNuclei:
    """What was exported of the nuclei, read image by image from a table that may be long.

    Parameters
    ----------
    path : Path
        Table whose rows are in the order of its first column, ``ImageNumber``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.names = _header(path)
        self._blocks: dict[str, tuple[int, int]] = {}
        with path.open("rb") as stream:
            end, image, quoted = len(stream.readline()), "", False
            for line in stream:
                if not quoted:
                    image = line.split(b",", 1)[0].decode()
                quoted ^= line.count(b'"') % 2 == 1  # a name may go on in the next line
                start, _ = self._blocks.get(image, (end, 0))
                end += len(line)
                self._blocks[image] = start, end

    def of(self, images: Collection[str]) -> dict[tuple[str, str], dict[str, str]]:
        """Return the rows of some images, by image and number."""
        found = {}
        with self._path.open("rb") as stream:
            for start, end in (self._blocks[image] for image in images if image in self._blocks):
                stream.seek(start)
                text = io.StringIO(stream.read(end - start).decode(), newline="")
                for row in csv.DictReader(text, self.names):
                    found[row["ImageNumber"], row["ObjectNumber"]] = row
        return found


def table_names(places: Sequence[Path]) -> list[str]:
    """Names of the tables that were written, without the one of the run itself.

    A pipeline of one's own may write into folders: they are part of the name (``results/Image``).
    """
    names = {
        path.relative_to(place).as_posix().removesuffix(".csv")
        for place in places
        for path in place.rglob("*.csv")
        if not (path.stem.endswith("Experiment") and "ImageNumber" not in _header(path))
    }
    return sorted(names)


def _header(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as stream:
        return next(csv.reader(stream), [])


def gather_tables(
    places: Sequence[Path],
    nuclei: Path,
    output: Path,
    overwrite: bool,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[dict[str, Path], dict[str, int]]:
    """Join the tables of all parts, in order.

    Parameters
    ----------
    places : sequence of Path
        Output folders of the parts.
    nuclei : Path
        Table of the exported nuclei, whose confidence goes to the table of nuclei.
    output : Path
        Folder of the joined tables; they appear when all are written.
    overwrite : bool
    should_stop : callable, optional
        Asked before each part of each table.

    Returns
    -------
    tables : dict of str to Path
    objects : dict of str to int
        Rows of the object tables.

    Raises
    ------
    ExternalToolError
        A part has no table of images: the pipeline writes it somewhere else.
    Cancelled
        When `should_stop` returned true; no table appears then.
    """
    bare = next((place for place in places if image_table(place) is None), None)
    if bare is not None:
        raise ExternalToolError(
            f"No table of images is in {bare}, where CellProfiler worked: let ExportToSpreadsheet "
            "write into the Default Output Folder or a folder in it."
        )
    exported = ExportedNuclei(nuclei)
    tables: dict[str, Path] = {}
    objects: dict[str, int] = {}

    def parts() -> Iterator[Path]:
        for place in places:
            if should_stop is not None and should_stop():
                raise Cancelled(
                    "Stopped while the tables were joined; the same call goes on there."
                )
            yield place

    with ExitStack() as stack:
        for name in table_names(places):
            path = output / f"{name}.csv"
            tables[name] = path
            temporary = stack.enter_context(atomic_path(path, overwrite))
            files = (place / f"{name}.csv" for place in parts())
            files = (file for file in files if file.is_file())
            # One pipeline wrote all parts: the first that is there speaks for them.
            if _is_combined(next(p for place in places if (p := place / f"{name}.csv").is_file())):
                _join_combined(files, temporary)
                continue
            joined = CsvTable(temporary)
            rows = 0
            for part in files:
                columns = read_columns(part)
                if path.stem == "Nuclei":
                    columns |= _confidence(columns, exported)
                rows += columns["ImageNumber"].size if "ImageNumber" in columns else 0
                joined.append(_in_order(columns))
            if "ObjectNumber" in joined.columns:
                objects[name] = rows
        for beside in [Path(name).parent for name in tables if Path(name).name == "Nuclei"]:
            name = (beside / TABLE).as_posix()
            cells: CsvTable | None = None
            for part in parts():
                for table in _single_cells(part / beside, exported):
                    if cells is None:
                        tables[name] = output / f"{name}.csv"
                        cells = CsvTable(stack.enter_context(atomic_path(tables[name], overwrite)))
                    cells.append(table)
    return tables, objects


def _is_combined(path: Path) -> bool:
    """Return whether a table has a line of objects above its header: measurements of several."""
    header = _header(path)
    return len(set(header)) < len(header)


def _join_combined(parts: Iterator[Path], path: Path) -> None:
    """Join tables as they stand; the two lines of the header come once."""
    with path.open("w", newline="", encoding="utf-8") as joined:
        for number, part in enumerate(parts):
            with part.open(newline="", encoding="utf-8") as stream:
                for line, text in enumerate(stream):
                    if number == 0 or line > 1:
                        joined.write(text)


def _single_cells(place: Path, nuclei: ExportedNuclei) -> Iterator[Columns]:
    """Yield a table for each image with a row a cell, as the built-in engine writes it."""
    paths = {name: place / f"{name}.csv" for name in COMPARTMENTS}
    if not all(path.is_file() for path in paths.values()):
        return
    tables = {name: read_columns(path) for name, path in paths.items()}
    if not all(key in table for table in tables.values() for key in _NUMBERS):
        return
    known = nuclei.of(set(tables["Nuclei"]["ImageNumber"].tolist()))
    tables["Nuclei"] |= _confidence(tables["Nuclei"], nuclei)
    for image in dict.fromkeys(tables["Nuclei"]["ImageNumber"].tolist()):
        rows = {name: table["ImageNumber"] == image for name, table in tables.items()}
        one = {
            name: {key: values[rows[name]] for key, values in table.items()}
            for name, table in tables.items()
        }
        keys = [(image, number) for number in one["Nuclei"]["ObjectNumber"]]
        if not all(key in known for key in keys):
            return
        labels = np.array([known[key]["Label"] for key in keys], np.uint32)
        merged = merge_cells(FieldMeasurements(FieldIdentity(image), one, {}, labels))
        if merged is not None:
            yield merged


def read_columns(path: Path) -> Columns:
    """Read a CSV table as columns of text."""
    with path.open(newline="", encoding="utf-8") as stream:
        lines = csv.reader(stream)
        header = next(lines, [])
        rows = list(lines)
    values = zip(*rows, strict=True) if rows else ([] for _ in header)
    return {name: np.array(column, str) for name, column in zip(header, values, strict=True)}


def read_table(path: Path) -> Columns:
    """Read a CSV table as columns of numbers, and of text where a value is none."""
    return {name: _numbers(values) for name, values in read_columns(path).items()}


def _numbers(values: NDArray) -> NDArray:
    try:
        return np.where(values == "", "nan", values).astype(np.float64)
    except ValueError:
        return values


def _in_order(columns: Columns) -> Columns:
    """Put numbers and metadata first, as in the tables of the built-in engine."""
    first = [name for name in _NUMBERS if name in columns]
    first += [name for name in columns if name.startswith("Metadata_")]
    return {name: columns[name] for name in dict.fromkeys([*first, *columns])}


def _confidence(columns: Columns, nuclei: ExportedNuclei) -> Columns:
    """Return what is known about the nuclei beyond CellProfiler's columns, row by row."""
    if not all(name in columns for name in _NUMBERS):
        return {}
    keys = list(zip(*(columns[name].tolist() for name in _NUMBERS), strict=True))
    known = nuclei.of(set(columns["ImageNumber"].tolist()))
    if any(key not in known for key in keys):
        return {}  # a pipeline of one's own may number its nuclei in another way
    names = [
        name
        for name in nuclei.names
        if name not in columns and name != "Label" and not name.startswith("Metadata_")
    ]
    return {name: np.array([known[key][name] for key in keys], str) for name in names}


def gather_masks(
    places: Sequence[Path],
    rows: Sequence[dict[str, str]],
    output: Path,
    without: Container[tuple[str, str]] = (),
) -> dict[str, dict[str, Path]]:
    """Bring the masks of all parts into one folder, named by field.

    Parameters
    ----------
    places : sequence of Path
        Output folders of the parts.
    rows : sequence of dict
        Of the LoadData table.
    output : Path
        An existing folder of masks in it is replaced.
    without : container of (field, object)
        Masks to leave out.

    Returns
    -------
    dict of str to dict of str to Path
        Field -> object -> file.
    """
    written: dict[str, dict[str, Path]] = {}
    for path in sorted(path for place in places for path in (place / MASKS).glob("*.tiff")):
        stem, name = path.stem.rsplit("_", 1)
        written.setdefault(stem, {})[name] = path
    masks: dict[str, dict[str, Path]] = {}
    if not written:
        return masks
    own = listed_files(output / MASKS)
    with atomic_path(output / MASKS, overwrite=True, own=own) as folder:
        folder.mkdir()
        for row in rows:
            field = row["Metadata_Field"]
            stem = Path(row[f"Image_FileName_{IMAGE_NAMES['nuclei']}"]).stem
            for name, path in written.get(stem, {}).items():
                if (field, name) in without:
                    continue
                file = row["Image_ObjectsFileName_Nuclei"].replace("_Nuclei.tif", f"_{name}.tif")
                # copied: what is finished stays where it is until everything is
                shutil.copyfile(path, folder / file)
                masks.setdefault(field, {})[name] = output / MASKS / file
        list_files(folder)
    return masks


def gather_files(places: Sequence[Path], output: Path, *, masks: bool) -> list[Path]:
    """Bring what is neither table nor log into the folder `FILES`, where there is any.

    Parameters
    ----------
    places : sequence of Path
        Output folders of the parts.
    output : Path
        An existing folder of that name in it is replaced.
    masks : bool
        Whether to take along what lies in the folder `MASKS`.

    Returns
    -------
    list of Path
        Files of the same name in several parts lie in a folder for each part.
    """

    def is_known(name: Path) -> bool:
        ours = name.as_posix() in (_LOG, COMPLETE) or (not masks and name.parts[0] == MASKS)
        return ours or name.suffix == ".csv"

    found = [
        (number, path.relative_to(place), path)
        for number, place in enumerate(places, 1)
        for path in sorted(place.rglob("*"))
        if path.is_file() and not is_known(path.relative_to(place))
    ]
    if not found:
        return []
    times = Counter(name for _, name, _ in found)
    own = listed_files(output / FILES)
    written = []
    with atomic_path(output / FILES, overwrite=True, own=own) as folder:
        for number, name, path in found:
            target = name if times[name] == 1 else Path(f"part_{number:05d}") / name
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / target)
            written.append(output / FILES / target)
        list_files(folder)
    return written


def gather_log(places: Sequence[Path], path: Path) -> None:
    """Join the logs of all parts; an earlier log is replaced."""
    with atomic_path(path, overwrite=True) as temporary, temporary.open("wb") as stream:
        for place in places:
            stream.write((place / _LOG).read_bytes())
