"""Kernel of a transition up: pixel shuffle and the 2x2 blur that follows, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from napari_fluorgen.staining.backends.native.emitter import Emitter
from napari_fluorgen.staining.backends.native.target import Target


class UpDims(NamedTuple):
    """Sizes that the kernel is called with; strides count float32 numbers.

    Attributes
    ----------
    width : int
        Of the coarse input.
    row, plane : int
        Strides of the input; a channel of the output is made of four planes.
    to_row, to_plane : int
        Strides of the output.
    first, last : int
        Rows of the input to compute.
    outputs : int
        Output channels.
    """

    width: int
    row: int
    plane: int
    to_row: int
    to_plane: int
    first: int
    last: int
    outputs: int


@cache
def upsampling_kernel(target: Target) -> Callable[..., None]:
    """Compile the kernel.

    Parameters
    ----------
    target : Target
        The processor.

    Returns
    -------
    callable
        Of pointers to input, output and `UpDims` as int64.
    """
    return _Writer(target).compiled()


class _Writer(Emitter):
    def __init__(self, target: Target) -> None:
        super().__init__("upsample", "ppp", target.lanes)
        self.source, self.output, sizes = self.arguments
        self.d = UpDims(*self.indices(sizes, len(UpDims._fields)))
        self.quarter = self.splat(self.ir.Constant(self.single, 0.25))
        self._write()

    def _write(self) -> None:
        b, d, zero = self.b, self.d, self.number(0)
        with self.loop(zero, d.outputs) as o, self.loop(d.first, d.last) as y:
            row = self.at(self.source, b.mul(b.mul(o, self.number(4)), d.plane), b.mul(y, d.row))
            parts = [self.at(row, b.mul(d.plane, self.number(i))) for i in range(4)]
            # Above the first row the image goes on as its first row is, which is even.
            edge = b.icmp_signed("==", y, zero)
            above = [
                b.select(edge, parts[i], self.at(parts[i + 2], b.neg(d.row))) for i in range(2)
            ]
            to = self.at(
                self.output, b.mul(o, d.to_plane), b.mul(b.mul(y, self.number(2)), d.to_row)
            )
            for pair, end in (
                ((*above, parts[0], parts[1]), to),
                (tuple(parts), self.at(to, d.to_row)),
            ):
                with self.loop(zero, d.width, self.lanes) as x:
                    self._blur(pair, end, x)
                self._first(pair, end)

    def _blur(self, parts: tuple[Any, ...], end: Any, x: Any) -> None:
        """Write two vectors of a row: the means of the pixel, its left, its upper neighbours."""
        b = self.b
        even, odd, left = (
            b.fadd(*(self.load(self.at(parts[i], x, further)) for i in pair))
            for pair, further in (((0, 2), 0), ((1, 3), 0), ((1, 3), -1))
        )
        means = [b.fmul(b.fadd(even, other), self.quarter) for other in (left, odd)]
        order = [i // 2 + (i % 2) * self.lanes for i in range(2 * self.lanes)]
        at = b.mul(x, self.number(2))
        for v in range(2):
            lanes = order[v * self.lanes : (v + 1) * self.lanes]
            self.store(self.shuffle(lanes, *means), self.at(end, at, v * self.lanes))

    def _first(self, parts: tuple[Any, ...], end: Any) -> None:
        """Left of the first column the image goes on as its first column is."""
        upper, lower = (self.load(parts[i], self.single) for i in (0, 2))
        half = self.ir.Constant(self.single, 0.5)
        self.store(self.b.fmul(self.b.fadd(upper, lower), half), end)
