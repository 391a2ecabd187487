"""A plate as a grid of wells: geometry, state and sentences."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import PurePath

from napari_fluorgen.stack import STAINS, BrightfieldStack, FieldIdentity
from napari_fluorgen.widgets.presenters.layers import TRUE_LABELS

FORMATS = ((2, 3), (3, 4), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48))
"""Rows and columns of the plates that are sold: 6, 12, 24, 48, 96, 384 and 1536 wells."""

_WELL = re.compile(r"^([A-Za-z]{1,2})0*(\d{1,2})$")


class WellState(Enum):
    """What is known of a well."""

    EMPTY = "no data"
    DATA = "has data"
    STAINED = "stained"


@dataclass(frozen=True)
class Well:
    """One cell of the grid.

    Attributes
    ----------
    name : str
        As the instrument wrote it.
    row, column : int
        Place in the grid, from 0.
    state : WellState
        Whether there is data and whether it was stained.
    sites : int
        Number of fields of view.
    """

    name: str
    row: int
    column: int
    state: WellState
    sites: int = 0

    @property
    def tooltip(self) -> str:
        """Say what the well holds."""
        if self.state is WellState.EMPTY:
            return f"{self.name}: no data"
        sites = "1 site" if self.sites == 1 else f"{self.sites} sites"
        return f"{self.name}: {sites}" + (", stained" if self.state is WellState.STAINED else "")


@dataclass(frozen=True)
class WellGrid:
    """The grid of a plate; wells that hold data, the rest is empty.

    Attributes
    ----------
    rows, columns : int
        Size of the plate.
    wells : tuple of Well
        Wells that hold data.
    lettered : bool
        Whether rows and columns can be labelled A, B, ... and 1, 2, ...
    """

    rows: int
    columns: int
    wells: tuple[Well, ...]
    lettered: bool = True

    @cached_property
    def _places(self) -> dict[tuple[int, int], Well]:
        return {(well.row, well.column): well for well in self.wells}

    def at(self, row: int, column: int) -> Well | None:
        """Return the well with data at this place."""
        return self._places.get((row, column))

    def named(self, name: str) -> Well | None:
        """Return the well with this name."""
        return next((w for w in self.wells if w.name == name), None)

    def neighbour(self, well: Well, down: int, right: int) -> Well:
        """Return the next well with data in a direction, or the same at the edge."""
        row, column = well.row + down, well.column + right
        while 0 <= row < self.rows and 0 <= column < self.columns:
            found = self.at(row, column)
            if found is not None:
                return found
            row, column = row + down, column + right
        return well


def well_grid(sites: dict[str, int], stained: Collection[str] = ()) -> WellGrid:
    """Lay wells out as on the smallest plate that holds them all.

    Parameters
    ----------
    sites : dict of str to int
        Number of sites by well name.
    stained : collection of str
        Names of wells that have a result.

    Returns
    -------
    WellGrid
        Names that are no well positions are laid out in rows of twelve, in their order.
    """
    places = {name: well_position(name) for name in sites}
    lettered = all(place is not None for place in places.values())
    if not lettered:
        places = {name: divmod(index, 12) for index, name in enumerate(sites)}
    known = {name: place for name, place in places.items() if place is not None}
    rows = 1 + max((row for row, _ in known.values()), default=0)
    columns = 1 + max((column for _, column in known.values()), default=0)
    if lettered:
        rows, columns = next(
            ((r, c) for r, c in FORMATS if r >= rows and c >= columns), (rows, columns)
        )
    wells = tuple(
        Well(
            name, row, column, WellState.STAINED if name in stained else WellState.DATA, sites[name]
        )
        for name, (row, column) in known.items()
    )
    return WellGrid(rows, columns, wells, lettered)


def well_position(name: str) -> tuple[int, int] | None:
    """Row and column from 0 of a name such as ``D04``, or None."""
    match = _WELL.match(name)
    if match is None or int(match[2]) == 0:
        return None
    row = 0
    for letter in match[1].upper():
        row = row * 26 + ord(letter) - ord("A") + 1
    return row - 1, int(match[2]) - 1


def row_name(row: int) -> str:
    """Letter of a row: A to Z, then AA, AB, ..."""
    return chr(65 + row) if row < 26 else chr(64 + row // 26) + chr(65 + row % 26)


def stained_wells(identities: Iterable[FieldIdentity], plate: str | None) -> set[str]:
    """Wells of a plate among the identities of results."""
    return {i.well for i in identities if i.well is not None and i.plate == plate}


def site_labels(identities: Iterable[FieldIdentity]) -> dict[FieldIdentity, str]:
    """Label the fields of a well: by site, and by time point where the site has several."""
    identities = list(identities)
    times: dict[int | None, set[int]] = {}
    for one in identities:
        times.setdefault(one.site, set()).add(one.timepoint)
    return {
        one: f"{one.site} · t{one.timepoint}" if len(times[one.site]) > 1 else f"{one.site}"
        for one in identities
    }


def place_text(identity: FieldIdentity) -> str:
    """Say where on its plate a field is, or its name where it is on none."""
    parts = []
    if identity.plate:
        parts.append(f"Plate {identity.plate}")
    if identity.well:
        parts.append(f"well {identity.well}")
    if identity.site is not None:
        parts.append(f"site {identity.site}")
    if identity.timepoint != 1:
        parts.append(f"time point {identity.timepoint}")
    return " · ".join(parts) or identity.name


def describe_stack(stack: BrightfieldStack) -> str:
    """Say in one line what was read."""
    planes = stack.shape[0]
    parts = [place_text(stack.identity), "1 plane" if planes == 1 else f"{planes} planes"]
    parts.append(f"{stack.shape[1]} × {stack.shape[2]} px")
    parts.append(pixel_text(stack.pixel_size_um))
    if stains := [stain for stain in stack.truth if stain in STAINS]:
        parts.append(f"true stains: {', '.join(stains)} (hidden)")
    if TRUE_LABELS in stack.truth:
        parts.append("true nuclei outlines (hidden)")
    return " · ".join(parts)


def pixel_text(pixel_size_um: Sequence[float] | None) -> str:
    """Write a pixel size with its unit."""
    if pixel_size_um is None:
        return "pixel size unknown"
    y, x = pixel_size_um
    if abs(y - x) <= 0.01 * max(y, x):
        return f"{x:.3f} µm/px"
    return f"{y:.3f} × {x:.3f} µm/px"


def problem_text(problems: Sequence[str], shown: int = 4) -> str:
    """List what could not be read, the rest as a count."""
    lines = list(problems[:shown])
    if len(problems) > shown:
        lines.append(f"… and {len(problems) - shown} more")
    return "\n".join(lines)


def several_text(first: str, count: int) -> str:
    """Say that of several dropped files only one is opened."""
    return (
        f"{count} files or folders were dropped and only {PurePath(first).name} is opened: planes "
        "of one stack, each in a file of its own, are opened by their folder."
    )
