"""Network input, tile by tile: counts read lazily, scaled, resampled, the border repeated."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.blocks import blocks
from napari_fluorgen.stack import BrightfieldStack, square_pixel
from napari_fluorgen.staining import resample
from napari_fluorgen.staining.adapt import Adaptation
from napari_fluorgen.staining.background import Background, estimate_background
from napari_fluorgen.staining.plan import Tile

if TYPE_CHECKING:
    from napari_fluorgen.models import ModelSpec


class TileSource:
    """Reads any rectangle of the canvas as the network wants it.

    Parameters
    ----------
    stack : BrightfieldStack
        The stack.
    spec : ModelSpec
        How the model's input is scaled.
    adaptation : Adaptation
        Planes and grid, from `match_stack`.
    check : callable, optional
        Called now and then while the background is estimated; it may raise, to stop.

    Raises
    ------
    InputError
        Where the stack holds values that are not finite, no light, or no structure at all.
    """

    def __init__(
        self,
        stack: BrightfieldStack,
        spec: ModelSpec,
        adaptation: Adaptation,
        check: Callable[[], None] | None = None,
    ) -> None:
        self._data = stack.data
        self._name = stack.identity.name
        self._scaling = spec.input
        # Each plane is read once, however often it is repeated.
        self._planes = sorted(set(adaptation.plane_indices))
        self._take = [self._planes.index(index) for index in adaptation.plane_indices]
        self._shape = adaptation.model_shape
        height, width = stack.shape[1:]
        self._rows = self._columns = None
        if adaptation.model_shape != (height, width):
            self._rows = resample.resize_matrix(height, self._shape[0])
            self._columns = resample.resize_matrix(width, self._shape[1])
        self._refuse_constant()
        self._background: Background | None = None
        self._gain = np.float32(1)
        if self._scaling.kind == "background":
            pixel = square_pixel(adaptation.pixel_size_um)
            self._gain = np.float32(self._scaling.gain)
            background = estimate_background(self._data, pixel, check)
            self._background = replace(background, gains=background.gains[self._planes])

    def read(self, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Read a rectangle of the canvas.

        Parameters
        ----------
        rows, columns : slice
            With start and stop, in pixels on the grid of the model; they may reach beyond the
            plane, where its outermost pixels are repeated.

        Returns
        -------
        ndarray, shape (1, planes, rows, columns), float32
        """
        y = continued(rows, self._shape[0])
        x = continued(columns, self._shape[1])
        span_y = slice(int(y.min()), int(y.max()) + 1)
        span_x = slice(int(x.min()), int(x.max()) + 1)
        block = self._resampled(span_y, span_x)
        if not (_runs(y) and _runs(x)):
            block = block[:, (y - span_y.start)[:, None], (x - span_x.start)[None, :]]
        # A copy only where planes are repeated or in another order.
        planes = block if self._take == list(range(len(block))) else block[self._take]
        if self._scaling.kind == "range":
            # The ranges belong to the places in the model, whichever plane stands in for them.
            low = np.asarray(self._scaling.minimum, np.float32)[:, None, None]
            high = np.asarray(self._scaling.maximum, np.float32)[:, None, None]
            planes = np.clip((planes - low) / (high - low), 0, 1)
        return np.ascontiguousarray(planes, dtype=np.float32)[None]

    def _resampled(self, y: slice, x: slice) -> NDArray[np.float32]:
        if self._rows is None or self._columns is None:
            return self._scaled(y, x)
        rows, columns = self._rows[y.start : y.stop], self._columns[x.start : x.stop]
        span_y = resample.needed(rows, np.arange(rows.shape[0]))
        span_x = resample.needed(columns, np.arange(columns.shape[0]))
        block = self._scaled(span_y, span_x)
        rows, columns = rows[:, span_y], columns[:, span_x]
        return np.stack([resample.apply(plane, rows, columns) for plane in block])

    def _scaled(self, y: slice, x: slice) -> NDArray[np.float32]:
        """A block on the grid of the stack, divided by its background where the model asks."""
        planes = np.stack([np.asarray(self._data[z, y, x]) for z in self._planes])
        if planes.dtype.kind == "f" and not np.isfinite(planes).all():
            raise InputError(
                f"Stack '{self._name}' holds values that are not numbers (NaN or infinite); "
                "replace them before staining."
            )
        if self._background is not None:
            scaled = self._background.divide(planes, y, x)
            scaled -= 1
            scaled *= self._gain
            return scaled
        return planes.astype(np.float32)

    def _refuse_constant(self) -> None:
        height, width = self._data.shape[1:]
        for index in self._planes:
            first = self._block(index, slice(0, 1), slice(0, 1))[0, 0]
            # Read only as far as the plane is constant.
            if height * width > 1 and all(
                (self._block(index, *block) == first).all() for block in self._blocks()
            ):
                raise InputError(
                    f"Plane {index + 1} of stack '{self._name}' is constant "
                    f"(every value is {first:g}); expected a brightfield image."
                )

    def _blocks(self) -> Iterator[tuple[slice, slice]]:
        """The centre of the plane, then all of it."""
        height, width = self._data.shape[1:]
        yield slice(height // 2, height // 2 + 64), slice(width // 2, width // 2 + 64)
        yield from blocks((height, width))

    def _block(self, index: int, rows: slice, columns: slice) -> NDArray[Any]:
        return np.asarray(self._data[index, rows, columns])


def read_ahead(
    source: TileSource, tiles: Sequence[Tile]
) -> Generator[tuple[Tile, NDArray[np.float32]], None, None]:
    """Read tile after tile, the next one while the caller works on the last.

    Parameters
    ----------
    source : TileSource
        Read from one thread at a time.
    tiles : sequence of Tile
        What to read, in order.

    Yields
    ------
    tile : Tile
    planes : ndarray, shape (1, planes, rows, columns), float32
    """
    with ThreadPoolExecutor(1, "read-ahead") as pool:
        coming = [pool.submit(source.read, *tile.outer) for tile in tiles[:1]]
        for number, tile in enumerate(tiles, start=1):
            planes = coming.pop().result()
            coming += [pool.submit(source.read, *after.outer) for after in tiles[number:][:1]]
            yield tile, planes


def continued(span: slice, length: int) -> NDArray[np.int64]:
    """Indices of a span of the canvas in a plane of `length`, whose end is repeated beyond it.

    A mirror image would show nuclei of the wrong shape at the border, which networks believe.
    """
    return np.clip(np.arange(span.start, span.stop), 0, length - 1)


def _runs(index: NDArray[np.int64]) -> bool:
    return bool((np.diff(index) == 1).all())
