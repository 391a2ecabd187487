"""PyTorch on CUDA and Apple GPUs, and on the CPU where OpenVINO is not installed."""

from __future__ import annotations

import contextlib
import copy
import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import DeviceError
from napari_fluorgen.staining.backends.warm import Warm
from napari_fluorgen.staining.devices import Device, cpu_threads

if TYPE_CHECKING:
    from napari_fluorgen.models import Model


_log = logging.getLogger(__name__)

_FEWEST_REPLAYS = 8
"""Tiles from which a recording pays: it runs the networks three times."""

warm_networks = Warm(2)
"""Weights on their device: a plate does not copy them again for each field."""


class PyTorchBackend:
    """Backend on a torch device.

    Parameters
    ----------
    model : Model
        The model.
    device : Device
        Where to run.
    precision : str
        ``"float32"``, or a half precision: the convolutions and what lies between them are then in
        half precision, the statistics of batch norms and the last step to [0, 1] in float32.
    """

    name = "pytorch"

    def __init__(self, model: Model, device: Device, precision: str) -> None:
        import torch

        self._torch = torch
        self._device = torch.device(device.name)
        self._type = getattr(torch, precision)
        self._names = model.spec.output_names
        self._planes = model.spec.planes
        self._network: Any = None
        self._recorded: RecordedNetwork | None = None
        self._label = device.label
        key = (model.digest, device.name, precision)
        try:
            self._network = warm_networks.take(key, lambda: self._moved(model))
        except RuntimeError as error:
            raise _translated(error, device.label) from error

    def _moved(self, model: Model) -> Any:
        """Networks on the device; the model keeps its own on the CPU for others."""
        network = in_precision(copy.deepcopy(model.combined()).eval(), self._type)
        return network.to(self._device).to(memory_format=self._torch.channels_last)

    def prepare(self, tile_shape: tuple[int, int], tiles: int) -> None:
        """Record the networks' kernels on CUDA, where starting them one by one costs time."""
        if self._device.type != "cuda" or tiles < _FEWEST_REPLAYS:
            return
        try:
            with self._torch.inference_mode(), self._settings():
                shape = (1, self._planes, *tile_shape)
                self._recorded = RecordedNetwork(self._run, shape, self._device)
            return
        except RuntimeError as error:
            failure = _translated(error, self._label)
        # Outside of the handler, or its traceback would hold the tensors that have to go.
        self._empty_cache()
        if isinstance(failure, MemoryError):
            raise failure
        _log.info("The networks are not recorded: %s", failure)

    def predict(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the maps of each tile of the batch; see `Backend.predict`."""
        torch = self._torch
        try:
            with torch.inference_mode(), self._settings():
                if self._recorded is not None and self._recorded.shape == batch.shape:
                    maps = self._recorded(batch)
                else:
                    maps = self._run(torch.from_numpy(np.ascontiguousarray(batch))).cpu().numpy()
                return {name: maps[index] for index, name in enumerate(self._names)}
        except RuntimeError as error:
            failure = _translated(error, self._label)
        self._recorded = None
        if isinstance(failure, MemoryError):
            warm_networks.clear()  # other models'; this run holds its own
        self._empty_cache()
        raise failure

    def close(self) -> None:
        """Free the memory on the device; warm networks keep their weights there."""
        self._network = self._recorded = None
        self._empty_cache()

    def _run(self, planes: Any) -> Any:
        """Maps (outputs, B, Y, X) in float32 on the device, of planes anywhere."""
        planes = planes.to(self._device, self._type)
        outputs = self._network(planes.contiguous(memory_format=self._torch.channels_last))
        return self._torch.stack([output[:, 0].float() for output in outputs])

    @contextlib.contextmanager
    def _settings(self) -> Iterator[None]:
        """The same numbers each time: no TF32, no search for algorithms; threads bounded."""
        torch = self._torch
        if self._device.type == "cpu":
            before = torch.get_num_threads()
            torch.set_num_threads(cpu_threads())
            try:
                yield
            finally:
                torch.set_num_threads(before)
        else:
            with torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ):
                yield

    def _empty_cache(self) -> None:
        if self._device.type == "cuda":
            self._torch.cuda.empty_cache()
        elif self._device.type == "mps":
            self._torch.mps.empty_cache()


class RecordedNetwork:
    """A function of a CUDA tensor, recorded once for one shape and replayed.

    The host's side of both transfers is pinned memory, which is as fast as the bus and lets them
    wait in the device's queue behind one another.

    Parameters
    ----------
    run : callable
        From planes on the device to one tensor on it.
    shape : tuple of int
        Of the planes.
    device : torch.device
        A CUDA device.
    """

    def __init__(self, run: Callable[[Any], Any], shape: tuple[int, ...], device: Any) -> None:
        import torch

        self.shape = shape
        self._torch = torch
        self._sent = torch.zeros(shape, dtype=torch.float32, pin_memory=True)
        self._planes = torch.zeros(shape, dtype=torch.float32, device=device)
        side = torch.cuda.Stream(device)
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):  # libraries set themselves up before they are recorded
            for _ in range(2):
                run(self._planes)
        torch.cuda.current_stream(device).wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._maps = run(self._planes)
        self._received = torch.empty(self._maps.shape, dtype=torch.float32, pin_memory=True)

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Run on planes of the recorded shape, in inference mode."""
        self._sent.copy_(self._torch.from_numpy(np.ascontiguousarray(batch)))
        self._planes.copy_(self._sent, non_blocking=True)
        self._graph.replay()
        self._received.copy_(self._maps, non_blocking=True)
        self._torch.cuda.current_stream(self._planes.device).synchronize()
        return self._received.numpy().copy()


def in_precision(network: Any, dtype: Any) -> Any:
    """Convert the convolutions of a network, and with them all that flows between them."""
    import torch

    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.to(dtype)
    return network


def sample_convolution(device: Device, precision: str) -> tuple[Callable[[], object], float]:
    """Return a 3x3 convolution to time, and its number of operations."""
    import torch

    channels, side = 64, 128 if device.name == "cpu" else 1024
    settings: dict[str, Any] = {"device": device.name, "dtype": getattr(torch, precision)}
    planes = torch.ones(1, channels, side, side, **settings)
    planes = planes.contiguous(memory_format=torch.channels_last)
    weights = torch.full((channels, channels, 3, 3), 1e-3, **settings)

    def run() -> None:
        with torch.inference_mode():
            # Reading a value back waits for the device.
            torch.nn.functional.conv2d(planes, weights, padding=1)[0, 0, 0, 0].item()

    return run, 2.0 * 9 * channels * channels * side * side


def _translated(error: RuntimeError, label: str) -> Exception:
    text = str(error)
    if "out of memory" in text.lower() or "can't allocate" in text.lower():
        return MemoryError(text)
    line = text.strip().splitlines()[0] if text.strip() else "no reason given"
    return DeviceError(f"{label} failed ({line}); choose device 'cpu'.")
