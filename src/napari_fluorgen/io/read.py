"""Find and open fields: whatever a user drops, as stacks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.cellvoyager import is_plate_folder, parse_name, read_plate
from napari_fluorgen.io.files import (
    IMAGE_SUFFIXES,
    ONE_PLANE,
    check_file,
    check_reachable,
    field_name,
    natural_key,
    open_image,
    some_names,
)
from napari_fluorgen.io.lazy import PlaneStack
from napari_fluorgen.io.plate import FieldEntry, Plate
from napari_fluorgen.io.series import find_series, read_series
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity

_DEPTH = 3


@dataclass(frozen=True)
class FieldSource:
    """A field that can be opened.

    Attributes
    ----------
    identity : FieldIdentity
        With a name that is unique among the fields found together.
    open : callable
        Gives the stack; raises `InputError` where its files are damaged.
    """

    identity: FieldIdentity
    open: Callable[[], BrightfieldStack]


@dataclass(frozen=True)
class FoundFields:
    """What was found under some paths.

    Attributes
    ----------
    fields : tuple of FieldSource
        In natural order.
    problems : tuple of str
        A sentence for each path, field or file that cannot be used.
    """

    fields: tuple[FieldSource, ...]
    problems: tuple[str, ...] = ()


def is_ome_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr group."""
    marks = ("zarr.json", ".zgroup", ".zattrs")
    try:
        return path.is_dir() and any((path / name).is_file() for name in marks)
    except PermissionError:
        return False


def read_stack(
    path: str | os.PathLike[str], *, pixel_size_um: float | tuple[float, float] | None = None
) -> BrightfieldStack:
    """Open one field; its pixels are read when sliced.

    Parameters
    ----------
    path : path-like
        TIFF or PNG file, OME-Zarr, folder of single-plane files, folder with one field, or one
        file of a CellVoyager field (which opens the whole field).
    pixel_size_um : float or tuple of float (y, x), optional
        Micrometres a pixel; replaces what the files say.

    Returns
    -------
    BrightfieldStack
        With `notes` on what was assumed or left out.

    Raises
    ------
    InputError
        Missing, empty, damaged, in colour, of unfit dimensions, or more than one field.
    """
    path = Path(path)
    check_reachable(path)
    if path.is_dir():
        found = find_fields([path])
        if not found.fields:
            raise InputError(found.problems[0])
        if len(found.fields) > 1:
            names = some_names([source.identity.name for source in found.fields])
            raise InputError(
                f"{path} holds {len(found.fields)} fields ({names}): open one of them, or all with "
                "read_plate or `fluorgen stain`."
            )
        stack = found.fields[0].open()
        stack = replace(stack, notes=stack.notes + found.problems)
    elif parse_name(path.name) is not None:
        stack = _open_entry(_entry_of(path))
    else:
        stack = _open_file(path)
    if pixel_size_um is None:
        return stack
    size = (
        (pixel_size_um, pixel_size_um) if isinstance(pixel_size_um, int | float) else pixel_size_um
    )
    if len(size) != 2 or not all(0 < value < float("inf") for value in size):
        raise InputError(f"The pixel size {pixel_size_um} is no length: expected µm, as 0.325.")
    return replace(stack, pixel_size_um=(float(size[0]), float(size[1])))


def find_fields(
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
) -> FoundFields:
    """List the fields under some files and folders without reading pixels.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        As for `read_stack`; plates and folders of stacks give all their fields, other folders
        those of their subfolders.

    Returns
    -------
    FoundFields
        Fields, and a sentence for each path or field that was skipped. Never raises for bad input.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    sources: list[FieldSource] = []
    problems: list[str] = []
    plates: dict[Path, Plate | InputError] = {}
    for item in paths:
        path = Path(item)
        try:
            check_reachable(path)
            if path.is_dir():
                known = len(problems)
                inside = _in_folder(path, problems, _DEPTH)
                if not inside and len(problems) == known:
                    problems.append(_nothing(path))
                sources += inside
            elif parse_name(path.name) is not None:
                sources.append(_source(_entry_of(path, plates)))
            else:
                check_file(path)
                sources.append(
                    FieldSource(FieldIdentity(field_name(path)), partial(_open_file, path))
                )
        except InputError as error:
            problems.append(str(error))
    return FoundFields(tuple(_unique(sources)), tuple(dict.fromkeys(problems)))


def _in_folder(folder: Path, problems: list[str], depth: int) -> list[FieldSource]:
    if is_ome_zarr(folder):
        from napari_fluorgen.io.omezarr import find_images

        return [
            FieldSource(identity, partial(_open_zarr, path, identity))
            for path, identity in find_images(folder)
        ]
    if is_plate_folder(folder):
        plate = read_plate(folder)
        problems += plate.notes
        return [_source(entry) for entry in plate.complete]
    children = sorted(_children(folder), key=lambda path: natural_key(path.name))
    files = [path for path in children if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    if files:
        beside = [path.name for path in children if is_ome_zarr(path) or is_plate_folder(path)]
        if beside:
            problems.append(
                f"{folder}: left out, folders beside images: {some_names(beside)}; name them to "
                "read them too."
            )
        return _loose_files(folder, files, problems)
    sources: list[FieldSource] = []
    if depth:
        for child in children:
            if child.is_dir():
                try:
                    sources += _in_folder(child, problems, depth - 1)
                except InputError as error:
                    problems.append(str(error))
    return sources


def _nothing(folder: Path) -> str:
    return (
        f"{folder} holds no images: expected CellVoyager files, TIFF stacks, single-plane TIFF or "
        "PNG files, or OME-Zarr; choose the folder that holds them."
    )


def _children(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}.") from error


def _loose_files(folder: Path, files: list[Path], problems: list[str]) -> list[FieldSource]:
    """Stacks of a folder: each multi-plane file is one; else single-plane files make series."""
    stacks: list[Path] = []
    single: list[Path] = []
    damaged: dict[Path, str] = {}
    for path in files:
        try:
            (stacks if len(open_image(path).planes) > 1 else single).append(path)
        except InputError as error:
            damaged[path] = str(error)
    if stacks:
        problems += damaged.values()
        if single:
            problems.append(
                f"{folder}: left out, single planes beside stacks: "
                f"{some_names([path.name for path in single])}."
            )
        return [
            FieldSource(FieldIdentity(field_name(path)), partial(_open_file, path))
            for path in stacks
        ]
    # A damaged plane stays in its series, whose opening then says so: a stack is never
    # read without a plane that belongs to it.
    series = find_series(folder, [path for path in files if path in damaged or path in single])
    return [FieldSource(FieldIdentity(found.name), partial(read_series, found)) for found in series]


def _open_file(path: Path) -> BrightfieldStack:
    file = open_image(path)
    notes = file.notes + ((ONE_PLANE,) if len(file.planes) == 1 else ())
    return BrightfieldStack(
        data=PlaneStack(file.planes),
        identity=FieldIdentity(field_name(path)),
        pixel_size_um=file.pixel_size_um,
        z_um=file.z_um,
        source=str(path),
        notes=notes,
    )


def _open_zarr(path: Path, identity: FieldIdentity) -> BrightfieldStack:
    from napari_fluorgen.io.omezarr import read_image

    return replace(read_image(path), identity=identity)


def _entry_of(path: Path, plates: dict[Path, Plate | InputError] | None = None) -> FieldEntry:
    """The field that a CellVoyager file belongs to."""
    plates = {} if plates is None else plates
    folder = path.parent
    if folder not in plates:
        try:
            plates[folder] = read_plate(folder)
        except InputError as error:
            plates[folder] = error
    plate = plates[folder]
    if isinstance(plate, InputError):
        raise plate
    name = parse_name(path.name)
    return next(e for e in plate.fields if name is not None and e.identity.name == name.stem)


def _open_entry(entry: FieldEntry) -> BrightfieldStack:
    if entry.missing:
        raise InputError(entry.describe_missing())
    return entry.read()


def _source(entry: FieldEntry) -> FieldSource:
    return FieldSource(entry.identity, partial(_open_entry, entry))


def _unique(sources: Iterable[FieldSource]) -> list[FieldSource]:
    """Drop fields that were given twice; number names that several fields share."""
    seen: dict[str, list[FieldSource]] = {}
    given = [source for source in sources if not _known(source, seen)]
    taken = set(seen)
    kept = []
    for source in given:
        name = source.identity.name
        if source is not seen[name][0]:
            numbers = (number for number in count(2) if f"{name}_{number}" not in taken)
            identity = replace(source.identity, name=f"{name}_{next(numbers)}")
            taken.add(identity.name)
            source = FieldSource(identity, partial(_renamed, source.open, identity))
        kept.append(source)
    return kept


def _known(source: FieldSource, seen: dict[str, list[FieldSource]]) -> bool:
    """Whether a field was seen before; it is then."""
    same = seen.setdefault(source.identity.name, [])
    if any(_same(source, other) for other in same):
        return True
    same.append(source)
    return False


def _same(a: FieldSource, b: FieldSource) -> bool:
    first, second = a.open, b.open
    return (
        isinstance(first, partial)
        and isinstance(second, partial)
        and first.func == second.func
        and first.args == second.args
    )


def _renamed(opener: Callable[[], BrightfieldStack], identity: FieldIdentity) -> BrightfieldStack:
    # Files named by the instrument would clash with those of the field of the same name.
    return replace(opener(), identity=identity, channel_files={})
