"""What computes a tile: one file a backend, all with the same few methods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.staining.devices import Device

if TYPE_CHECKING:
    from napari_fluorgen.models import Model


class Backend(Protocol):
    """Runs all networks of a model on tiles.

    Attributes
    ----------
    name : str
        ``"openvino"`` or ``"pytorch"``.
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
    DeviceError
        Where the device or its software does not work.
    """
    if device.name == "cpu":
        from napari_fluorgen.staining.backends.openvino_cpu import OpenVinoBackend, is_installed

        if is_installed():
            return OpenVinoBackend(model, precision)
    from napari_fluorgen.staining.backends.pytorch import PyTorchBackend

    return PyTorchBackend(model, device, precision)
