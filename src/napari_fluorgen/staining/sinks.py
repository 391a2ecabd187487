"""Where results go while a run is on: arrays in memory, or anything that is written like them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike

from napari_fluorgen.io.blocks import blocks
from napari_fluorgen.staining import resample


class Sink(Protocol):
    """Makes the arrays (Y, X) that a run fills block by block.

    What it returns is read and written by a pair of slices, has `shape` and `dtype`, and holds
    zeros where nothing was written, or what an interrupted run left there.
    """

    def array(self, name: str, shape: tuple[int, int], dtype: DTypeLike) -> Any:
        """Return the array of a result: a stain's name, or ``"nuclei_probability"``."""
        ...

    def scratch(self, name: str, shape: tuple[int, int], dtype: DTypeLike) -> Any:
        """Return an array that is not needed after the run."""
        ...


class ArraySink:
    """Keeps everything in memory."""

    def array(self, name: str, shape: tuple[int, int], dtype: DTypeLike) -> Any:
        """Return zeros."""
        return np.zeros(shape, dtype)

    def scratch(self, name: str, shape: tuple[int, int], dtype: DTypeLike) -> Any:
        """Return zeros."""
        return np.zeros(shape, dtype)


def resize_into(source: Any, target: Any, convert: Any) -> Iterator[tuple[slice, slice]]:
    """Resample an array into another, block by block, equal to `resample.resize` of the whole.

    Parameters
    ----------
    source, target : array-like, shape (Y, X)
        From a sink.
    convert : callable
        Applied to each resampled block before it is stored.

    Yields
    ------
    tuple of slice
        The block of `target` that is done.
    """
    rows = resample.resize_matrix(source.shape[0], target.shape[0])
    columns = resample.resize_matrix(source.shape[1], target.shape[1])
    for block in blocks(target.shape):
        y, x = rows[block[0]], columns[block[1]]
        span_y = resample.needed(y, np.arange(y.shape[0]))
        span_x = resample.needed(x, np.arange(x.shape[0]))
        part = np.asarray(source[span_y, span_x])
        target[block] = convert(resample.apply(part, y[:, span_y], x[:, span_x]))
        yield block
