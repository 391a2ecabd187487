"""What computes a tile: one file a backend, all with the same few methods."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import ConfigError
from napari_fluorgen.staining.devices import Device

if TYPE_CHECKING:
    from napari_fluorgen.models import Model

CPU_BACKENDS = ("native", "openvino", "pytorch")
"""What can compute on the processor: kernels of this package, or a library."""


class Backend(Protocol):
    """Runs all networks of a model on tiles.

    Attributes
    ----------
    name : str
        ``"native"``, ``"openvino"`` or ``"pytorch"``.
    """

    name: str

    def prepare(self, tile_shape: tuple[int, int], tiles: int) -> None:
        """Do once what so many tiles of this shape need, as far as it pays for them."""
        ...

    def predict(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the maps (B, Y, X) in [0, 1] of a batch (B, planes, Y, X), by output name.

        Raises
        ------
        MemoryError
            Where the device has too little memory for the batch; a smaller one may do.
        DeviceError
            Where the device fails otherwise.
        """
        ...

    def close(self) -> None:
        """Give memory of the device back; models that stay warm are kept."""
        ...


def open_backend(model: Model, device: Device, precision: str) -> Backend:
    """Load a model on a device.

    Parameters
    ----------
    model : Model
        The model.
    device : Device
        Where to run.
    precision : str
        One of ``device.precisions``.

    Raises
    ------
    ConfigError
        Where ``FLUORGEN_BACKEND`` names none of `CPU_BACKENDS`, or one that is not installed.
    DeviceError
        Where the device or its software does not work.
    """
    wanted = cpu_backend(precision) if device.name == "cpu" else "pytorch"
    if wanted == "native":
        from napari_fluorgen.staining.backends.native import NativeBackend

        return NativeBackend(model, precision)
    if wanted == "openvino":
        from napari_fluorgen.staining.backends.openvino_cpu import OpenVinoBackend

        return OpenVinoBackend(model, precision)
    from napari_fluorgen.staining.backends.pytorch import PyTorchBackend

    return PyTorchBackend(model, device, precision)


def cpu_backend(precision: str) -> str:
    """What computes on this processor: one of `CPU_BACKENDS`.

    The kernels of this package where they suit it; OpenVINO where it has AMX for bfloat16, or no
    LLVM; else PyTorch. ``FLUORGEN_BACKEND`` chooses otherwise.

    Raises
    ------
    ConfigError
        Where ``FLUORGEN_BACKEND`` names none of them, or one that is not installed.
    """
    from napari_fluorgen.staining.backends.native import suits
    from napari_fluorgen.staining.backends.openvino_cpu import is_installed

    wanted = os.environ.get("FLUORGEN_BACKEND", "")
    if wanted:
        if wanted not in CPU_BACKENDS:
            names = ", ".join(CPU_BACKENDS)
            raise ConfigError(f"FLUORGEN_BACKEND is '{wanted}'; expected one of {names}.")
        if wanted == "openvino" and not is_installed():
            raise ConfigError("FLUORGEN_BACKEND is 'openvino', which is not installed; unset it.")
        return wanted
    if suits(precision):
        return "native"
    return "openvino" if is_installed() else "pytorch"
