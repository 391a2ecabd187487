"""A device is trusted only after it has computed the package's own test tensors."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_fluorgen.errors import DeviceError, FluorgenError
from napari_fluorgen.staining.backends import Backend, open_backend
from napari_fluorgen.staining.devices import Device, resolve_device, resolve_precision

if TYPE_CHECKING:
    from napari_fluorgen.models import Model

TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2, "float16": 2e-2}
"""Mean absolute deviation allowed, of full scale: far above rounding, far below nonsense."""

_passed: set[tuple[str, str, str, str]] = set()
_lock = threading.Lock()


@dataclass(frozen=True)
class OpenedBackend:
    """A backend that passed the test, where it runs, and what the user should know."""

    backend: Backend
    device: Device
    precision: str
    messages: tuple[str, ...]


def open_tested_backend(model: Model, device: str, precision: str) -> OpenedBackend:
    """Open a model on a device, or on the CPU where the device gives wrong numbers.

    Parameters
    ----------
    model : Model
        The model.
    device, precision : str
        As in `stain_arrays`.

    Returns
    -------
    OpenedBackend

    Raises
    ------
    DeviceError
        Where the CPU itself fails the test.
    """
    found = resolve_device(device)
    wanted = resolve_precision(precision, found)
    try:
        return OpenedBackend(_open(model, found, wanted), found, wanted, ())
    except (DeviceError, MemoryError) as error:
        reason = str(error) if isinstance(error, FluorgenError) else "too little memory."
        if found.name == "cpu" and wanted == "float32":
            if isinstance(error, FluorgenError):
                raise
            raise DeviceError(
                f"{found.label} has too little memory for model '{model.spec.name}'; close other "
                "programs."
            ) from error
    cpu = resolve_device("cpu")
    message = f"{reason.rstrip('.')}: the CPU is used, in float32."
    return OpenedBackend(_open(model, cpu, "float32"), cpu, "float32", (message,))


def deviations(model: Model, backend: Backend) -> dict[str, float]:
    """Mean absolute deviation of each map from what the package stores."""
    tensor, expected = model.test_tensors()
    maps = backend.predict(tensor)
    return {
        name: float(np.abs(maps[name] - array.reshape(maps[name].shape)).mean())
        for name, array in expected.items()
    }


def _open(model: Model, device: Device, precision: str) -> Backend:
    backend = open_backend(model, device, precision)
    key = (model.digest, device.name, precision, backend.name)
    with _lock:
        known = key in _passed
    if known:
        return backend
    try:
        found = deviations(model, backend)
        worst = max(found, key=lambda name: found[name] if np.isfinite(found[name]) else np.inf)
        if not found[worst] <= TOLERANCE[precision]:
            raise DeviceError(
                f"{device.label} computes wrong numbers in {precision}: {worst} deviates by "
                f"{found[worst]:.2g} of full scale from the test in model '{model.spec.name}', "
                f"allowed are {TOLERANCE[precision]:g}."
            )
    except BaseException:
        backend.close()
        raise
    with _lock:
        _passed.add(key)
    return backend
