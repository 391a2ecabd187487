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
        or height where most of the series have it, and most begin and end alike, unless another
        series has the very same planes.
    """
    pairs = list(zip(series, numbered, strict=True))
    folder = _Folder.of(Counter(series))
    # Of a large plate's fields nearly all have the same planes.
    known = {pair: folder.gaps(*pair) for pair in dict.fromkeys(pairs)}
    return [known[pair] for pair in pairs]


@dataclass(frozen=True)
class _Folder:
    """What the series of a folder have in common.

    `alike` counts the series of the same planes, `spans` those that begin and end alike; `inner`
    are the planes of any but its first and last, and `expected` those that each should have.
    """

    alike: Counter[frozenset[float]]
    spans: Counter[tuple[float, float]]
    inner: frozenset[float]
    expected: frozenset[float]

    @classmethod
    def of(cls, alike: Counter[frozenset[float]]) -> _Folder:
        spans: Counter[tuple[float, float]] = Counter()
        votes: Counter[float] = Counter()
        inner: set[float] = set()
        for places, count in alike.items():
            ends = (min(places), max(places))
            spans[ends] += count
            inner |= places.difference(ends)
            for place in places:
                votes[place] += count
        expected: frozenset[float] = frozenset()
        if 2 * max(spans.values()) > alike.total():
            expected = frozenset(p for p, count in votes.items() if 2 * count > alike.total())
        return cls(alike, spans, frozenset(inner), expected)

    def gaps(self, places: frozenset[float], has_numbers: bool) -> Gaps:
        holes = _holes(places) if has_numbers else frozenset()
        notes = []
        meant = frozenset(hole for hole in holes or () if self._is_meant(hole))
        missing = (holes or frozenset()) - meant
        # A series may be thinned to planes as even as whole numbers allow: 0, 2, 3, 5, 6, 8, 9.
        thinned = 3 * len(missing) > len(places) and not missing & self.inner
        if holes is None or thinned:
            missing = frozenset()
            notes.append(
                f"The planes are numbered unevenly ({_some(places)}): check that none is missing."
            )
        if meant:
            notes.append(f"No field of the folder has the planes {place_names(meant)}.")
        # Several series of the same planes were meant so, beside another experiment's.
        if len(places) < len(self.expected) and self.alike[places] == 1:
            missing |= self.expected - places
        most = max(map(len, self.alike))
        if not missing and len(places) < most:
            notes.append(f"It has {len(places)} planes, another field of the folder {most}.")
        return Gaps(tuple(sorted(missing)), tuple(notes))

    def _is_meant(self, hole: float) -> bool:
        """Whether a plane was never saved: several series go on beyond it and none has it."""
        across = sum(count for (low, high), count in self.spans.items() if low < hole < high)
        return across > 1 and hole not in self.inner


def _holes(numbers: frozenset[float]) -> frozenset[float] | None:
    """Numbers left out of an even count; None where the count is not even."""
    steps = Counter(int(after - before) for before, after in pairwise(sorted(numbers)))
    if not steps:
        return frozenset()
    step = min(steps, key=lambda size: (-steps[size], size))
    count = range(int(min(numbers)), int(max(numbers)) + 1, step)
    # Heights in whole µm may stand in names like numbers: they leave more out than they hold.
    if any(size % step for size in steps) or len(count) >= 2 * len(numbers):
        return None
    return frozenset(map(float, count)) - numbers


def place_names(places: Sequence[float] | frozenset[float]) -> str:
    """Numbers or heights in a sentence."""
    return ", ".join(f"{place:.10g}" for place in sorted(places))


def _some(places: frozenset[float]) -> str:
    first = sorted(places)[:5]
    return place_names(first) + (" …" if len(places) > 5 else "")
