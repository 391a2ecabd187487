"""Tiles as pure data: where to read, what to keep, how neighbours are blended.

Along each axis a plane is cut like this (``o`` overlap that is read and dropped, ``r`` ramp over
which two tiles are blended, ``#`` kept as it is)::

    tile 0   ############rrrroooo
    tile 1            oooorrrr############rrrroooo
    tile 2                            oooorrrr############

Every tile starts at a multiple of `divisor`, so that the poolings of the network fall on the same
pixels as in one pass over the whole plane: where the overlap covers the receptive field, tiled
and untiled results agree to rounding.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RAMP_PX = 16
"""Pixels over which neighbouring tiles are blended."""


def round_up(value: int, divisor: int) -> int:
    """Smallest multiple of `divisor` that is at least `value`."""
    return -(-value // divisor) * divisor


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels of the canvas.

    Attributes
    ----------
    start, stop : int
        What is read.
    keep_start, keep_stop : int
        What is used, ramps included.
    ramp_before, ramp_after : int
        Lengths of the ramps shared with the neighbours, 0 at the border of the plane.
    """

    start: int
    stop: int
    keep_start: int
    keep_stop: int
    ramp_before: int
    ramp_after: int

    def weights(self) -> NDArray[np.float32]:
        """Blending weights of the kept pixels; those of two neighbours add up to exactly 1."""
        weights = np.ones(self.keep_stop - self.keep_start, np.float32)
        if self.ramp_before:
            weights[: self.ramp_before] = _ramp(self.ramp_before)
        if self.ramp_after:
            weights[-self.ramp_after :] = 1 - _ramp(self.ramp_after)
        return weights


@dataclass(frozen=True)
class Tile:
    """A rectangle of the canvas that the network sees at once."""

    rows: Span
    columns: Span

    @property
    def outer(self) -> tuple[slice, slice]:
        """Rows and columns to read."""
        return slice(self.rows.start, self.rows.stop), slice(self.columns.start, self.columns.stop)

    @property
    def inner(self) -> tuple[slice, slice]:
        """Rows and columns of the canvas that this tile contributes to."""
        return (
            slice(self.rows.keep_start, self.rows.keep_stop),
            slice(self.columns.keep_start, self.columns.keep_stop),
        )

    @property
    def local(self) -> tuple[slice, slice]:
        """The inner rectangle in pixels of the tile."""
        return (
            slice(self.rows.keep_start - self.rows.start, self.rows.keep_stop - self.rows.start),
            slice(
                self.columns.keep_start - self.columns.start,
                self.columns.keep_stop - self.columns.start,
            ),
        )


@dataclass(frozen=True)
class Plan:
    """How one plane is computed.

    Attributes
    ----------
    tiles : tuple of Tile
        In reading order; all have the same shape.
    tile_shape : tuple of int
        Rows and columns of a tile.
    canvas_shape : tuple of int
        `model_shape` rounded up to the divisor; beyond the plane its outermost pixels are repeated.
    model_shape : tuple of int
        The plane on the grid of the model.
    output_shape : tuple of int
        The plane on the grid of the input, which the results come back on.
    memory_bytes : int
        Memory that the run is expected to need at most.
    seconds : float or None
        Time that the run is expected to take; None where nothing is known about the device.
    """

    tiles: tuple[Tile, ...]
    tile_shape: tuple[int, int]
    canvas_shape: tuple[int, int]
    model_shape: tuple[int, int]
    output_shape: tuple[int, int]
    memory_bytes: int = 0
    seconds: float | None = None

    @property
    def computed_pixels(self) -> int:
        """Pixels that pass through the network, overlaps included."""
        return len(self.tiles) * self.tile_shape[0] * self.tile_shape[1]


def smallest_tile(overlap: int, divisor: int) -> int:
    """Smallest side of a tile whose two ramps never meet, however the tiles have to shift."""
    return round_up(2 * overlap + 3 * RAMP_PX + 2 * divisor, divisor)


def plan_tiles(
    shape: tuple[int, int],
    tile: int | tuple[int, int],
    overlap: int,
    divisor: int = 16,
    *,
    output_shape: tuple[int, int] | None = None,
) -> Plan:
    """Cover a plane with equal, aligned tiles.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the plane on the grid of the model.
    tile : int or tuple of int
        Largest side of a tile in pixels. Sides are shrunk where fewer pixels do the same job,
        and grown where the overlap would leave nothing.
    overlap : int
        Pixels at the borders of a tile that are dropped, except at the border of the plane.
    divisor : int
        Number that the network's sides must be divisible by.
    output_shape : tuple of int, optional
        The plane on the grid of the input; `shape` if not given.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        Where a size is not positive or the overlap negative.
    """
    sides = (tile, tile) if isinstance(tile, int) else tile
    if min(*shape, *sides, divisor) < 1 or overlap < 0:
        raise ValueError(f"cannot tile {shape} by {sides} with overlap {overlap} and {divisor=}")
    canvas = (round_up(shape[0], divisor), round_up(shape[1], divisor))
    rows = _spans(canvas[0], sides[0], overlap, divisor)
    columns = _spans(canvas[1], sides[1], overlap, divisor)
    return Plan(
        tiles=tuple(Tile(row, column) for row in rows for column in columns),
        tile_shape=(rows[0].stop - rows[0].start, columns[0].stop - columns[0].start),
        canvas_shape=canvas,
        model_shape=shape,
        output_shape=output_shape or shape,
    )


def cheapest_tile(
    shape: tuple[int, int], area: int, overlap: int, divisor: int = 16
) -> tuple[int, int]:
    """Rows and columns of the tile that computes the fewest pixels twice.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the plane.
    area : int
        Most pixels that a tile may have; exceeded where the overlap needs it.
    overlap, divisor : int
        As in `plan_tiles`.

    Returns
    -------
    tuple of int
        Of equal choices the one with the largest tiles.
    """
    smallest = smallest_tile(overlap, divisor)
    best, fewest = (smallest, smallest), None
    for number in itertools.count(1):
        rows = _spans(
            round_up(shape[0], divisor), -(-shape[0] // number) + 2 * overlap, overlap, divisor
        )
        height = rows[0].stop - rows[0].start
        width = area // height // divisor * divisor
        if width >= min(smallest, shape[1]):
            columns = _spans(round_up(shape[1], divisor), width, overlap, divisor)
            width = columns[0].stop - columns[0].start
            computed = len(rows) * len(columns) * height * width
            if fewest is None or computed < fewest:
                best, fewest = (height, width), computed
        if height <= smallest:
            break
    return best


def _ramp(length: int) -> NDArray[np.float32]:
    # Multiples of 1 / (2 length) with a power of two as length: w and 1 - w are both exact.
    return ((np.arange(length) + 0.5) / length).astype(np.float32)


def _spans(length: int, side: int, overlap: int, divisor: int) -> list[Span]:
    """Cut an axis; `length` is a multiple of `divisor`."""
    largest = max(side // divisor * divisor, smallest_tile(overlap, divisor))
    if length <= largest:
        return [Span(0, length, 0, length, 0, 0)]
    shared = 2 * overlap + RAMP_PX
    count = -(-(length - shared) // (largest - shared))
    # The same number of tiles, each as small as it can be. Starts are rounded down to the
    # divisor, which costs up to one divisor of the shared pixels: it is added to the side.
    side = min(largest, round_up(-(-(length + (count - 1) * shared) // count), divisor))
    starts = _starts(length, side, count, divisor)
    while any(after - before > side - shared for before, after in itertools.pairwise(starts)):
        if side + divisor > largest:
            count += 1
            side = largest
        else:
            side += divisor
        starts = _starts(length, side, count, divisor)
    middles = [(after + before + side) // 2 for before, after in itertools.pairwise(starts)]
    half = RAMP_PX // 2
    spans = []
    for index, start in enumerate(starts):
        first, last = index == 0, index == count - 1
        spans.append(
            Span(
                start=start,
                stop=start + side,
                keep_start=0 if first else middles[index - 1] - half,
                keep_stop=length if last else middles[index] + half,
                ramp_before=0 if first else RAMP_PX,
                ramp_after=0 if last else RAMP_PX,
            )
        )
    return spans


def _starts(length: int, side: int, count: int, divisor: int) -> list[int]:
    steps = (length - side) // divisor
    return [index * steps // (count - 1) * divisor for index in range(count)]
