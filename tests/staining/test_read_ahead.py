from __future__ import annotations

import threading

import pytest

from napari_fluorgen.staining.plan import plan_tiles
from napari_fluorgen.staining.source import read_ahead


class Source:
    """Notes what is read and lets the test decide when."""

    def __init__(self):
        self.started, self.gate = [], threading.Event()

    def read(self, rows, columns):
        self.started.append((rows, columns))
        if len(self.started) > 1:
            self.gate.wait(10)
        return len(self.started)


@pytest.fixture
def tiles():
    return plan_tiles((200, 300), 100, 8, 4).tiles


def test_tiles_come_in_order(tiles):
    source = Source()
    source.gate.set()
    assert [tile for tile, _ in read_ahead(source, tiles)] == list(tiles)
    assert source.started == [tile.outer for tile in tiles]
    assert list(read_ahead(source, ())) == []


def test_the_next_tile_is_read_meanwhile(tiles):
    source = Source()
    inputs = read_ahead(source, tiles)
    assert next(inputs) == (tiles[0], 1)  # although the second waits at its gate
    source.gate.set()
    assert next(inputs) == (tiles[1], 2)
    inputs.close()
    assert len(source.started) <= 3


def test_what_goes_wrong_comes_with_its_tile(tiles):
    class Broken(Source):
        def read(self, rows, columns):
            self.gate.set()
            if super().read(rows, columns) == 2:
                raise OSError("gone")

    inputs = read_ahead(Broken(), tiles)
    next(inputs)
    with pytest.raises(OSError, match="gone"):
        next(inputs)
