"""Open whatever the user points at: a plate, a stack, or results of an earlier run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fluorgen.stack import BrightfieldStack, StainedField
from napari_fluorgen.widgets.presenters.layers import LayerSpec, result_layers
from napari_fluorgen.widgets.presenters.spatial import Spatial

if TYPE_CHECKING:
    from napari_fluorgen.io import Plate

RESIDENT_BYTES = 1_000_000_000
"""Stacks up to this size are held in memory, so that leafing through planes never waits."""


@dataclass(frozen=True)
class Opened:
    """What lies at a path; exactly one of the first three holds something.

    Attributes
    ----------
    plate : Plate or None
        Fields to choose from.
    stack : BrightfieldStack or None
        A single field.
    results : tuple of StainedField
        What an earlier run wrote.
    path : Path
        Where it lies.
    problems : tuple of str
        What could not be read, in sentences.
    """

    path: Path
    plate: Plate | None = None
    stack: BrightfieldStack | None = None
    results: tuple[StainedField, ...] = ()
    problems: tuple[str, ...] = ()


def open_path(path: str | Path) -> Opened:
    """Find out what a path is and read it.

    Raises
    ------
    InputError
        Nothing there that can be read.
    """
    from napari_fluorgen.errors import InputError
    from napari_fluorgen.io import read_plate, read_stack

    path = Path(path)
    if is_results_folder(path):
        from napari_fluorgen.io.results import list_fields, read_field

        fields: list[StainedField] = []
        problems: list[str] = []
        for name in list_fields(path):
            try:
                fields.append(read_field(path, name))
            except InputError as error:
                problems.append(str(error))
        return Opened(path, results=tuple(fields), problems=tuple(problems))
    folder = _plate_at(path)
    if folder is not None:
        plate = read_plate(folder)
        return Opened(path, plate=plate, problems=tuple(plate.notes))
    stack = resident(read_stack(path))
    return Opened(path, stack=stack, problems=tuple(stack.notes))


def _plate_at(path: Path) -> Path | None:
    """Return the folder of a plate: the path, or the only plate in it."""
    from napari_fluorgen.errors import InputError
    from napari_fluorgen.io import is_plate_folder

    if not path.is_dir() or is_plate_folder(path):
        return path if path.is_dir() else None
    inside = sorted(one for one in path.iterdir() if one.is_dir() and is_plate_folder(one))
    if len(inside) > 1:
        names = ", ".join(one.name for one in inside)
        raise InputError(f"{path} holds {len(inside)} plates: choose one of them ({names}).")
    return inside[0] if inside else None


def is_results_folder(path: Path) -> bool:
    """Whether a run of ours wrote this folder."""
    return (path / "run.json").is_file()


def resident(stack: BrightfieldStack) -> BrightfieldStack:
    """Load a stack of ordinary size into memory; a larger one stays on disk, sliced by dask."""
    truth = {name: np.asarray(plane) for name, plane in stack.truth.items()}
    shape, dtype = stack.shape, np.dtype(stack.data.dtype)
    data: Any
    if int(np.prod(shape)) * dtype.itemsize <= RESIDENT_BYTES:
        data = np.asarray(stack.data[:])
    elif hasattr(stack.data, "dask"):
        data = stack.data
    else:
        import dask.array

        data = dask.array.from_array(stack.data, chunks=(1, *shape[1:]), name=False)
    return replace(stack, data=data, truth=truth)


def results_as_layers(result: StainedField, folder: Path) -> list[LayerSpec]:
    """Describe the layers of a result that was read from a folder."""
    key = f"{folder.resolve()}:{result.identity.name}"
    return result_layers(result, Spatial.of_pixels(result.pixel_size_um), run=key)
