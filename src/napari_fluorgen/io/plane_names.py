"""Which plane of a focus series a file is, by its name: a number, or a height in µm."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

# ``Z1341.95``, ``z=-2.5``, ``z10um`` are heights in µm; ``z03``, ``_Z7`` are numbers of planes.
_HEIGHT = re.compile(r"(?<![a-z])z[=_]?([+-]?\d+\.\d+|[+-]?\d+(?=um|µm))(?:um|µm)?", re.I)
# ``f01p03`` is how Opera and Operetta number a plane after its field of view.
_NUMBER = re.compile(
    r"(?:(?<![a-z])(?:z[=_]?(?P<sign>[+-]?)|(?:plane|slice)[=_]?)"
    r"|(?:(?<=f\d)|(?<=f\d\d)|(?<=f\d{3}))p)(?P<number>\d+)(?!\d*\.\d)",
    re.I,
)
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
    """

    path: Path
    field: str
    place: float
    whole: bool = True
    sign: str = ""

    @property
    def is_height(self) -> bool:
        """Whether `place` is surely a height."""
        return not self.whole or bool(self.sign)


def plane_names(files: Iterable[Path]) -> list[NamedPlane]:
    """Take the names apart that tell a plane; a hyphen before its number is told from a minus."""
    groups: dict[str, list[NamedPlane]] = defaultdict(list)
    for path in files:
        name = _parse(path)
        if name is not None:
            groups[name.field].append(name)
    # Where words before the planes differ, the files of one series have no name in common.
    alone = [group[0] for group in groups.values() if len(group) == 1]
    found = []
    for group in groups.values():
        peers = group if len(group) > 1 else alone
        found += _without_hyphens(group) if _is_hyphen(peers) else group
    return found


def _parse(path: Path) -> NamedPlane | None:
    height = _HEIGHT.search(path.stem)
    if height is not None:
        return NamedPlane(path, _field(path.stem, _HEIGHT), float(height[1]), whole=False)
    number = _NUMBER.search(path.stem)
    if number is None:
        return None
    sign = number["sign"] or ""
    place = float(int(sign + number["number"]))
    return NamedPlane(path, _field(path.stem, _NUMBER), place, sign=sign)


def _field(stem: str, token: re.Pattern[str]) -> str:
    opera = _OPERA.match(stem)
    if opera is not None:
        time = int(opera["time"] or 1)
        return opera["field"] + (f"-sk{time}" if time > 1 else "")
    return token.sub("", stem).strip("_- .")


def _is_hyphen(names: list[NamedPlane]) -> bool:
    """Whether ``-`` parts a word from its number: then every plane has it, the first one too."""
    return all(name.whole and name.sign == "-" for name in names)


def _without_hyphens(names: list[NamedPlane]) -> list[NamedPlane]:
    return [NamedPlane(name.path, name.field, abs(name.place)) for name in names]


def is_opera(path: Path) -> bool:
    """Whether an Opera or Operetta named the file."""
    return _OPERA.match(path.stem) is not None


def unknown_planes(files: Iterable[Path], known: Collection[Path]) -> list[str]:
    """Names of the files that are not `known` and yet look as if they told a plane."""
    return [path.name for path in files if path not in known and _LIKE_A_PLANE.search(path.stem)]
