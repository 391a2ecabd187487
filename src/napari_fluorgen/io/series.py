"""A folder of single-plane files: one focus series, or one for each prefix of the names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.files import (
    ONE_PLANE,
    ImageFile,
    check_one_shape,
    field_name,
    natural_key,
    open_image,
    some_names,
)
from napari_fluorgen.io.lazy import PlaneStack
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity

# ``Z1341.95``, ``z=-2.5``, ``z10um`` are heights in µm; ``z03``, ``_Z7`` are numbers of planes.
_HEIGHT = re.compile(r"(?<![a-z])z[=_]?([+-]?\d+\.\d+|[+-]?\d+(?=um|µm))(?:um|µm)?", re.I)
# ``f01p03`` is how Opera and Operetta number a plane after its field of view.
_NUMBER = re.compile(
    r"(?:(?<![a-z])(?:z|plane|slice)[=_]?|(?:(?<=f\d)|(?<=f\d\d)|(?<=f\d{3}))p)(\d+)(?!\d*\.\d)",
    re.I,
)
_OPERA = re.compile(r"(?P<field>r\d+c\d+f\d+)p\d+-ch\d+(?:sk(?P<time>\d+))?", re.I)
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
        What was left out.
    """

    name: str
    files: tuple[Path, ...]
    z_um: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()


def find_series(folder: Path, files: list[Path]) -> list[Series]:
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
    heights = {path: float(found[1]) for path in kept if (found := _HEIGHT.search(path.stem))}
    numbers = {path: int(found[1]) for path in kept if (found := _NUMBER.search(path.stem))}
    named = heights if len(heights) > 1 else numbers if len(numbers) > 1 else dict.fromkeys(kept)
    kept = [path for path in kept if path in named]
    left = sorted((path.name for path in files if path not in named), key=natural_key)
    notes = (f"Left out, not planes of the series: {some_names(left)}.",) if left else ()
    _check_one_channel(folder, kept)
    kept.sort(key=lambda path: natural_key(path.name))
    if named is heights:
        kept.sort(key=heights.__getitem__)
        return [
            Series(name, group, tuple(map(heights.__getitem__, group)), notes)
            for name, group in _by_prefix(folder, kept, heights, _HEIGHT)
        ]
    if named is numbers:
        groups = _by_prefix(folder, kept, numbers, _NUMBER)
        return [Series(name, group, None, notes) for name, group in groups]
    if _are_planes(kept):
        return [Series(field_name(folder), tuple(kept), None, notes)]
    alone = (
        f"{folder}: the file names tell no planes, so each file is a field of one plane; name the "
        "planes of a focus series …_z1, …_z2 and so on to read them as one.",
    )
    return [Series(field_name(path), (path,), None, notes + alone) for path in kept]


def _by_prefix(
    folder: Path, files: list[Path], places: Mapping[Path, float], token: re.Pattern[str]
) -> list[tuple[str, tuple[Path, ...]]]:
    """Name and files of each field: those whose names are the same but for the plane."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        groups[_prefix(path.stem, token)].append(path)
    distinct = len({places[path] for path in files}) == len(files)
    # Words before the planes of one series may differ; prefixes that are counted are fields.
    counted = len({re.sub(r"\d+", "#", name) for name in groups}) == 1
    if distinct and not (counted and len(groups) > 1 and min(map(len, groups.values())) > 1):
        single = len(groups) == 1 and _OPERA.match(files[0].stem)
        return [(next(iter(groups)) if single else field_name(folder), tuple(files))]
    for group in groups.values():
        by_place = {places[path]: path.name for path in reversed(group)}
        for path in group:
            if by_place[places[path]] != path.name:
                raise InputError(
                    f"{folder}: {by_place[places[path]]} and {path.name} are both plane "
                    f"{places[path]:g} of one field: expected one file a plane; keep one of them."
                )
    ordered = sorted(groups.items(), key=lambda item: natural_key(item[0]))
    return [(name or field_name(folder), tuple(group)) for name, group in ordered]


def _prefix(stem: str, token: re.Pattern[str]) -> str:
    """Name of a plane's field."""
    opera = _OPERA.match(stem)
    if opera is not None:
        time = int(opera["time"] or 1)
        return opera["field"] + (f"-sk{time}" if time > 1 else "")
    return token.sub("", stem).strip("_- .")


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
    notes = list(series.notes)
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
