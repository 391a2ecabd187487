"""PyTorch on CUDA and Apple GPUs, and on the CPU where OpenVINO is not installed."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import DeviceError
from napari_fluorgen.staining.devices import Device, cpu_threads

if TYPE_CHECKING:
    from napari_fluorgen.models import Model


class PyTorchBackend:
    """Backend on a torch device.

    Parameters
    ----------
    model : Model
        The model.
    device : Device
        Where to run.
    precision : str
        ``"float32"``, or a half precision that is used through autocast.
    """

    name = "pytorch"

    def __init__(self, model: Model, device: Device, precision: str) -> None:
        import torch

        self._torch = torch
        self._device = torch.device(device.name)
        self._precision = precision
        self._names = model.spec.output_names
        self._network: Any = None
        try:
            # The model keeps its networks on the CPU for others.
            network = copy.deepcopy(model.combined()).eval()
            network = network.to(self._device)
            self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        except RuntimeError as error:
            raise _translated(error, device.label) from error
        self._label = device.label

    def prepare(self, tile_shape: tuple[int, int]) -> None:
        """Nothing to do: PyTorch runs any shape."""

    def predict(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the maps of each tile of the batch; see `Backend.predict`."""
        torch = self._torch
        try:
            with torch.inference_mode(), self._settings(), self._autocast():
                planes = torch.from_numpy(np.ascontiguousarray(batch)).to(self._device)
                outputs = self._network(planes.contiguous(memory_format=torch.channels_last))
                return {
                    name: output[:, 0].float().cpu().numpy()
                    for name, output in zip(self._names, outputs, strict=True)
                }
        except RuntimeError as error:
            translated = _translated(error, self._label)
        # Outside of the handler, or its traceback would hold the tensors that have to go.
        self._empty_cache()
        raise translated

    def close(self) -> None:
        """Free the networks' memory on the device."""
        self._network = None
        self._empty_cache()

    def _autocast(self) -> Any:
        if self._precision == "float32":
            return contextlib.nullcontext()
        return self._torch.autocast(self._device.type, getattr(self._torch, self._precision))

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
