import pickle
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.io import lazy
from napari_fluorgen.io.lazy import PlaneImage, PlaneStack

ARRAY = np.arange(4 * 6 * 5, dtype=np.uint16).reshape(4, 6, 5)


@dataclass
class MemoryPlane:
    pixels: np.ndarray
    windowed: bool = False
    reads: list = field(default_factory=list)

    @property
    def shape(self):
        return self.pixels.shape

    @property
    def dtype(self):
        return self.pixels.dtype

    def read(self, window=()):
        self.reads.append(window)
        return self.pixels[window].copy()


def stack_of(windowed):
    return PlaneStack([MemoryPlane(plane, windowed) for plane in ARRAY])


def index(length):
    return st.one_of(
        st.integers(-length, length - 1),
        st.slices(length),
        st.just(slice(None)),
    )


@given(st.booleans(), st.tuples(index(4), index(6), index(5)), st.integers(0, 3))
def test_slices_as_numpy(windowed, key, parts):
    np.testing.assert_array_equal(stack_of(windowed)[key[:parts]], ARRAY[key[:parts]])


@pytest.mark.parametrize(
    "key", [..., (..., 2), (1, ..., slice(2)), ([3, 0],), (None, 1), np.int64(2), [True, False] * 2]
)
def test_other_indices_as_numpy(key):
    np.testing.assert_array_equal(stack_of(False)[key], ARRAY[key])


def test_looks_like_an_array():
    stack = stack_of(False)
    assert (stack.shape, stack.ndim, stack.size, len(stack)) == ((4, 6, 5), 3, 120, 4)
    assert stack.nbytes == ARRAY.nbytes
    assert stack.dtype == np.uint16
    np.testing.assert_array_equal(np.asarray(stack), ARRAY)
    assert np.asarray(stack, np.float32).dtype == np.float32
    np.testing.assert_array_equal(list(stack), ARRAY)
    with pytest.raises(IndexError):
        stack[4]
    with pytest.raises(IndexError):
        stack[0, 0, 0, 0]


def test_reads_only_what_is_asked_for():
    planes = [MemoryPlane(plane) for plane in ARRAY]
    stack = PlaneStack(planes)
    assert not any(plane.reads for plane in planes)
    for _ in range(3):
        block = stack[2, 1:3, 1:3]
    assert [len(plane.reads) for plane in planes] == [0, 0, 1, 0]
    block[:] = 0  # what is handed out is the caller's own
    np.testing.assert_array_equal(stack[2], ARRAY[2])


def test_cache_is_bounded(monkeypatch):
    monkeypatch.setattr(lazy, "CACHE_BYTES", 2 * ARRAY[0].nbytes)
    planes = [MemoryPlane(plane) for plane in ARRAY]
    stack = PlaneStack(planes)
    np.testing.assert_array_equal(stack[:], ARRAY)
    assert sum(block.nbytes for block in stack._cache.values()) <= lazy.CACHE_BYTES
    stack[3], stack[2]
    assert [len(plane.reads) for plane in planes] == [1, 1, 1, 1]


def test_image():
    image = PlaneImage([MemoryPlane(ARRAY[1])])
    assert image.shape == (6, 5)
    np.testing.assert_array_equal(np.asarray(image), ARRAY[1])
    np.testing.assert_array_equal(image[2:, ::2], ARRAY[1][2:, ::2])


def test_pickles_without_its_pixels():
    stack = stack_of(False)
    stack[:]
    again = pickle.loads(pickle.dumps(stack))
    assert not again._cache
    np.testing.assert_array_equal(np.asarray(again), ARRAY)


def test_dask_takes_it():
    array = pytest.importorskip("dask.array").from_array(stack_of(False), chunks=(1, -1, -1))
    np.testing.assert_array_equal(array.compute(scheduler="synchronous"), ARRAY)


def test_reading_needs_neither_dask_nor_zarr():
    assert "dask" not in lazy.__dict__
    assert not {"dask", "zarr"} & set(vars(sys.modules["napari_fluorgen.io.read"]))
