"""Which plane of a focus series a file is, by its name: a number, or a height in µm."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

# ``Z1341.95``, ``z=-2.5``, ``z10um`` are heights in µm; ``z03``, ``_Z7`` are numbers of planes.
_HEIGHT = re.compile(r"(?<![a-z])z[=_]?([+-]?\d+\.\d+|[+-]?\d+(?=um|µm))(?:um|µm)?", re.I)
# ``f01p03`` is how Opera and Operetta number a plane after its field of view.
_NUMBER = re.compile(
    r"(?:(?<![a-z])(?:z[=_]?(?P<sign>[+-]?)|(?:plane|slice)[=_]?)"
    r"|(?:(?<=f\d)|(?<=f\d\d)|(?<=f\d{3}))p)(?P<number>\d+)(?!\d*\.\d)",
    re.I,
)
_LEAD = re.compile(r"[^a-z\d]*[a-z]+[=_]?$", re.I)
_LIKE_A_PLANE = re.compile(r"(?<![a-z])(?:z|plane|slice)[^a-z\d]{0,3}\d", re.I)
_OPERA = re.compile(r"(?P<field>r\d+c\d+f\d+)p\d+-ch\d+(?:sk(?P<time>\d+))?", re.I)


@dataclass(frozen=True)
class NamedPlane:
    """A file name that tells a plane.

    Attributes
    ----------
    path : Path
        The file.
    field : str
        The name without the plane.
    place : float
        Number or height of the plane.
    whole : bool
        Whether `place` may be a number: it is written without decimals and without µm.
    sign : str
        ``+`` or ``-`` before a number, else empty. A minus may be but a hyphen.
    lead : str
        What stands before the number and its sign, from the field on.
    """

    path: Path
    field: str
    place: float
    whole: bool = True
    sign: str = ""
    lead: str = ""

    @property
    def is_height(self) -> bool:
        """Whether `place` is surely a height."""
        return not self.whole or bool(self.sign)


def plane_names(files: Iterable[Path]) -> list[NamedPlane]:
    """Take the names apart that tell a plane.

    A hyphen before its number is told from a minus, and the suffix of a stray copy from decimals.
    """
    groups: dict[str, list[NamedPlane]] = defaultdict(list)
    for path in files:
        name = _parse(path)
        if name is not None:
            groups[name.field].append(name)
    # Fields of a folder are named in one way. Where words before the planes differ, the files of
    # one series have no name in common.
    ways: dict[tuple[str, bool], list[NamedPlane]] = defaultdict(list)
    for group in groups.values():
        for name in group:
            ways[name.lead, len(group) > 1].append(name)
    hyphens = {way for way, names in ways.items() if _is_hyphen(names)}
    found = []
    for group in groups.values():
        kept = _without_copies(group)
        found += [
            _without_hyphen(name) if (name.lead, len(group) > 1) in hyphens else name
            for name in kept
        ]
    return found


def _parse(path: Path) -> NamedPlane | None:
    height = _HEIGHT.search(path.stem)
    if height is not None:
        lead = _lead(path.stem[: height.start(1)])
        return NamedPlane(path, _field(path.stem, _HEIGHT), float(height[1]), False, lead=lead)
    number = _NUMBER.search(path.stem)
    if number is None:
        return None
    sign = number["sign"] or ""
    place = float(int(sign + number["number"]))
    lead = _lead(path.stem[: number.start("number") - len(sign)])
    return NamedPlane(path, _field(path.stem, _NUMBER), place, sign=sign, lead=lead)


def _lead(before: str) -> str:
    found = _LEAD.search(before)
    return found[0].lower() if found is not None else ""


def _field(stem: str, token: re.Pattern[str]) -> str:
    opera = _OPERA.match(stem)
    if opera is not None:
        time = int(opera["time"] or 1)
        return opera["field"] + (f"-sk{time}" if time > 1 else "")
    return token.sub("", stem).strip("_- .")


def _is_hyphen(names: list[NamedPlane]) -> bool:
    """Whether ``-`` parts a word from its number: then every plane has it, the first one too."""
    return all(name.whole and name.sign == "-" for name in names)


def _without_hyphen(name: NamedPlane) -> NamedPlane:
    return NamedPlane(name.path, name.field, abs(name.place), lead=name.lead)


def _without_copies(names: list[NamedPlane]) -> list[NamedPlane]:
    """Leave out ``z4.1`` among numbers: most heights are written as such, or evenly spaced."""
    whole = [name for name in names if name.whole]
    heights = sum(name.is_height for name in names)
    few = whole and 2 * heights < len(names)
    return whole if few and not _are_even([name.place for name in names]) else names


def _are_even(places: list[float]) -> bool:
    """Whether the places are evenly spaced but for a few that are missing."""
    ordered = sorted(set(places))
    step = min((after - before for before, after in pairwise(ordered)), default=1.0)
    counts = [(place - ordered[0]) / step for place in ordered]
    holes = round(counts[-1]) + 1 - len(ordered)
    return 3 * holes <= len(ordered) and all(abs(count - round(count)) < 0.1 for count in counts)


def is_opera(path: Path) -> bool:
    """Whether an Opera or Operetta named the file."""
    return _OPERA.match(path.stem) is not None


def unknown_planes(files: Iterable[Path], known: Collection[Path]) -> list[str]:
    """Names of the files that are not `known` and yet look as if they told a plane."""
    return [path.name for path in files if path not in known and _LIKE_A_PLANE.search(path.stem)]
