"""Tiles put together again: neighbours are blended, and what is finished is handed on at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.staining.plan import RAMP_PX, Tile

Maps = dict[str, NDArray[np.float32]]


class Stitcher:
    """Blends tiles given in reading order and hands each pixel out once, when it is finished.

    Only the ramps that wait for a neighbour are held: `RAMP_PX` rows over the width of the canvas
    and `RAMP_PX` columns over the height of a tile, whatever the size of the canvas.

    Parameters
    ----------
    tiles : sequence of Tile
        The tiles of a plan, in reading order.
    names : iterable of str
        Of the maps.
    """

    def __init__(self, tiles: Sequence[Tile], names: Iterable[str]) -> None:
        self._names = tuple(names)
        self._next = 0
        self._tiles = tiles
        width = max(tile.columns.keep_stop for tile in tiles)
        self._below = {name: np.zeros((RAMP_PX, width), np.float32) for name in self._names}
        self._right: Maps = {}

    def add(self, maps: Maps) -> tuple[tuple[slice, slice], Maps]:
        """Add the maps of the next tile.

        Parameters
        ----------
        maps : dict of str to ndarray, float32
            Shape of the tile.

        Returns
        -------
        block : tuple of slice
            Rows and columns of the canvas that are finished now.
        values : dict of str to ndarray, float32
            The maps there.
        """
        tile = self._tiles[self._next]
        row, column = tile.rows, tile.columns
        across, along = row.weights()[:, None], column.weights()[None, :]
        end_y, end_x = row.keep_stop - row.ramp_after, column.keep_stop - column.ramp_after
        kept = slice(column.keep_start, column.keep_stop)
        finished: Maps = {}
        for name in self._names:
            total = (maps[name][tile.local] * across) * along
            # Zeros where the tile is the first, so that sums are formed in one order throughout.
            if row.ramp_before:
                waiting = self._below[name][:, kept].copy()
                if column.ramp_before:
                    waiting[:, : column.ramp_before] = 0  # they wait with the tile on the left
                total[: row.ramp_before] = waiting + total[: row.ramp_before]
            if column.ramp_before:
                total[:, : column.ramp_before] += self._right[name]
            if row.ramp_after:
                done = slice(column.keep_start, end_x)
                self._below[name][:, done] = total[-row.ramp_after :, : end_x - column.keep_start]
            if column.ramp_after:
                self._right[name] = total[:, -column.ramp_after :].copy()
            finished[name] = total[: end_y - row.keep_start, : end_x - column.keep_start]
        self._next += 1
        return (slice(row.keep_start, end_y), slice(column.keep_start, end_x)), finished

    def waiting(self) -> dict[str, NDArray[np.float32]]:
        """What the tile added last leaves for its neighbours, for `resume`."""
        tile = self._tiles[self._next - 1]
        columns = slice(tile.columns.keep_start, tile.columns.keep_stop - tile.columns.ramp_after)
        held = {}
        for name in self._names:
            if tile.rows.ramp_after:
                held[f"below {name}"] = self._below[name][:, columns]
            if tile.columns.ramp_after:
                held[f"right {name}"] = self._right[name]
        return held

    def resume(self, done: int, waiting: Callable[[int], Mapping[str, NDArray]]) -> None:
        """Go on after `done` tiles.

        Parameters
        ----------
        done : int
            Number of tiles that were added in an earlier run.
        waiting : callable
            Gives what `waiting` returned after the tile of a number, counted from 0. Asked for no
            more than one row of tiles.
        """
        across = sum(tile.rows.start == self._tiles[0].rows.start for tile in self._tiles)
        for number in range(max(0, done - across), done):
            tile, held = self._tiles[number], waiting(number)
            columns = slice(
                tile.columns.keep_start, tile.columns.keep_stop - tile.columns.ramp_after
            )
            for name in self._names:
                if tile.rows.ramp_after:
                    self._below[name][:, columns] = held[f"below {name}"]
                if tile.columns.ramp_after:
                    self._right[name] = np.asarray(held[f"right {name}"])
        self._next = done


def blend(
    tiles: Sequence[Tile],
    predict: Callable[[Tile], Maps],
    out: Maps,
) -> Iterator[Tile]:
    """Compute tile after tile and write what is finished to `out`.

    Parameters
    ----------
    tiles : sequence of Tile
        The tiles of a plan.
    predict : callable
        Gives the maps of one tile, shape of the tile.
    out : dict of str to ndarray, float32
        On the canvas, filled in place.

    Yields
    ------
    Tile
        After each tile that is done.
    """
    stitcher = Stitcher(tiles, out)
    for tile in tiles:
        block, finished = stitcher.add(predict(tile))
        for name, values in finished.items():
            out[name][block] = values
        yield tile
