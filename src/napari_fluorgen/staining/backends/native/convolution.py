"""Kernels of convolutions: batch norm, ReLU, convolution and what follows, in one pass.

A kernel computes two rows of all output channels at a time, for a stretch of columns and a group
of input channels that stay in the processor's cache:

1. *Packing* reads the rows, applies ``max(scale * x + shift, floor)`` and, for 3x3 kernels, takes
   the sums and differences of four neighbouring rows of Winograd's minimal filtering F(2, 3) [1]_.
   Along rows this costs four vector additions a channel, and each pair of rows then needs four
   products where six were needed.
2. *Multiplying* adds the products of all packed channels to sums in registers: four output
   channels times a few vectors of columns. Vectors lie along columns, so that no lane idles where
   a layer has few output channels, as dense layers do.
3. *Unpacking* turns the sums into two rows again, adds the bias, and writes them, or the largest
   of each 2 x 2 pixels.

In bfloat16 products are taken of pairs of channels and summed in float32; what is stored
between layers stays float32 in either precision.

References
----------
.. [1] Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.staining.backends.native.emitter import Emitter
from napari_fluorgen.staining.backends.native.target import Target

Ending = Literal["rows", "pooled"]
FILTER = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
"""Rows of a 3x3 kernel to those that multiply packed rows, F(2, 3)."""


class Dims(NamedTuple):
    """Sizes that a kernel is called with; strides count float32 numbers.

    Attributes
    ----------
    channels, height, width : int
        Of the input.
    row, plane : int
        Strides of the input.
    to_row, to_plane : int
        Strides of the output.
    first, last : int
        Rows to compute, of the input; the first is even.
    outputs : int
        Output channels.
    stretch : int
        Columns computed at a time: a multiple of `Target.vectors` vectors.
    group : int
        Input channels packed at a time, even.
    """

    channels: int
    height: int
    width: int
    row: int
    plane: int
    to_row: int
    to_plane: int
    first: int
    last: int
    outputs: int
    stretch: int
    group: int


BLOCK = 4
"""Output channels that are computed together: few are wasted, and vectors are read once for all."""


def packed_rows(taps: int) -> int:
    """Rows that two rows of an image are packed into."""
    return 4 if taps == 3 else 2


def padded_outputs(outputs: int) -> int:
    """Output channels that are computed for so many."""
    return -(-outputs // BLOCK) * BLOCK


@cache
def convolution_kernel(
    target: Target, taps: int, ending: Ending, *, bfloat16: bool
) -> Callable[..., None]:
    """Compile a kernel.

    Parameters
    ----------
    target : Target
        The processor.
    taps : {1, 3}
        Side of the convolution's kernel.
    ending : {"rows", "pooled"}
        What is written.
    bfloat16 : bool
        Whether products are taken in bfloat16.

    Returns
    -------
    callable
        Of pointers to input, output, weights (see `arranged`), scale, shift, bias, scratch and
        `Dims` as int64, and the numbers below which input and output are cut off.
    """
    return _Writer(target, taps, ending, bfloat16).compiled()


def arranged(
    weights: NDArray[np.float32], *, bfloat16: bool
) -> NDArray[np.float32] | NDArray[np.uint16]:
    """Lay weights out as a kernel reads them.

    Parameters
    ----------
    weights : ndarray, shape (outputs, channels, taps, taps)
        Of a convolution.
    bfloat16 : bool
        Whether products are taken in bfloat16.

    Returns
    -------
    ndarray, shape (blocks, packed rows, channels, taps, BLOCK)
        Or (blocks, packed rows, pairs of channels, taps, BLOCK, 2), bfloat16 as uint16.
    """
    outputs, channels, taps, _ = weights.shape
    filled = np.zeros((padded_outputs(outputs), channels + channels % 2, taps, taps))
    filled[:outputs, :channels] = weights
    rows = FILTER if taps == 3 else np.ones((2, 1))
    laid = np.einsum("my,ocyx->omcx", rows, filled).astype(np.float32)
    laid = laid.reshape(-1, BLOCK, *laid.shape[1:]).transpose(0, 2, 3, 4, 1)
    if not bfloat16:
        return np.ascontiguousarray(laid[:, :, :channels])
    blocks, packed, even, _, _ = laid.shape
    pairs = laid.reshape(blocks, packed, even // 2, 2, taps, BLOCK).transpose(0, 1, 2, 4, 5, 3)
    return _rounded(np.ascontiguousarray(pairs))


def _rounded(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Float32 to bfloat16, to the nearest, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


class _Writer(Emitter):
    def __init__(self, target: Target, taps: int, ending: Ending, bfloat16: bool) -> None:
        super().__init__("convolve", "pppppppp" + "ff", target.lanes)
        self.taps, self.ending, self.vectors = taps, ending, target.vectors
        self.rows = packed_rows(taps)
        self.pairs = 2 if bfloat16 else 1
        self.word = self.ir.IntType(32) if bfloat16 else self.single
        self.words = self.ir.VectorType(self.word, self.lanes)
        self.halves = self.ir.VectorType(self.ir.IntType(16), 2 * self.lanes)
        (
            self.source,
            self.output,
            self.weights,
            self.scale,
            self.shift,
            self.bias,
            self.packed,
            sizes,
            floor,
            self.last_floor,
        ) = self.arguments
        self.d = Dims(*self.indices(sizes, len(Dims._fields)))
        self.floor = self.splat(floor)
        self.last_floor = self.splat(self.last_floor)
        # A vector more than a stretch: packed rows begin a column early.
        self.step = self.b.add(self.d.stretch, self.number(self.lanes))
        self.packed_row = self.b.mul(self.step, self.d.group)
        self.sums = self.at(self.packed, self.b.mul(self.packed_row, self.number(self.rows)))
        self._write()

    def _write(self) -> None:
        b, d = self.b, self.d
        zero, lanes = self.number(0), self.number(self.lanes)
        blocks = b.sdiv(b.add(d.outputs, self.number(BLOCK - 1)), self.number(BLOCK))
        count = b.mul(blocks, self.number(BLOCK * self.rows))
        with self.loop(d.first, d.last, 2) as y, self.loop(zero, d.width, d.stretch) as x0:
            rest = b.add(b.sub(d.width, x0), self.number(self.lanes - 1))
            n = self.least(b.sub(rest, b.srem(rest, lanes)), d.stretch)
            with self.loop(zero, b.mul(count, self.step), self.lanes) as i:
                self.store(self.ir.Constant(self.vector, None), self.at(self.sums, i))
            with self.loop(zero, d.channels, d.group) as c0:
                group = self.least(b.sub(d.channels, c0), d.group)
                with self.loop(zero, group, self.pairs) as c:
                    self._pack(b.add(c0, c), c, y, x0, n)
                rows = self.number(self.rows)
                with self.loop(zero, blocks) as block, self.loop(zero, rows) as row:
                    self._multiply(block, row, c0, group, n)
            with self.loop(zero, d.outputs) as o:
                self._unpack(o, y, x0, n)

    def _pack(self, channel: Any, c: Any, y: Any, x0: Any, n: Any) -> None:
        """Pack the rows of a channel or, in bfloat16, of two."""
        b, d = self.b, self.d
        early = 1 if self.taps == 3 else 0
        inputs = []
        for further in range(self.pairs):
            at = b.add(channel, self.number(further))
            # The last of an odd number has no second: its scale and shift are zero.
            here = self.least(at, b.sub(d.channels, self.number(1)))
            plane = self.at(self.source, b.mul(here, d.plane), b.sub(x0, self.number(early)))
            scale = self.load(self.at(self.scale, at), self.single)
            shift = self.load(self.at(self.shift, at), self.single)
            inputs.append([self._row(plane, y, i, scale, shift) for i in range(self.rows)])
        to = self.at(self.packed, b.mul(b.sdiv(c, self.number(self.pairs)), self.step))
        ends = [self.at(to, b.mul(self.number(m), self.packed_row)) for m in range(self.rows)]
        with self.loop(self.number(0), b.add(n, self.number(early * self.lanes)), self.lanes) as x:
            rows = [[self._seen(*row, x) for row in channel] for channel in inputs]
            for values, end in zip(zip(*map(self._mixed, rows), strict=True), ends, strict=True):
                self.store(self._narrowed(values), self.at(end, x))
        if early:
            self._blank(ends, x0, n)

    def _row(self, plane: Any, y: Any, i: int, scale: Any, shift: Any) -> tuple[Any, Any, Any]:
        """Pointer to a row with its scale and shift, which are zero outside of the image."""
        b, d = self.b, self.d
        row = b.add(y, self.number(i - (1 if self.taps == 3 else 0)))
        inside = b.icmp_unsigned("<", row, d.height)
        nothing = self.ir.Constant(self.single, 0)
        pointer = self.at(plane, b.mul(b.select(inside, row, y), d.row))
        return (
            pointer,
            self.splat(b.select(inside, scale, nothing)),
            self.splat(b.select(inside, shift, nothing)),
        )

    def _seen(self, pointer: Any, scale: Any, shift: Any, x: Any) -> Any:
        return self.most(self.fma(self.load(self.at(pointer, x)), scale, shift), self.floor)

    def _mixed(self, rows: list[Any]) -> list[Any]:
        if self.taps == 1:
            return rows
        b, (above, first, second, below) = self.b, rows
        return [
            b.fsub(above, second),
            b.fadd(first, second),
            b.fsub(second, first),
            b.fsub(first, below),
        ]

    def _narrowed(self, values: tuple[Any, ...]) -> Any:
        """A vector as it is multiplied: the two of a pair side by side in each lane."""
        if self.pairs == 1:
            return values[0]
        text, places = "vcvtne2ps2bf16 $1, $2, $0", "=v,v,v"
        both = self.instruction(text, places, self.halves, list(values))
        order = [i // 2 + (i % 2) * self.lanes for i in range(2 * self.lanes)]
        return self.b.bitcast(self.shuffle(order, both, both), self.words)

    def _blank(self, ends: list[Any], x0: Any, n: Any) -> None:
        """Make the columns zero that lie left and right of the image."""
        b, d = self.b, self.d
        nothing = self.ir.Constant(self.single, 0)
        with b.if_then(b.icmp_signed("==", x0, self.number(0))):
            for end in ends:
                self.store(nothing, end)
        with b.if_then(b.icmp_signed(">=", b.add(x0, n), d.width)):
            for end in ends:
                self.store(nothing, self.at(end, b.sub(d.width, x0), 1))

    def _multiply(self, block: Any, row: Any, c0: Any, group: Any, n: Any) -> None:
        """Add the products of a packed row and the weights of a block to its sums."""
        b, d = self.b, self.d
        pairs = self.number(self.pairs)
        halved = [
            b.sdiv(b.add(value, self.number(self.pairs - 1)), pairs)
            for value in (d.channels, c0, group)
        ]
        channels, before, group = halved
        index = b.add(b.mul(block, self.number(self.rows)), row)
        index = b.add(b.mul(index, channels), before)
        weights = self.at(self.weights, b.mul(index, self.number(self.taps * BLOCK)))
        packed = self.at(self.packed, b.mul(row, self.packed_row))
        first = b.add(b.mul(block, self.number(BLOCK * self.rows)), row)
        sums = [
            self.at(self.sums, b.mul(b.add(first, self.number(o * self.rows)), self.step))
            for o in range(BLOCK)
        ]
        wide = self.vectors * self.lanes
        rest = b.srem(n, self.number(wide))
        with self.loop(self.number(0), b.sub(n, rest), wide) as x:
            self._products(weights, packed, sums, group, x, self.vectors)
        with self.loop(b.sub(n, rest), n, self.lanes) as x:
            self._products(weights, packed, sums, group, x, 1)

    def _products(
        self, weights: Any, packed: Any, sums: list[Any], group: Any, x: Any, vectors: int
    ) -> None:
        slots = [[self.slot(self.vector) for _ in range(vectors)] for _ in sums]
        for pointer, held in zip(sums, slots, strict=True):
            for v, slot in enumerate(held):
                self.b.store(self.load(self.at(pointer, x, v * self.lanes)), slot)
        with self.loop(self.number(0), group) as c:
            row = self.at(packed, self.b.mul(c, self.step), x)
            factors = self.at(weights, self.b.mul(c, self.number(self.taps * BLOCK)))
            for tap in range(self.taps):
                seen = [
                    self.load(self.at(row, tap + v * self.lanes), self.words)
                    for v in range(vectors)
                ]
                for o, held in enumerate(slots):
                    factor = self.load(self.at(factors, tap * BLOCK + o), self.word)
                    factor = self.splat(factor, self.words)
                    for value, slot in zip(seen, held, strict=True):
                        self.b.store(
                            self._product(value, factor, self.b.load(slot, typ=self.vector)), slot
                        )
        for pointer, held in zip(sums, slots, strict=True):
            for v, slot in enumerate(held):
                self.store(self.b.load(slot, typ=self.vector), self.at(pointer, x, v * self.lanes))

    def _product(self, value: Any, factor: Any, total: Any) -> Any:
        if self.pairs == 1:
            return self.fma(value, factor, total)
        text, places = "vdpbf16ps $2, $1, $0", "=v,v,v,0"
        return self.instruction(text, places, self.vector, [value, factor, total])

    def _unpack(self, o: Any, y: Any, x0: Any, n: Any) -> None:
        """Write two rows of an output channel, or one of half the length."""
        b, d = self.b, self.d
        bias = self.splat(self.load(self.at(self.bias, o), self.single))
        sums = self.at(self.sums, b.mul(b.mul(o, self.number(self.rows)), self.step))
        rows = [self.at(sums, b.mul(self.number(m), self.step)) for m in range(self.rows)]
        plane = self.at(self.output, b.mul(o, d.to_plane))
        if self.ending == "pooled":
            half = [b.sdiv(value, self.number(2)) for value in (y, x0)]
            to = self.at(plane, b.mul(half[0], d.to_row), half[1])
            with self.loop(self.number(0), n, 2 * self.lanes) as x:
                parts = []
                for v in range(2):
                    pair = [self.load(self.at(row, x, v * self.lanes)) for row in rows]
                    parts.append(self.most(*pair))
                even, odd = (
                    self.shuffle([2 * i + first for i in range(self.lanes)], *parts)
                    for first in range(2)
                )
                value = self._ended(self.most(even, odd), bias)
                self.store(value, self.at(to, b.sdiv(x, self.number(2))))
            return
        to = self.at(plane, b.mul(y, d.to_row), x0)
        two = b.icmp_signed("<", b.add(y, self.number(1)), d.height)
        with self.loop(self.number(0), n, self.lanes) as x:
            first, second = self._unmixed([self.load(self.at(row, x)) for row in rows])
            self.store(self._ended(first, bias), self.at(to, x))
            with b.if_then(two, likely=True):
                self.store(self._ended(second, bias), self.at(to, d.to_row, x))

    def _unmixed(self, rows: list[Any]) -> tuple[Any, Any]:
        if self.taps == 1:
            return rows[0], rows[1]
        b, (above, total, difference, below) = self.b, rows
        first = b.fadd(b.fadd(above, total), difference)
        return first, b.fsub(b.fsub(total, difference), below)

    def _ended(self, value: Any, bias: Any) -> Any:
        return self.most(self.b.fadd(value, bias), self.last_floor)
