"""How fast a device runs a model: measured in earlier runs, or calculated from one convolution."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from napari_fluorgen.staining.cost import features_per_pixel, model_flops_per_pixel
from napari_fluorgen.staining.devices import Device, cpu_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_fluorgen.models import Model

# A convolution of the networks against a lone wide one, and the time to move one feature of one
# pixel through all layers: measured on two cores, and shared out among more.
_SHARE_OF_CONVOLUTION = 0.9
_CORE_SECONDS_PER_FEATURE = {"float32": 4e-8, "bfloat16": 1.6e-8, "float16": 1.6e-8}
_GPU_SECONDS_PER_FEATURE = 5e-11

_FEWEST_PIXELS = 200_000
_seconds_per_pixel: dict[tuple[str, str, str], float] = {}
_flops_per_second: dict[tuple[str, str], float] = {}
_lock = threading.Lock()


def record_rate(model: Model, device: Device, precision: str, pixels: int, seconds: float) -> None:
    """Remember how long a run took, where it was long enough to tell."""
    if pixels >= _FEWEST_PIXELS and seconds > 0:
        with _lock:
            _seconds_per_pixel[model.digest, device.name, precision] = seconds / pixels


def seconds_per_pixel(model: Model, device: Device, precision: str) -> float:
    """Seconds that the networks of a model take for one pixel on a device."""
    with _lock:
        known = _seconds_per_pixel.get((model.digest, device.name, precision))
    if known is not None:
        return known
    rate = convolution_rate(device, precision) * _SHARE_OF_CONVOLUTION
    moving = (
        _CORE_SECONDS_PER_FEATURE[precision] / cpu_threads()
        if device.name == "cpu"
        else _GPU_SECONDS_PER_FEATURE
    )
    traffic = features_per_pixel(model.spec) * moving
    return model_flops_per_pixel(model.spec) / rate + traffic


def convolution_rate(device: Device, precision: str) -> float:
    """Operations a second of a 3x3 convolution, measured once a process in about 0.2 s."""
    key = (device.name, precision)
    with _lock:
        if key in _flops_per_second:
            return _flops_per_second[key]
    run, flops = _convolution(device, precision)
    run()
    times = []
    for _ in range(3):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    with _lock:
        _flops_per_second[key] = flops / sorted(times)[1]
        return _flops_per_second[key]


def _convolution(device: Device, precision: str) -> tuple[Callable[[], object], float]:
    if device.name == "cpu":
        from napari_fluorgen.staining.backends import openvino_cpu

        if openvino_cpu.is_installed():
            return openvino_cpu.sample_convolution(precision)
    from napari_fluorgen.staining.backends import pytorch

    return pytorch.sample_convolution(device, precision)
