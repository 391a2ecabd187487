from __future__ import annotations

import numpy as np
import pytest

from napari_fluorgen.errors import DeviceError
from napari_fluorgen.staining import selftest
from napari_fluorgen.staining.backends import open_backend
from napari_fluorgen.staining.devices import Device, resolve_device


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    monkeypatch.setattr(selftest, "_passed", set())


class Wrong:
    """A device that computes a little too much."""

    name = "pytorch"

    def __init__(self, inner, error):
        self.inner, self.error, self.closed = inner, error, False

    def prepare(self, tile_shape, tiles):
        self.inner.prepare(tile_shape, tiles)

    def predict(self, batch):
        return {name: x + np.float32(self.error) for name, x in self.inner.predict(batch).items()}

    def close(self):
        self.closed = True


@pytest.fixture
def odd_gpu(model, monkeypatch):
    """A machine with a GPU whose numbers are off by `error`."""
    gpu = Device("cuda", "GPU, Imaginary 9000", 10**9, ("float32",))
    made = []

    def build(error):
        def open_any(model, device, precision):
            backend = open_backend(model, resolve_device("cpu"), "float32")
            if device.name == "cuda":
                made.append(Wrong(backend, error))
                return made[-1]
            return backend

        monkeypatch.setattr(selftest, "open_backend", open_any)
        monkeypatch.setattr(
            selftest, "resolve_device", lambda name: gpu if name == "cuda" else resolve_device(name)
        )
        return made

    return build


def test_the_cpu_passes(model):
    opened = selftest.open_tested_backend(model, "cpu", "float32")
    assert opened.messages == ()
    assert max(selftest.deviations(model, opened.backend).values()) < 1e-6


@pytest.mark.parametrize("error", [0.1, np.nan])
def test_wrong_numbers_move_the_run_to_the_cpu_with_the_reason(model, odd_gpu, error):
    made = odd_gpu(error)
    opened = selftest.open_tested_backend(model, "cuda", "auto")
    assert (opened.device.name, opened.precision) == ("cpu", "float32")
    assert len(opened.messages) == 1
    assert "Imaginary 9000 computes wrong numbers" in opened.messages[0]
    assert "the CPU is used" in opened.messages[0]
    assert made[0].closed


def test_right_numbers_are_trusted_and_tested_once(model, odd_gpu):
    odd_gpu(0)
    opened = selftest.open_tested_backend(model, "cuda", "auto")
    assert opened.device.name == "cuda"
    assert (model.digest, "cuda", "float32", "pytorch") in selftest._passed


def test_a_cpu_that_fails_is_an_error(model, monkeypatch):
    monkeypatch.setitem(selftest.TOLERANCE, "float32", -1.0)
    with pytest.raises(DeviceError, match="wrong numbers"):
        selftest.open_tested_backend(model, "cpu", "float32")
