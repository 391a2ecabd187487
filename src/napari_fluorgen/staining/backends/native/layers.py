"""Feature planes in memory, and the layers that read and write them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.staining.backends.native.convolution import (
    Dims,
    Ending,
    arranged,
    convolution_kernel,
    packed_rows,
    padded_outputs,
)
from napari_fluorgen.staining.backends.native.shapes import Shape
from napari_fluorgen.staining.backends.native.target import Target
from napari_fluorgen.staining.backends.native.upsampling import UpDims, upsampling_kernel

Weights = dict[str, NDArray[np.float32]]

_EPSILON = 1e-5  # of torch's batch norm
# Input channels and columns packed at a time: what is packed and the sums stay in a core's second
# cache (float32 numbers), tuned on a core with 1 MB.
_GROUP, _LONGEST, _CACHED = 32, 544, 130_000
_PAGE = 1024  # float32 numbers in the smallest page of memory
_BANDS = 4  # of rows for each thread, so that a busy core holds nobody up
_WORTHWHILE = 1e8  # operations that take longer than to wake a thread


@dataclass(frozen=True)
class Planes:
    """Feature planes whose rows are padded to whole vectors.

    Attributes
    ----------
    data : ndarray, shape (channels, height, at least width), float32
        Columns from `width` on hold anything.
    width : int
        Columns of the image.
    """

    data: NDArray[np.float32]
    width: int

    def __getitem__(self, channels: slice) -> Planes:
        return Planes(self.data[channels], self.width)

    @property
    def image(self) -> NDArray[np.float32]:
        """The planes without their padding."""
        return self.data[:, :, : self.width]

    @property
    def strides(self) -> tuple[int, int]:
        """Numbers from a row and from a plane to the next."""
        return self.data.strides[1] // 4, self.data.strides[0] // 4


class Workspace:
    """Memory of the planes of one network at a time, kept between runs."""

    def __init__(self, target: Target) -> None:
        self._lanes = target.lanes
        self._margin = 4 * target.lanes  # vectors begin a column early and end behind the last
        self._memory = np.empty(0, np.float32)

    def reserve(self, shapes: Mapping[Hashable, Shape]) -> None:
        """Get memory for these planes from the system, which takes its time.

        Raises
        ------
        MemoryError
            Where there is too little memory.
        """
        needed = 2 * self._margin + sum(c * h * self._row(w) for c, h, w in shapes.values())
        if len(self._memory) < needed:
            self._memory = np.empty(0, np.float32)  # the old goes before the new comes
            self._memory = np.empty(needed, np.float32)
            self._memory[::_PAGE] = 0

    def planes(self, shapes: Mapping[Hashable, Shape]) -> dict[Hashable, Planes]:
        """Planes of these channels, heights and widths; those handed out before are overwritten.

        Raises
        ------
        MemoryError
            Where there is too little memory.
        """
        self.reserve(shapes)
        found, start = {}, self._margin
        for name, (channels, height, width) in shapes.items():
            end = start + channels * height * self._row(width)
            data = self._memory[start:end].reshape(channels, height, self._row(width))
            found[name], start = Planes(data, width), end
        return found

    def release(self) -> None:
        """Give the memory back."""
        self._memory = np.empty(0, np.float32)

    def _row(self, width: int) -> int:
        # An odd number of vectors: neighbouring rows do not compete for places in the cache.
        two = 2 * self._lanes
        return -(-width // two) * two + self._lanes


class Workers:
    """Threads that share the rows of a layer.

    Parameters
    ----------
    threads : int
        How many.

    Attributes
    ----------
    spent : dict
        Seconds by kind of layer.
    """

    def __init__(self, threads: int) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "fluorgen")
        self._scratch = threading.local()

    def rows(self, kind: str, run: Callable[[int, int], object], count: int, work: float) -> None:
        """Share the rows of a layer out.

        Parameters
        ----------
        kind : str
            Of layer, for `spent`.
        run : callable
            Computes from a first row, which is even, up to a last.
        count : int
            Rows.
        work : float
            Operations of all rows: little work is not worth a second thread.
        """
        started = time.perf_counter()
        threads = min(self._threads, 1 + int(work / _WORTHWHILE))
        if threads == 1:
            run(0, count)
        else:
            step = max(2, 2 * -(-count // (2 * _BANDS * threads)))
            firsts = iter(range(0, count, step))  # shared by the threads

            def work_off() -> None:
                for first in firsts:
                    run(first, min(first + step, count))

            others = []
            with contextlib.suppress(RuntimeError):  # the program is ending: no new threads
                others = [self._pool.submit(work_off) for _ in range(threads - 1)]
            try:
                work_off()
            finally:
                for other in others:
                    other.result()
        self.spent[kind] += time.perf_counter() - started

    def scratch(self, numbers: int) -> NDArray[np.float32]:
        """Memory of the calling thread."""
        held = getattr(self._scratch, "memory", None)
        if held is None or len(held) < numbers:
            held = self._scratch.memory = np.empty(numbers, np.float32)
        return held


class Convolution:
    """A convolution, what comes before it and what follows.

    Parameters
    ----------
    target : Target
        The processor.
    weights : dict of str to ndarray
        Of a network, by name.
    name : str
        Of the convolution among them.
    norm : str, optional
        Of the batch norm before it, which is rectified.
    rectified : bool
        Whether its result is rectified.
    ending : {"rows", "pooled"}
        Whether the largest of each 2 x 2 pixels is kept.
    bfloat16 : bool
        Whether products are taken in bfloat16, if it is 3x3.
    """

    def __init__(
        self,
        target: Target,
        weights: Weights,
        name: str,
        norm: str = "",
        *,
        rectified: bool = False,
        ending: Ending = "rows",
        bfloat16: bool = False,
    ) -> None:
        kernel = weights[f"{name}.weight"]
        self.outputs, self.channels, self.taps, _ = kernel.shape
        self._target = target
        # 1x1 convolutions wait for memory more than for products, and theirs err most.
        bfloat16 = bfloat16 and self.taps == 3
        self._kernel = convolution_kernel(target, self.taps, ending, bfloat16=bfloat16)
        self._weights = arranged(kernel, bfloat16=bfloat16)
        self._bias = np.ascontiguousarray(weights[f"{name}.bias"])
        self._scale, self._shift = np.zeros((2, self.channels + 1), np.float32)
        self._scale[:-1] = 1
        if norm:
            gamma, beta, mean, variance = (
                weights[f"{norm}.{part}"].astype(np.float64)
                for part in ("weight", "bias", "running_mean", "running_var")
            )
            self._scale[:-1] = gamma / np.sqrt(variance + _EPSILON)
            self._shift[:-1] = beta - mean * gamma / np.sqrt(variance + _EPSILON)
        self._floors = (0.0 if norm else -np.inf, 0.0 if rectified else -np.inf)

    def __call__(self, source: Planes, output: Planes, workers: Workers) -> None:
        """Compute the planes of `output`."""
        _, height, _ = source.data.shape
        rows, vector = packed_rows(self.taps), self._target.lanes
        held = _GROUP + padded_outputs(self.outputs)
        wide = self._target.vectors * vector
        longest = max(wide, min(_LONGEST, _CACHED // (rows * held) - vector))
        pieces = -(-source.width // longest)
        stretch = -(-source.width // (pieces * wide)) * wide
        scratch = rows * held * (stretch + vector) + 4 * vector
        arrays = (source.data, output.data, self._weights, self._scale, self._shift, self._bias)
        pointers = [array.ctypes.data for array in arrays]
        work = 2.0 * self.taps**2 * self.channels * self.outputs * height * source.width

        def run(first: int, last: int) -> None:
            dims = Dims(
                self.channels,
                height,
                source.width,
                *source.strides,
                *output.strides,
                first,
                last,
                self.outputs,
                stretch,
                _GROUP,
            )
            sizes = np.array(dims, np.int64)
            memory = workers.scratch(scratch)
            self._kernel(*pointers, memory.ctypes.data, sizes.ctypes.data, *self._floors)

        workers.rows(f"{self.taps}x{self.taps} convolution", run, height, work)


def upsample(target: Target, source: Planes, output: Planes, workers: Workers) -> None:
    """Shuffle four planes into one of double size, and blur it."""
    kernel = upsampling_kernel(target)

    def run(first: int, last: int) -> None:
        outputs = len(output.data)
        dims = UpDims(source.width, *source.strides, *output.strides, first, last, outputs)
        sizes = np.array(dims, np.int64)
        kernel(source.data.ctypes.data, output.data.ctypes.data, sizes.ctypes.data)

    workers.rows("upsampling", run, source.data.shape[1], 50.0 * source.data.size)


def add(left: Planes, right: Planes, output: Planes, workers: Workers) -> None:
    """Add planes to planes."""

    def run(first: int, last: int) -> Any:
        rows = slice(first, last)
        return np.add(left.image[:, rows], right.image[:, rows], out=output.image[:, rows])

    workers.rows("sum", run, left.data.shape[1], 20.0 * left.data.size)
