"""Arrays that read planes from files when they are sliced.

They need numpy alone, so that reading works where dask and zarr are not installed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

CACHE_BYTES = 1 << 30
"""Decoded planes that one stack keeps at most."""


class Plane(Protocol):
    """One image plane on disk."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a pixel, in the machine's byte order."""

    @property
    def windowed(self) -> bool:
        """Whether a part can be read without decoding the whole plane."""

    def read(self, window: tuple[Any, ...] = ()) -> NDArray[Any]:
        """Pixels of `window` (a NumPy index into the plane) in the machine's byte order."""


class _Lazy:
    """What both arrays share: a cache of decoded planes, and the ways into NumPy."""

    def __init__(self, planes: Sequence[Plane]) -> None:
        self._planes = tuple(planes)
        self.dtype = np.result_type(*(plane.dtype for plane in self._planes))
        self._cache: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()

    shape: tuple[int, ...]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels once read."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("planes on disk cannot become an array without a copy")
        array = self[...]
        return array if dtype is None else array.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.shape} {self.dtype}>"

    def __getstate__(self) -> dict[str, Any]:
        return {"planes": self._planes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["planes"])  # type: ignore[misc]

    def _window(self, index: int, window: tuple[Any, ...]) -> NDArray[Any]:
        plane = self._planes[index]
        if plane.windowed:
            return plane.read(window).astype(self.dtype, copy=False)
        return np.array(self._decoded(index)[window], dtype=self.dtype)

    def _decoded(self, index: int) -> NDArray[Any]:
        with self._lock:
            if index in self._cache:
                self._cache.move_to_end(index)
                return self._cache[index]
            block = self._planes[index].read()
            block.setflags(write=False)
            used = sum(other.nbytes for other in self._cache.values())
            while self._cache and used + block.nbytes > CACHE_BYTES:
                used -= self._cache.popitem(last=False)[1].nbytes
            self._cache[index] = block
            return block


class PlaneStack(_Lazy):
    """Planes of one shape as an array (Z, Y, X).

    Slices read only the planes they need, and only the rows and columns where the format allows;
    planes that must be decoded whole are kept up to `CACHE_BYTES`.

    Parameters
    ----------
    planes : sequence of Plane
        At least one; all of one shape.
    """

    def __init__(self, planes: Sequence[Plane]) -> None:
        super().__init__(planes)
        self.shape = (len(self._planes), *self._planes[0].shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        key = key if isinstance(key, tuple) else (key,)
        if any(part is None for part in key):
            return np.asarray(self[...])[key]
        if any(part is Ellipsis for part in key):
            at = next(i for i, part in enumerate(key) if part is Ellipsis)
            fill = (slice(None),) * (3 - (len(key) - 1))
            key = key[:at] + fill + key[at + 1 :]
        if len(key) > 3:
            raise IndexError(f"too many indices for a stack of 3 axes: {len(key)}")
        which = np.arange(len(self._planes))[key[0] if key else slice(None)]
        window = key[1:]
        if which.ndim == 0:
            return self._window(int(which), window)
        if which.size == 0:
            empty = np.empty(self.shape[1:], self.dtype)[window]
            return np.empty((*which.shape, *empty.shape), self.dtype)
        return np.stack([self._window(int(index), window) for index in which])


class PlaneImage(_Lazy):
    """One plane as an array (Y, X)."""

    def __init__(self, planes: Sequence[Plane]) -> None:
        super().__init__(planes)
        self.shape = self._planes[0].shape

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return self._window(0, key if isinstance(key, tuple) else (key,))
