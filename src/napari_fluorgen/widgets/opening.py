"""Open whatever the user points at: a plate, a stack, or results of an earlier run."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fluorgen.stack import BrightfieldStack
from napari_fluorgen.widgets.presenters.layers import (
    KEY,
    TRUE_LABELS,
    LayerSpec,
    result_layers,
    stack_layers,
)
from napari_fluorgen.widgets.presenters.results import PLACE
from napari_fluorgen.widgets.presenters.spatial import Spatial

if TYPE_CHECKING:
    from napari_fluorgen.io import FieldEntry, Plate

RESIDENT_BYTES = 1_000_000_000
"""Stacks up to this size are held in memory, so that leafing through planes never waits."""


@dataclass(frozen=True)
class Opened:
    """What lies at a path: a plate, a stack, or results.

    Attributes
    ----------
    path : Path
        Where it lies.
    plate : Plate or None
        Fields to choose from.
    stack : BrightfieldStack or None
        A single field.
    results : tuple of str
        Names of the fields that an earlier run wrote; of these only the first is read.
    layers : tuple of LayerSpec
        Layers of the stack, or of the first result.
    problems : tuple of str
        What could not be read, in sentences.
    """

    path: Path
    plate: Plate | None = None
    stack: BrightfieldStack | None = None
    results: tuple[str, ...] = ()
    layers: tuple[LayerSpec, ...] = ()
    problems: tuple[str, ...] = ()


def open_path(path: str | Path) -> Opened:
    """Find out what a path is and read it.

    Raises
    ------
    InputError
        Nothing there that can be read.
    """
    from napari_fluorgen.io import read_plate, read_stack

    path = Path(path)
    if names := result_names(path):
        return _open_results(path, names)
    folder = _plate_at(path)
    if folder is not None:
        plate = read_plate(folder)
        return Opened(path, plate=plate, problems=tuple(plate.notes))
    stack = resident(read_stack(path))
    layers = tuple(stack_layers(stack))
    return Opened(path, stack=stack, layers=layers, problems=tuple(stack.notes))


def _open_results(folder: Path, names: tuple[str, ...]) -> Opened:
    """Read the first result that is whole; a run of a plate may have left hundreds."""
    from napari_fluorgen.errors import InputError

    problems: list[str] = []
    for name in names:
        try:
            layers = tuple(read_result(folder, name))
        except InputError as error:
            problems.append(str(error))
        else:
            return Opened(folder, results=names, layers=layers, problems=tuple(problems))
    return Opened(folder, results=names, problems=tuple(problems))


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


def result_names(path: Path) -> tuple[str, ...]:
    """Names of the fields that a run of ours left in a folder; none in a folder of others."""
    if not (path / "run.json").is_file():
        return ()
    from napari_fluorgen.errors import InputError
    from napari_fluorgen.io.results import list_fields

    try:
        return tuple(list_fields(path))
    except InputError:  # other programs name a file so, too
        return ()


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


def read_entry(entry: FieldEntry) -> BrightfieldStack:
    """Read a field of a plate into memory as `resident` does, with labels of its true nuclei.

    These lie under `TRUE_LABELS` in `truth`. Labels that cannot be used are left out with a note.

    Raises
    ------
    InputError
        A file of its planes is damaged.
    """
    from napari_fluorgen.errors import InputError
    from napari_fluorgen.io.results import read_tiff

    stack = resident(entry.read())
    path = entry.labels
    if path is None:
        return stack
    try:
        labels = read_tiff(path, as_stored=True)
        if labels.shape != stack.shape[1:] or labels.dtype.kind not in "bui":
            raise InputError(
                f"{path} has {labels.shape[0]}×{labels.shape[1]} pixels of type {labels.dtype}: "
                f"expected {stack.shape[1]}×{stack.shape[2]} whole numbers."
            )
    except InputError as error:
        note = f"The outlines of true nuclei are left out: {error}"
        return replace(stack, notes=(*stack.notes, note))
    return replace(stack, truth={**stack.truth, TRUE_LABELS: labels})


def place_of(folder: Path, name: str) -> tuple[str, str]:
    """Where a result lies, as ``Run.saved_as`` has it."""
    return str(folder.resolve()), name


def read_result(folder: Path, name: str) -> list[LayerSpec]:
    """Describe the layers of a result in a folder, a run of their own each time it is read.

    Raises
    ------
    InputError
        A file of it is missing or damaged.
    """
    from napari_fluorgen.errors import InputError
    from napari_fluorgen.io.results import read_field
    from napari_fluorgen.io.run_record import RUN_FILE, version_of

    version = version_of(folder, name)  # first: what is written meanwhile counts as newer
    result = read_field(folder, name)
    try:
        spatial = Spatial.of_pixels(result.pixel_size_um).at(result.provenance.get(PLACE, {}))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder / RUN_FILE} says of '{name}' no place that can be understood: remove "
            f"'{PLACE}' from its record."
        ) from error
    specs = result_layers(result, spatial, run=uuid.uuid4().hex)
    for spec in specs:
        spec.kwargs["metadata"][KEY] |= {"saved_as": place_of(folder, name), "version": version}
    return specs
