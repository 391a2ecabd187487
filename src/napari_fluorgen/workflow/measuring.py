"""Folders of stained fields to tables and to a CellProfiler project."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import Cancelled, InputError
from napari_fluorgen.stack import FieldIdentity, StainedField
from napari_fluorgen.workflow.events import FieldFailed, FieldStarted
from napari_fluorgen.workflow.field import StopCheck

if TYPE_CHECKING:
    from napari_fluorgen.measurement import ExportSummary

Progress = Callable[[Any], None]


@dataclass(frozen=True)
class MeasureSummary:
    """Tables of a folder.

    Attributes
    ----------
    files : tuple of Path
        The CSV files.
    fields : tuple of str
        Names of the fields, in the order of ``ImageNumber``.
    objects : dict of str to int
        Number of objects by table.
    notes : tuple of str
        What the user has to be told.
    """

    files: tuple[Path, ...]
    fields: tuple[str, ...]
    objects: dict[str, int]
    notes: tuple[str, ...] = ()


_NO_IMAGES = (
    "CellProfiler Analyst shows images of TIFF files only, and {without} of {fields} fields are "
    "OME-Zarr: fluorgen.db is whole, but Analyst opens its properties files only where there are "
    "images; stain as TIFF for it."
)


def stained_fields(
    folder: str | Path,
    *,
    failed: list[FieldFailed] | None = None,
    progress: Progress | None = None,
    should_stop: StopCheck | None = None,
) -> Iterator[StainedField]:
    """Read the fields that `stain_batch` wrote, one at a time.

    Parameters
    ----------
    folder : path
        Written by `stain_batch`.
    failed : list of FieldFailed, optional
        Fields that cannot be read are added to it and left out; without it the first one raises.
    progress : callable, optional
        Called with a `FieldStarted` for each field that is read.
    should_stop : callable, optional
        Asked before each field.

    Raises
    ------
    InputError
        When the folder holds none, or none that can be read.
    Cancelled
        When `should_stop` returned true.
    """
    from napari_fluorgen.io import results

    names = list_stained(folder)
    for index, name in enumerate(names):
        if should_stop is not None and should_stop():
            raise Cancelled(f"Stopped after {index} of {len(names)} fields; nothing was written.")
        try:
            field = results.read_field(folder, name)
        except InputError as error:
            # Without any other field there is nothing to go on with.
            if failed is None or len(failed) == len(names) - 1:
                raise
            failed.append(FieldFailed(FieldIdentity(name), str(error)))
            continue
        if progress is not None:
            progress(FieldStarted(field.identity, index, len(names)))
        yield field


def list_stained(folder: str | Path) -> list[str]:
    """Return the names of the stained fields of a folder, at least one.

    Raises
    ------
    InputError
        When the folder is missing or holds none.
    """
    from napari_fluorgen.io import results

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name one that `fluorgen stain` wrote.")
    names = results.list_fields(folder)
    if not names:
        raise InputError(f"{folder} holds no stained field: name one that `fluorgen stain` wrote.")
    return list(names)


def measure_folder(
    folder: str | Path,
    output: str | Path,
    *,
    overwrite: bool = False,
    features: str | Iterable[str] = "basic",
    trusted_only: bool = False,
    certain_only: bool = False,
    database: bool = False,
    failed: list[FieldFailed] | None = None,
    progress: Progress | None = None,
    should_stop: StopCheck | None = None,
) -> MeasureSummary:
    """Measure every stained field of a folder and write CellProfiler-named tables.

    Parameters
    ----------
    folder : path
        Written by `stain_batch`.
    output : path
        Folder of the CSV files.
    overwrite : bool
        Whether existing tables may be replaced.
    features, trusted_only, certain_only
        As for `measure_field`.
    database : bool
        As for `write_tables`.
    failed, progress, should_stop
        As for `stained_fields`.

    Raises
    ------
    InputError, OutputError, Cancelled
        Nothing is written then.
    """
    from napari_fluorgen.measurement import measure_field, write_tables

    folder = Path(folder)
    names: list[str] = []
    without: list[str] = []  # images that Analyst shows
    objects: dict[str, int] = {}

    def measured() -> Iterator[Any]:
        for field in stained_fields(
            folder, failed=failed, progress=progress, should_stop=should_stop
        ):
            measurements = measure_field(
                field, features=features, trusted_only=trusted_only, certain_only=certain_only
            )
            images = _image_files(folder, field.identity.name)
            measurements.tables["Image"].update(images)
            if not images:
                without.append(field.identity.name)
            names.append(field.identity.name)
            for name, labels in measurements.labels.items():
                objects[name] = objects.get(name, 0) + int(labels.max(initial=0))
            yield measurements

    files = write_tables(measured(), output, overwrite=overwrite, database=database)
    notes = [_NO_IMAGES.format(without=len(without), fields=len(names))] if without else []
    return MeasureSummary(tuple(files), tuple(names), objects, tuple(notes if database else ()))


def _image_files(folder: Path, name: str) -> dict[str, NDArray[np.str_]]:
    """Return where the stains of a field lie, as CellProfiler's table of images tells it."""
    from napari_fluorgen.io.results import RESULT
    from napari_fluorgen.io.run_record import read_record
    from napari_fluorgen.measurement.names import IMAGE_NAMES

    columns: dict[str, NDArray[np.str_]] = {}
    files = read_record(folder, name).get(RESULT, {}).get("files", {})
    for stain, image in IMAGE_NAMES.items():
        if stain in files:  # OME-Zarr has no file that CellProfiler Analyst shows
            file = (folder / files[stain]).resolve()
            columns[f"FileName_{image}"] = np.array([file.name])
            columns[f"PathName_{image}"] = np.array([str(file.parent)])
    return columns


def export_folder(
    folder: str | Path,
    output: str | Path,
    *,
    overwrite: bool = False,
    failed: list[FieldFailed] | None = None,
    progress: Progress | None = None,
    should_stop: StopCheck | None = None,
) -> ExportSummary:
    """Write a CellProfiler project of every stained field of a folder.

    Parameters and errors are those of `measure_folder`.
    """
    from napari_fluorgen.measurement import export_cellprofiler

    fields = stained_fields(folder, failed=failed, progress=progress, should_stop=should_stop)
    return export_cellprofiler(fields, output, overwrite=overwrite)
