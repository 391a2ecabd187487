"""How fast a device runs a model: measured in earlier runs, or calculated from one convolution."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from napari_fluorgen.staining.cost import model_flops_per_pixel
from napari_fluorgen.staining.devices import Device

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_fluorgen.models import Model

SHARE_OF_CONVOLUTION = {"float32": 0.6, "bfloat16": 0.5, "float16": 0.25}
"""Speed of the whole networks against that of one wide convolution: dense blocks are bound by
memory traffic."""

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
    rate = convolution_rate(device, precision) * SHARE_OF_CONVOLUTION[precision]
    return model_flops_per_pixel(model.spec) / rate


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
