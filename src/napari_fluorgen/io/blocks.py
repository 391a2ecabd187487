"""Planes cut into blocks, so that no step holds a whole one."""

from __future__ import annotations

from collections.abc import Iterator

BLOCK_PX = 1024
"""Side of a block, and of the chunks that results are stored in."""


def blocks(shape: tuple[int, ...], side: int = BLOCK_PX) -> Iterator[tuple[slice, slice]]:
    """Cut a plane into blocks in reading order.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    side : int
        Of a block, the last ones of a row or column excepted.

    Yields
    ------
    tuple of slice
    """
    for y in range(0, shape[0], side):
        for x in range(0, shape[1], side):
            yield slice(y, min(y + side, shape[0])), slice(x, min(x + side, shape[1]))
