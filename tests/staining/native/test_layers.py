from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_fluorgen.staining.backends.native.layers import Workers, Workspace, add
from napari_fluorgen.staining.backends.native.target import Target

TARGET = Target(8, 16)


def test_planes_do_not_overlap_and_rows_hold_whole_vectors():
    planes = Workspace(TARGET).planes({"a": (2, 3, 17), "b": (1, 3, 1)})
    for value, part in enumerate(planes.values()):
        part.data.fill(value)
    assert (planes["a"].data == 0).all()
    assert planes["a"].image.shape == (2, 3, 17)
    for part in planes.values():
        vectors = part.data.shape[2] / TARGET.lanes
        assert vectors % 2 == 1
        assert part.data.shape[2] >= part.width + TARGET.lanes
    assert planes["a"].strides == (40, 120)
    assert planes["a"][1:].image.shape == (1, 3, 17)


def test_memory_is_kept_and_given_back():
    workspace = Workspace(TARGET)
    large = workspace.planes({"a": (4, 50, 50)})["a"].data
    small = workspace.planes({"a": (1, 5, 5)})["a"].data
    assert np.shares_memory(large, small)
    workspace.release()
    assert not np.shares_memory(large, workspace.planes({"a": (1, 5, 5)})["a"].data)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("count", [1, 2, 7, 64, 1001])
def test_each_row_is_computed_once(threads, count):
    rows = np.zeros(count, int)
    lock = threading.Lock()

    def run(first, last):
        assert first % 2 == 0
        with lock:
            rows[first:last] += 1

    workers = Workers(threads)
    workers.rows("some", run, count, 1e12)
    assert (rows == 1).all()
    assert set(workers.spent) == {"some"}


def test_little_work_stays_on_one_thread():
    seen = set()
    Workers(4).rows("some", lambda *_: seen.add(threading.get_ident()), 100, 1e6)
    assert seen == {threading.get_ident()}


@pytest.mark.parametrize("where", [0, 50])
def test_what_goes_wrong_in_a_thread_is_told(where):
    def run(first, last):
        if first <= where < last:
            raise MemoryError("too little")

    with pytest.raises(MemoryError, match="too little"):
        Workers(2).rows("some", run, 100, 1e12)


def test_a_layer_is_finished_while_the_program_ends():
    workers = Workers(2)
    workers._pool.shutdown()
    rows = []
    workers.rows("some", lambda first, last: rows.extend(range(first, last)), 30, 1e12)
    assert rows == list(range(30))


def test_planes_are_added():
    planes = Workspace(TARGET).planes(dict.fromkeys("abc", (2, 5, 9)))
    planes["a"].data.fill(3e38)  # what pads the rows overflows unnoticed
    planes["b"].data.fill(3e38)
    planes["a"].image.fill(1)
    planes["b"].image.fill(2)
    with np.errstate(all="raise"):
        add(planes["a"], planes["b"], planes["c"], Workers(1))
    assert (planes["c"].image == 3).all()
