"""Find and open fields: whatever a user drops, as stacks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from numbers import Real
from pathlib import Path
from typing import Any

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.cellvoyager import is_plate_folder, parse_name, read_plate
from napari_fluorgen.io.files import (
    IMAGE_SUFFIXES,
    MICROSCOPE_FORMATS,
    ONE_PLANE,
    ImageFile,
    check_file,
    check_reachable,
    field_name,
    image_name,
    natural_key,
    one_was_read,
    open_image,
    some_names,
)
from napari_fluorgen.io.found import FieldSource, FoundFields, renamed, unique_fields
from napari_fluorgen.io.lazy import PlaneStack
from napari_fluorgen.io.own_files import LIST_FILE
from napari_fluorgen.io.plate import FieldEntry, Plate
from napari_fluorgen.io.run_record import RUN_FILE
from napari_fluorgen.io.series import find_series, read_series
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity

_DEPTH = 3


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
        TIFF or PNG file (of several images the first), OME-Zarr, folder of single-plane files,
        folder with one field, or one file of a CellVoyager field (which opens the whole field).
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
            raise InputError(_several(path, found))
        stack = found.fields[0].open()
        stack = replace(stack, notes=stack.notes + found.problems)
    elif parse_name(path.name) is not None:
        stack = _open_entry(_entry_of(path))
    else:
        stack = _open_file(path)
    if pixel_size_um is None:
        return stack
    size: Any = pixel_size_um
    if isinstance(size, Real):  # as NumPy's numbers are, which are no float
        size = (size, size)
    if len(size) != 2 or not all(0 < value < float("inf") for value in size):
        raise InputError(f"The pixel size {pixel_size_um} is no length: expected µm, as 0.325.")
    return replace(stack, pixel_size_um=(float(size[0]), float(size[1])))


def _several(path: Path, found: FoundFields) -> str:
    """What to do with a folder of several fields, by what can open them."""
    names = some_names([source.identity.name for source in found.fields])
    places = [_place(source) for source in found.fields]
    advice = "all with napari_fluorgen.io.find_fields or `fluorgen stain`."
    if is_plate_folder(path):
        advice = "a field by naming one of its files, or all with read_plate or `fluorgen stain`."
    elif places[0] is not None and places[0] != path:
        advice = f"one by naming it ({places[0]}), or {advice}"
    return f"{path} holds {len(found.fields)} fields ({names}): open {advice}"


def _place(source: FieldSource) -> Path | None:
    """File or folder that opens a field alone; None where it lies among others."""
    opener = source.open
    while isinstance(opener, partial) and opener.func is renamed:
        opener = opener.args[0]
    if isinstance(opener, partial) and opener.func is _open_file and len(opener.args) > 1:
        return None  # the file alone opens its first image
    if isinstance(opener, partial) and isinstance(opener.args[0], Path):
        return opener.args[0]
    return None


def find_fields(
    paths: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
) -> FoundFields:
    """List the fields under some files and folders without reading pixels.

    Parameters
    ----------
    paths : path-like or sequence of path-like
        As for `read_stack`; files of several images, plates and folders of stacks give all their
        fields, other folders those of their subfolders, without those that hold results of
        staining or what was made of them for CellProfiler.

    Returns
    -------
    FoundFields
        Fields, and a sentence for each path or field that was skipped. Never raises for bad input.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    sources: list[FieldSource] = []
    problems: list[str] = []
    unreadable: list[str] = []
    left_out: list[str] = []
    plates: dict[Path, Plate | InputError] = {}
    for item in paths:
        path = Path(item)
        lost: list[str] = []
        try:
            check_reachable(path)
            if path.is_dir():
                known = len(problems)
                inside = _in_folder(path, problems, lost, _DEPTH)
                if not inside and len(problems) == known:
                    problems.append(_nothing(path))
                if inside:
                    left_out += lost
                else:
                    unreadable.append(problems[known])
                sources += inside
            elif parse_name(path.name) is not None:
                sources.append(_source(_entry_of(path, plates)))
            else:
                check_file(path)
                sources += _in_file(path)
        except InputError as error:
            problems.append(str(error))
            unreadable.append(str(error))
    told = (tuple(dict.fromkeys(sentences)) for sentences in (problems, unreadable, left_out))
    return FoundFields(tuple(unique_fields(sources)), *told)


def _in_folder(folder: Path, problems: list[str], lost: list[str], depth: int) -> list[FieldSource]:
    """Fields below a folder; what is said of it goes to `problems`, of what is lost to both."""
    if is_ome_zarr(folder):
        from napari_fluorgen.io.omezarr import find_images

        images, unread = find_images(folder)
        problems += unread
        lost += unread
        return [
            FieldSource(identity, partial(_open_zarr, path, identity)) for path, identity in images
        ]
    if is_plate_folder(folder):
        plate = read_plate(folder)
        problems += plate.notes
        lost += [entry.describe_missing() for entry in plate.fields if entry.missing]
        return [_source(entry) for entry in plate.complete]
    children = sorted(
        (path for path in _children(folder) if not _holds_results(path)),
        key=lambda path: natural_key(path.name),
    )
    files = [path for path in children if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    if files:
        beside = [path.name for path in children if is_ome_zarr(path) or is_plate_folder(path)]
        if beside:
            problems.append(
                f"{folder}: left out, folders beside images: {some_names(beside)}; name them to "
                "read them too."
            )
        return _loose_files(folder, files, problems, lost)
    sources: list[FieldSource] = []
    if depth:
        for child in children:
            if child.is_dir():
                try:
                    sources += _in_folder(child, problems, lost, depth - 1)
                except InputError as error:
                    problems.append(str(error))
                    lost.append(str(error))
    return sources


def _holds_results(folder: Path) -> bool:
    """Whether we wrote there what was made from images: stains and masks are no brightfield."""
    if folder.suffix.lower() in IMAGE_SUFFIXES:  # one question less for each file of a plate
        return False
    try:
        # Of what is written as a whole, only simulated plates are brightfield.
        listed = (folder / LIST_FILE).is_file() and not is_plate_folder(folder)
        return listed or (folder / RUN_FILE).is_file()
    except OSError:
        return False


def _nothing(folder: Path) -> str:
    foreign = [path for path in _children(folder) if path.suffix.lower() in MICROSCOPE_FORMATS]
    if foreign:
        names = some_names(sorted((path.name for path in foreign), key=natural_key))
        kinds = sorted({MICROSCOPE_FORMATS[path.suffix.lower()] for path in foreign})
        return (
            f"{folder} holds no images that are read, but files in {' and '.join(kinds)} "
            f"({names}): export their brightfield z-stacks as OME-TIFF (in the microscope's "
            "software, or in Fiji with Bio-Formats) and open those."
        )
    return (
        f"{folder} holds no images: expected CellVoyager files, TIFF stacks, single-plane TIFF or "
        "PNG files, or OME-Zarr; choose the folder that holds them."
    )


def _children(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}.") from error


def _loose_files(
    folder: Path, files: list[Path], problems: list[str], lost: list[str]
) -> list[FieldSource]:
    """Stacks of a folder: each multi-plane file is one; else single-plane files make series."""
    stacks: list[FieldSource] = []
    single: list[Path] = []
    damaged: dict[Path, str] = {}
    several: dict[Path, ImageFile] = {}
    done: set[Path] = set()
    for path in files:
        if path in done:
            continue
        try:
            image = open_image(path)
        except InputError as error:
            damaged[path] = str(error)
            continue
        if len(image.planes) > 1 or image.files:
            stacks += _in_image(path, image)
        else:
            single.append(path)
            if image.images:
                several[path] = image
        # A file of several images may share one with a file that holds yet others.
        if not image.images:
            done.update(image.files)
    if stacks:
        problems += damaged.values()
        lost += damaged.values()
        if single:
            problems.append(
                f"{folder}: left out, single planes beside stacks: "
                f"{some_names([path.name for path in single])}."
            )
        return stacks
    # A damaged plane stays in its series, whose opening then says so: a stack is never
    # read without a plane that belongs to it.
    series, unread = find_series(folder, [p for p in files if p in damaged or p in single])
    problems += unread
    lost += unread
    sources: list[FieldSource] = []
    for found in series:
        held = [path for path in found.files if path in several]
        if held and len(found.files) == 1:  # positions, not planes
            sources += _in_image(held[0], several[held[0]])
            continue
        first_only = [one_was_read(path, len(several[path].images)) for path in held]
        problems += first_only
        lost += first_only
        sources.append(FieldSource(FieldIdentity(found.name), partial(read_series, found)))
    return sources


def _in_file(path: Path) -> list[FieldSource]:
    """A file's fields; files of one OME-TIFF give the same field, which is then listed once."""
    # What is damaged says so when the field is opened.
    with suppress(InputError):
        return _in_image(path, open_image(path))
    return [FieldSource(FieldIdentity(field_name(path)), partial(_open_file, path))]


def _in_image(path: Path, image: ImageFile) -> list[FieldSource]:
    if not image.images:
        start = image.files[0] if image.files else path
        return [FieldSource(FieldIdentity(image_name(path, image)), partial(_open_file, start))]
    return [
        FieldSource(
            FieldIdentity(image_name(path, image, number)),
            partial(_open_file, files[0] if files else path, number),
        )
        for number, files in image.images.items()
    ]


def _open_file(path: Path, number: int | None = None) -> BrightfieldStack:
    file = open_image(path, number)
    notes = file.notes + ((ONE_PLANE,) if len(file.planes) == 1 else ())
    return BrightfieldStack(
        data=PlaneStack(file.planes),
        identity=FieldIdentity(image_name(path, file, number)),
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
