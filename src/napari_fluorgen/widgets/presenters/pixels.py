"""Pixels of layers, those on disk only where they are needed: a window that reads stands still."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_fluorgen.errors import FluorgenError, InputError


class LazyPixels:
    """Pixels of a layer on disk, read when they are sliced; an error names the layer.

    Parameters
    ----------
    data : array-like
        A dask, zarr or similar array.
    layer : str
        Name of the layer.
    ndim : int
        Number of its last axes to show; those before have length 1.
    """

    def __init__(self, data: Any, layer: str, ndim: int) -> None:
        self._data, self._layer = data, layer
        self._first = (0,) * (data.ndim - ndim)
        self.shape = tuple(int(n) for n in data.shape[-ndim:])
        self.dtype = np.dtype(data.dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        key = key if isinstance(key, tuple) else (key,)
        try:
            return np.asarray(self._data[(*self._first, *key)])
        except FluorgenError:  # one of our readers, which names the file
            raise
        except Exception as error:  # whatever the library behind it raises
            reason = " ".join(str(error).split())[:160].rstrip(".") or type(error).__name__
            raise InputError(
                f"Layer '{self._layer}' cannot be read ({reason}): load it again, or choose "
                "another layer."
            ) from error

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("pixels on disk cannot become an array without a copy")
        return np.asarray(self[...], dtype)


def pixels_of(layer: Any, ndim: int) -> Any:
    """Last `ndim` axes of an image or labels layer: an array that is in memory, or `LazyPixels`."""
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    if isinstance(data, np.ndarray):
        return data[(0,) * (data.ndim - ndim)]
    return LazyPixels(data, layer.name, ndim)
