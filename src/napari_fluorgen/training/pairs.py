"""Folders of pairs: which files are the brightfield, the true stains and the nuclei of a field.

Three layouts are read:

- a CellVoyager folder: planes C04, stains C01-C03, labels in ``labels/<field>_nuclei.tif``;
- files side by side: ``<name>_brightfield.tif`` (a stack, or a folder of planes),
  ``<name>_nuclei.tif``, ``<name>_lipids.tif``, ``<name>_cytoplasm.tif``,
  ``<name>_nuclei-labels.tif``;
- subfolders ``brightfield``, ``nuclei``, ``lipids``, ``cytoplasm``, ``labels`` with the same file
  name for the same field.

Stains and labels may be missing, but each field of a folder has the same stains.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.io import FieldEntry, is_plate_folder, read_plate, read_stack
from napari_fluorgen.io.cellvoyager_xml import RECORD_SUFFIXES
from napari_fluorgen.io.files import (
    IMAGE_SUFFIXES,
    ImageFile,
    field_name,
    natural_key,
    open_image,
    some_names,
)
from napari_fluorgen.stack import STAINS, BrightfieldStack, FieldIdentity

_BRIGHTFIELD, _LABELS = "brightfield", "labels"
_ROLES = (_BRIGHTFIELD, *STAINS, _LABELS)
_NAME = re.compile(
    rf"(?P<name>.+?)[_-](?P<role>{'|'.join((_BRIGHTFIELD, *STAINS))}|(nuclei[_-])?labels)", re.I
)
_LAYOUT = (
    "files <name>_brightfield.tif and <name>_nuclei.tif, _lipids.tif or _cytoplasm.tif, subfolders "
    "brightfield, nuclei, lipids and cytoplasm, or a CellVoyager folder"
)

Opened = tuple[BrightfieldStack, NDArray[Any] | None]


@dataclass(frozen=True)
class PairSource:
    """A field whose pair can be opened.

    Attributes
    ----------
    name : str
        Field's name.
    stains : tuple of str
        True stains that it has.
    open : callable
        Gives the stack with its true stains and the nuclei labels, None where there are none;
        raises `InputError` where files are damaged.
    files : tuple of Path
        What it is read from; empty where it is in memory.
    """

    name: str
    stains: tuple[str, ...]
    open: Callable[[], Opened]
    files: tuple[Path, ...] = ()


def find_pairs(
    folder: str | Path, on_note: Callable[[str], None] | None = None
) -> list[PairSource]:
    """List the pairs of a folder without reading pixels.

    Parameters
    ----------
    folder : str or Path
        In one of the three layouts.
    on_note : callable, optional
        Gets a sentence for what is left out.

    Raises
    ------
    InputError
        If there is no pair, or a field lacks its partner or a stain that others have.
    """
    folder = Path(folder)
    note = on_note or (lambda sentence: None)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: expected a folder of pairs ({_LAYOUT}).")
    sources = _of_plate(folder, note) if is_plate_folder(folder) else _plain(folder, note)
    check_stains(sources)
    return sources


def pairs_in_memory(
    stacks: Sequence[BrightfieldStack], labels: Mapping[str, NDArray[Any]] | None = None
) -> list[PairSource]:
    """Take stacks with true stains for pairs.

    Parameters
    ----------
    stacks : sequence of BrightfieldStack
        With `truth`.
    labels : mapping of str to ndarray, optional
        Nuclei labels by the name of the stack.

    Raises
    ------
    InputError
        If a stack has no true stain, or not those of the others.
    """
    sources = []
    for stack in stacks:
        own = (labels or {}).get(stack.identity.name)
        stains = tuple(stain for stain in STAINS if stain in stack.truth)
        sources.append(PairSource(stack.identity.name, stains, partial(_in_memory, stack, own)))
    check_stains(sources)
    return sources


def _in_memory(stack: BrightfieldStack, labels: NDArray[Any] | None) -> Opened:
    return stack, labels


def check_stains(sources: Sequence[PairSource]) -> None:
    """Refuse fields without a stain, or with other stains than the rest.

    Raises
    ------
    InputError
        Naming the first such field.
    """
    for source in sources:
        if not source.stains:
            raise InputError(
                f"{source.name} has a brightfield stack but no true stain; a pair needs at least "
                "one image of nuclei, lipids or cytoplasm: add it or take the field away."
            )
    most = max(sources, key=lambda source: len(source.stains), default=None)
    for source in sources:
        for stain in STAINS:
            if most is not None and stain in most.stains and stain not in source.stains:
                raise InputError(
                    f"{source.name} has no true {stain} image but {most.name} has one; pairs that "
                    "are trained together need the same stains: add it or take the field away."
                )


def _of_plate(folder: Path, note: Callable[[str], None]) -> list[PairSource]:
    plate = read_plate(folder)
    for sentence in plate.notes:
        note(sentence)
    sources = []
    records = sorted(p for p in folder.iterdir() if p.suffix in RECORD_SUFFIXES)
    for entry in plate.complete:
        labels = entry.labels
        stains = tuple(stain for stain in STAINS if stain in entry.truth)
        files = (*entry.planes, *entry.truth.values(), *((labels,) if labels else ()), *records)
        sources.append(
            PairSource(entry.identity.name, stains, partial(_open_entry, entry, labels), files)
        )
    if not sources:
        raise InputError(f"{folder} has no field with all its planes; pairs need at least one.")
    return sources


def _open_entry(entry: FieldEntry, labels: Path | None) -> Opened:
    stack = entry.read()
    for stain, path in entry.truth.items():
        if stain not in stack.truth:
            reason = next((text for text in stack.notes if path.name in text), "it is damaged.")
            raise InputError(f"{entry.identity.name}: {reason}")
    return stack, None if labels is None else _labels(labels)


def _plain(folder: Path, note: Callable[[str], None]) -> list[PairSource]:
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    others = []
    for path in _visible(folder):
        role = path.name.lower()
        if path.is_dir() and role in _ROLES:
            for inside in _visible(path):
                name = field_name(inside)
                if role == _LABELS:  # as `fluorgen stain` names them, too
                    name = re.sub(r"[_-]nuclei$", "", name)
                _add(found, name, role, inside)
            continue
        parts = _NAME.fullmatch(field_name(path))
        if parts is not None and (path.is_dir() or path.suffix.lower() in IMAGE_SUFFIXES):
            role = parts["role"].lower()
            _add(found, parts["name"], _LABELS if role.endswith(_LABELS) else role, path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            others.append(path.name)
    if not found:
        raise InputError(f"{folder} holds no pairs: expected {_LAYOUT}.")
    if others:
        note(f"{folder}: left out, named as no part of a pair: {some_names(others)}.")
    sources = []
    for name in sorted(found, key=natural_key):
        parts_of = found[name]
        if _BRIGHTFIELD not in parts_of:
            have = next(iter(parts_of.values()))
            raise InputError(
                f"{have} has no brightfield stack of the name {name!r} beside it; expected "
                f"{name}_brightfield.tif or brightfield/{name}.tif: add it or take the file away."
            )
        stains = tuple(stain for stain in STAINS if stain in parts_of)
        sources.append(
            PairSource(name, stains, partial(_open_plain, name, parts_of), _files(parts_of))
        )
    return sources


def _visible(folder: Path) -> list[Path]:
    try:
        return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}.") from error


def _add(found: dict[str, dict[str, Path]], name: str, role: str, path: Path) -> None:
    if path.is_file() and path.suffix.lower() not in IMAGE_SUFFIXES:
        return
    other = found[name].setdefault(role, path)
    if other != path:
        raise InputError(f"{other} and {path} are both the {role} of {name!r}; keep one of them.")


def _files(parts: Mapping[str, Path]) -> tuple[Path, ...]:
    files: list[Path] = []
    for path in parts.values():
        files += sorted(path.rglob("*")) if path.is_dir() else [path]
    return tuple(path for path in files if path.is_file())


def _open_plain(name: str, parts: Mapping[str, Path]) -> Opened:
    stack = read_stack(parts[_BRIGHTFIELD])
    truth = {}
    notes = stack.notes
    for stain in STAINS:
        if stain in parts:
            path = parts[stain]
            file = _plane(path)
            _check_pixel(path, file.pixel_size_um, parts[_BRIGHTFIELD], stack.pixel_size_um)
            truth[stain] = np.asarray(file.planes[0].read())
            notes += tuple(f"{path.name}: {note}" for note in file.notes)
    labels = _labels(parts[_LABELS]) if _LABELS in parts else None
    return replace(stack, identity=FieldIdentity(name), truth=truth, notes=notes), labels


def _labels(path: Path) -> NDArray[Any]:
    return np.asarray(_plane(path, as_stored=True).planes[0].read())


def _plane(path: Path, *, as_stored: bool = False) -> ImageFile:
    if path.is_dir():
        raise InputError(f"{path} is a folder: expected one image file of one plane.")
    file = open_image(path, as_stored=as_stored)
    if len(file.planes) != 1:
        raise InputError(
            f"{path} holds {len(file.planes)} planes: expected one; save the plane in focus or a "
            "maximum projection."
        )
    return file


def _check_pixel(
    path: Path,
    found: tuple[float, float] | None,
    brightfield: Path,
    wanted: tuple[float, float] | None,
) -> None:
    if found is None or wanted is None:
        return
    if max(abs(a / b - 1) for a, b in zip(found, wanted, strict=True)) > 0.02:
        raise InputError(
            f"{path} has pixels of {found[0]:.4g} µm but {brightfield.name} of {wanted[0]:.4g} µm; "
            "expected one size: bring the images onto one grid before pairing them."
        )
