"""Kernels of our own on the CPU: all networks of a model, one after another."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import DeviceError, ModelError
from napari_fluorgen.staining.backends.native.layers import Convolution, Workers, Workspace
from napari_fluorgen.staining.backends.native.network import NativeNetwork
from napari_fluorgen.staining.backends.native.shapes import plane_shapes
from napari_fluorgen.staining.backends.native.target import Target, host_target
from napari_fluorgen.staining.backends.warm import Warm
from napari_fluorgen.staining.devices import cpu_threads

if TYPE_CHECKING:
    from napari_fluorgen.models import Model

KEPT_PX = 2**19
"""Pixels of a tile up to which a warm model keeps its working memory between runs."""

warm_models = Warm(4)


class NativeBackend:
    """Backend on the CPU.

    Parameters
    ----------
    model : Model
        The model.
    precision : str
        ``"float32"`` or ``"bfloat16"``.

    Raises
    ------
    DeviceError
        Where the kernels do not run on this processor in this precision.
    """

    name = "native"

    def __init__(self, model: Model, precision: str) -> None:
        target = _target(precision)
        threads = cpu_threads()
        key = (model.digest, precision, threads)
        self._loaded: _Loaded = warm_models.take(
            key, lambda: _Loaded(model, target, precision, threads)
        )
        self._largest = 0

    def prepare(self, tile_shape: tuple[int, int], tiles: int) -> None:
        """Get the working memory for tiles of this shape; the kernels do for any."""
        self._largest = max(self._largest, math.prod(tile_shape))
        self._loaded.reserve(tile_shape)

    def predict(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the maps of each tile of the batch; see `Backend.predict`."""
        self._largest = max(self._largest, math.prod(batch.shape[2:]))
        each = [self._loaded.predict(tile) for tile in batch]
        return {name: np.stack([maps[name] for maps in each]) for name in each[0]}

    def profile(self, batch: NDArray[np.float32]) -> dict[str, float]:
        """Seconds by kind of layer for the first tile, longest first."""
        spent = self._loaded.workers.spent
        self.predict(batch[:1])
        spent.clear()
        self.predict(batch[:1])
        return dict(sorted(spent.items(), key=lambda item: -item[1]))

    def close(self) -> None:
        """Give the working memory of large tiles back; the networks stay loaded."""
        if self._largest > KEPT_PX:
            self._loaded.release()


def suits(precision: str) -> bool:
    """Whether the kernels are what computes fastest here in a precision."""
    target = host_target()
    if target is None or precision == "float32":
        return target is not None
    return target.bfloat16 and not target.tiles  # OpenVINO knows how to use the tiles of AMX


def sample_layer(precision: str) -> tuple[Callable[[], object], float]:
    """Return a layer of a dense block to time, and its number of operations.

    Raises
    ------
    DeviceError
        Where the kernels do not run on this processor in this precision.
    """
    target = _target(precision)
    channels, added, side = 96, 12, 256
    weights = {
        "layer.weight": np.full((added, channels, 3, 3), 1e-3, np.float32),
        "layer.bias": np.zeros(added, np.float32),
    }
    layer = Convolution(target, weights, "layer", bfloat16=precision == "bfloat16")
    planes = Workspace(target).planes(
        {"seen": (channels, side, side), "added": (added, side, side)}
    )
    planes["seen"].data.fill(1)
    workers = Workers(cpu_threads())

    def run() -> None:
        layer(planes["seen"], planes["added"], workers)

    return run, 2.0 * 9 * channels * added * side * side


def _target(precision: str) -> Target:
    target = host_target()
    if target is None or (precision == "bfloat16" and not target.bfloat16):
        raise DeviceError(
            f"The native kernels do not run on this processor in {precision}; unset "
            "FLUORGEN_BACKEND."
        )
    return target


class _Loaded:
    """The networks of a model with their memory and threads."""

    def __init__(self, model: Model, target: Target, precision: str, threads: int) -> None:
        self._names = model.spec.output_names
        self._networks = {}
        for stain, architecture in model.spec.architectures.items():
            weights = model.weights(stain)
            try:
                self._networks[stain] = NativeNetwork(
                    architecture, weights, target, bfloat16=precision == "bfloat16"
                )
            except (KeyError, ValueError) as error:
                raise ModelError(
                    f"The weights of {stain} in model '{model.spec.name}' are not those that "
                    "it describes; install it again."
                ) from error
        self._workspace = Workspace(target)
        self.workers = Workers(threads)
        self._lock = threading.Lock()

    def predict(self, tile: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """The maps of a tile by name."""
        found: dict[str, NDArray[np.float32]] = {}
        with self._lock:  # two threads may use one warm model
            for stain, network in self._networks.items():
                maps = network(tile, self._workspace, self.workers)
                found |= dict(zip((stain, "nuclei_probability"), maps, strict=False))
        return {name: found[name] for name in self._names}

    def reserve(self, shape: tuple[int, int]) -> None:
        """Get memory for the widest network on tiles of a shape."""
        with self._lock:
            for network in self._networks.values():
                self._workspace.reserve(plane_shapes(network.architecture, *shape))

    def release(self) -> None:
        """Give the working memory back, once nobody uses it."""
        with self._lock:
            self._workspace.release()
