"""Planes that a focus series lacks, by the numbers of its planes and of those beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Gaps:
    """What a series lacks.

    Attributes
    ----------
    missing : tuple of float
        Planes that belong to it and are not there.
    notes : tuple of str
        Peculiarities that may be meant.
    """

    missing: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def find_gaps(series: Sequence[frozenset[float]], numbered: Sequence[bool]) -> list[Gaps]:
    """Compare the planes of the series in a folder.

    Parameters
    ----------
    series : sequence of frozenset of float
        Numbers or heights of the planes of each.
    numbered : sequence of bool
        Whether they are numbers: heights may be uneven.

    Returns
    -------
    list of Gaps
        One for each series. A number is missing where its own series goes on beyond it; a number
        or height where most of the series have it, and most begin and end alike.
    """
    expected = _expected(series)
    most = max(map(len, series))
    found = []
    for places, has_numbers in zip(series, numbered, strict=True):
        holes = _holes(places) if has_numbers else frozenset()
        if holes is None:
            holes = frozenset()
            notes = [
                f"The planes are numbered unevenly ({_some(places)}): check that none is missing."
            ]
        else:
            notes = []
        meant = frozenset(hole for hole in holes if _is_meant(hole, series))
        if meant:
            notes.append(f"No field of the folder has the planes {place_names(meant)}.")
        missing = holes - meant
        if len(places) < len(expected):
            missing |= expected - places
        if not missing and len(places) < most:
            notes.append(f"It has {len(places)} planes, another field of the folder {most}.")
        found.append(Gaps(tuple(sorted(missing)), tuple(notes)))
    return found


def _expected(series: Sequence[frozenset[float]]) -> frozenset[float]:
    """Planes that most of the series have; none where they begin and end in many ways."""
    ends = Counter((min(places), max(places)) for places in series)
    if 2 * max(ends.values()) <= len(series):
        return frozenset()
    votes = Counter(place for places in series for place in places)
    return frozenset(place for place, count in votes.items() if 2 * count > len(series))


def _holes(numbers: frozenset[float]) -> frozenset[float] | None:
    """Numbers left out of an even count; None where the count is not even."""
    steps = Counter(int(after - before) for before, after in pairwise(sorted(numbers)))
    if not steps:
        return frozenset()
    step = min(steps, key=lambda size: (-steps[size], size))
    count = range(int(min(numbers)), int(max(numbers)) + 1, step)
    holes = frozenset(map(float, count)) - numbers
    # Heights in whole µm may stand in names like numbers: they leave more out than they hold.
    uneven = any(size % step for size in steps) or len(holes) >= len(numbers)
    return None if uneven else holes


def _is_meant(hole: float, series: Sequence[frozenset[float]]) -> bool:
    """Whether a plane was never saved: several series go on beyond it and none has it."""
    across = [places for places in series if min(places) < hole < max(places)]
    return len(across) > 1 and not any(hole in places for places in across)


def place_names(places: Sequence[float] | frozenset[float]) -> str:
    """Numbers or heights in a sentence."""
    return ", ".join(f"{place:.10g}" for place in sorted(places))


def _some(places: frozenset[float]) -> str:
    first = sorted(places)[:5]
    return place_names(first) + (" …" if len(places) > 5 else "")
