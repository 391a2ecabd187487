"""A folder of single-plane files: one focus series, or one for each prefix of the names."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.files import (
    ONE_PLANE,
    ImageFile,
    check_one_shape,
    field_name,
    natural_key,
    notes_of,
    open_image,
    some_names,
)
from napari_fluorgen.io.lazy import PlaneStack
from napari_fluorgen.io.plane_gaps import find_gaps, place_names
from napari_fluorgen.io.plane_names import NamedPlane, is_opera, plane_names, unknown_planes
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity

_TRAILING = re.compile(r"\d+(?:\.\d+)?$")
# Their numbers count places, not planes.
_PLACE = re.compile(r"(?<![A-Za-z])(?:[A-P]|(?i:well|site|pos|position|xy|fov)[=_-]?)\d+$")
# Not ``C03``, which is a well, nor ``r03c03``, a row and column.
_CHANNEL = re.compile(r"(?<![A-Za-z])(?:ch|Ch|CH|channel|Channel)_?\d+|(?<![A-Za-z0-9])[cw]\d+")
_NOT_BRIGHTFIELD = re.compile(
    r"(?<![a-z])(fl(?!\d)|fluo|fluor|fluorescence|dapi|hoechst\d*|bodipy|gfp|rfp|yfp|cfp|fitc|tritc|txred|"
    r"mcherry|cy[357]|map2|nfh|confocal|maxproj|mip|masks?|labels?|outlines?|segmentation|nuclei|"
    r"nucleus|lipids?|cytoplasm|truth|overlay|thumb|thumbnail)(?![a-z])",
    re.I,
)


@dataclass(frozen=True)
class Series:
    """Files that make one stack.

    Attributes
    ----------
    name : str
        What the names have in common, or the folder's name.
    files : tuple of Path
        In the order of focus.
    z_um : tuple of float or None
        Heights from the names.
    notes : tuple of str
        What was left out, or is peculiar.
    """

    name: str
    files: tuple[Path, ...]
    z_um: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()


def find_series(folder: Path, files: list[Path]) -> tuple[list[Series], list[str]]:
    """Sort single-plane files into focus series by their names.

    Parameters
    ----------
    folder : Path
        The folder they lie in.
    files : list of Path
        Image files.

    Returns
    -------
    list of Series
        Usually one; several where planes repeat under different prefixes, and one for each file
        where names tell no planes.
    list of str
        A sentence for each series that lacks planes, and one on planes that fit into none.

    Raises
    ------
    InputError
        Nothing but fluorescence or masks, several channels mixed, or a plane twice.
    """
    kept = [path for path in files if not _NOT_BRIGHTFIELD.search(path.stem)]
    if not kept:
        raise InputError(
            f"{folder} has no brightfield planes: by their names all its images are fluorescence "
            f"or masks ({some_names([path.name for path in files])})."
        )
    planes = plane_names(kept)
    if len(planes) < 2:
        planes = []
    named = {plane.path for plane in planes} or set(kept)
    left = sorted((path.name for path in files if path not in named), key=natural_key)
    notes = (f"Left out, not planes of the series: {some_names(left)}.",) if left else ()
    _check_one_channel(folder, [path for path in kept if path in named])
    if planes:
        found, lost = _whole_series(_by_prefix(folder, planes), notes)
        if unknown := unknown_planes(kept, named):
            lost.append(
                f"{folder}: left out, names with a plane that is not understood: "
                f"{some_names(sorted(unknown, key=natural_key))}; name them as …_z1, …_z2 or "
                "…_z-0.5, …_z0.5 and so on."
            )
        return found, lost
    kept.sort(key=lambda path: natural_key(path.name))
    if _are_planes(kept):
        return [Series(field_name(folder), tuple(kept), None, notes)], []
    alone = (
        f"{folder}: the file names tell no planes, so each file is a field of one plane; name the "
        "planes of a focus series …_z1, …_z2 and so on to read them as one.",
    )
    return [Series(field_name(path), (path,), None, notes + alone) for path in kept], []


def _whole_series(
    groups: list[tuple[str, list[NamedPlane]]], notes: tuple[str, ...]
) -> tuple[list[Series], list[str]]:
    """Series that lack no plane, and a sentence for each other one."""
    places = [tuple(plane.place for plane in group) for _, group in groups]
    heights = [any(plane.is_height for plane in group) for _, group in groups]
    gaps = find_gaps([frozenset(one) for one in places], [not has for has in heights])
    found, lost = [], []
    for (name, group), z_um, has_heights, gap in zip(groups, places, heights, gaps, strict=True):
        if gap.missing:
            inside = not has_heights and any(z_um[0] < one < z_um[-1] for one in gap.missing)
            lost.append(
                f"{group[0].path.parent}: field {name} lacks plane"
                f"{'s' if len(gap.missing) > 1 else ''} {place_names(gap.missing)}, so it is "
                "skipped; copy what is missing beside the others, or move it into a folder of its "
                f"own{', numbered without a gap,' if inside else ''} to read it as it is."
            )
            continue
        files = tuple(plane.path for plane in group)
        found.append(Series(name, files, z_um if has_heights else None, notes + gap.notes))
    return found, lost


def _by_prefix(folder: Path, planes: list[NamedPlane]) -> list[tuple[str, list[NamedPlane]]]:
    """Name and planes of each field: those whose names are the same but for the plane."""
    planes = sorted(planes, key=lambda plane: (plane.place, natural_key(plane.path.name)))
    groups: dict[str, list[NamedPlane]] = defaultdict(list)
    for plane in planes:
        groups[plane.field].append(plane)
    distinct = len({plane.place for plane in planes}) == len(planes)
    # Words before the planes of one series may differ; prefixes that are counted are fields.
    counted = len({re.sub(r"\d+", "#", name) for name in groups}) == 1
    if distinct and not (counted and len(groups) > 1 and min(map(len, groups.values())) > 1):
        single = len(groups) == 1 and is_opera(planes[0].path)
        return [(planes[0].field if single else field_name(folder), planes)]
    for group in groups.values():
        for before, after in pairwise(group):
            if before.place == after.place:
                raise InputError(
                    f"{folder}: {before.path.name} and {after.path.name} are both plane "
                    f"{place_names([before.place])} of one field: expected one file a plane; keep "
                    "one of them."
                )
    ordered = sorted(groups.items(), key=lambda item: natural_key(item[0]))
    return [(name or field_name(folder), group) for name, group in ordered]


def _are_planes(files: list[Path]) -> bool:
    """Whether names differ in one number at their end, as planes that were saved in turn."""
    if len(files) == 1:
        return True
    prefixes = {_TRAILING.sub("", path.stem) for path in files}
    return len(prefixes) == 1 and not any(
        _PLACE.search(path.stem) or not _TRAILING.search(path.stem) for path in files
    )


def _check_one_channel(folder: Path, files: list[Path]) -> None:
    channels = {" ".join(_CHANNEL.findall(path.stem)) for path in files} - {""}
    if len(channels) > 1:
        raise InputError(
            f"{folder} holds images of several channels ({', '.join(sorted(channels))}): expected "
            "the planes of the brightfield channel; copy those into a folder of their own."
        )


def read_series(series: Series) -> BrightfieldStack:
    """Open a series; pixels are read when sliced.

    Raises
    ------
    InputError
        A file is damaged or in colour, or planes differ in shape.
    """
    opened: list[ImageFile] = [open_image(path) for path in series.files]
    folder = series.files[0].parent
    for path, file in zip(series.files, opened, strict=True):
        if len(file.planes) != 1:
            raise InputError(
                f"{path} holds {len(file.planes)} planes among files of one plane: expected one "
                "kind; open it alone or move it elsewhere."
            )
    planes = tuple(file.planes[0] for file in opened)
    check_one_shape(planes, [path.name for path in series.files], folder)
    notes = [*series.notes, *notes_of(opened)]
    if len(planes) == 1:
        notes.append(ONE_PLANE)
    return BrightfieldStack(
        data=PlaneStack(planes),
        identity=FieldIdentity(series.name),
        pixel_size_um=opened[0].pixel_size_um,
        z_um=series.z_um,
        source=str(folder),
        notes=tuple(notes),
    )
