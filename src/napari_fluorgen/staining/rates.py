"""How fast this machine is: measured in earlier runs, or calculated from one convolution.

A run takes three times: to open the model, for the networks (by pixels computed), and for all that
lies around them, from reading to the nuclei (by pixels of the field). Each run leaves what it
measured in a small file in the user's cache, so that the next program knows it as well.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

from napari_fluorgen.staining.cost import (
    layers_of_views,
    model_flops_per_pixel,
    moved_per_pixel,
    native_bytes_per_pixel,
)
from napari_fluorgen.staining.devices import Device, cpu_threads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_fluorgen.models import Model

# The time to move one feature of one pixel through all layers, which comes on top of the
# convolutions' arithmetic: measured on two cores, and shared out among more.
_NATIVE_SECONDS_PER_FEATURE = {"float32": 3e-9, "bfloat16": 3e-9}
_CORE_SECONDS_PER_FEATURE = {"float32": 2.6e-8, "bfloat16": 1e-8, "float16": 1e-8}
_GPU_SECONDS_PER_FEATURE = 5e-11
# Where nothing was measured yet: to open a model, and around the networks.
_SETUP_SECONDS = {"native": 0.8, "openvino": 1.8, "pytorch": 1.8, "cuda": 8.0, "mps": 5.0}
_SECONDS_PER_BYTE = 1.2e-9  # until the system hands memory out: 0.3 to 3 on virtual machines
_AROUND_SECONDS = {"held": 5e-7, "streamed": 1e-6}

_FEWEST_PIXELS = 200_000
_FILE = "pace.json"
_MOST_ENTRIES = 200

_measured: dict[str, float] = {}
_opened: set[tuple[str, tuple[int, int]]] = set()
_flops_per_second: dict[tuple[str, str], float] = {}
_read_from: list[Path | None] = []
_lock = threading.Lock()


def record_rate(model: Model, device: Device, precision: str, pixels: int, seconds: float) -> None:
    """Remember how long the networks took, where they ran long enough to tell."""
    if pixels >= _FEWEST_PIXELS and seconds > 0:
        _record(f"networks {_key(model, device, precision)}", seconds / pixels)


def record_setup(
    model: Model, device: Device, precision: str, tile_shape: tuple[int, int], seconds: float
) -> None:
    """Remember how long a model took to open, unless it was open already."""
    key = _key(model, device, precision)
    tile_shape = _compiled_for(device, precision, tile_shape)
    with _lock:
        warm = (key, tile_shape) in _opened
        _opened.add((key, tile_shape))
    if warm:
        return
    # Later programs find the networks compiled for these tiles, not those for others.
    own = _of_tiles(key, tile_shape)
    if _known(own) is None:
        _record(f"setup {key}", seconds)
    _record(own, seconds)


def record_around(model: Model, pixels: int, seconds: float, *, held: bool) -> None:
    """Remember how long all but the networks took, where the field was large enough to tell."""
    if pixels >= _FEWEST_PIXELS and seconds > 0:
        _record(f"{_way(held)} {model.digest[:16]} on {cpu_threads()} threads", seconds / pixels)


def seconds_per_pixel(model: Model, device: Device, precision: str) -> float:
    """Seconds that the networks of a model take for one pixel on a device."""
    known = _known(f"networks {_key(model, device, precision)}")
    if known is not None:
        return known
    engine = engine_of(device, precision)
    moving = _GPU_SECONDS_PER_FEATURE
    if device.name == "cpu":
        seconds = _NATIVE_SECONDS_PER_FEATURE if engine == "native" else _CORE_SECONDS_PER_FEATURE
        moving = seconds[precision] / cpu_threads()
    arithmetic = model_flops_per_pixel(model.spec) / convolution_rate(device, precision)
    return arithmetic + moved_per_pixel(model.spec) * moving


def setup_seconds(
    model: Model, device: Device, precision: str, tile_shape: tuple[int, int]
) -> float:
    """Seconds until the first tile can run; 0 where this process has the model open."""
    key = _key(model, device, precision)
    compiled = _compiled_for(device, precision, tile_shape)
    with _lock:
        if (key, compiled) in _opened:
            return 0.0
    for known in (_known(_of_tiles(key, compiled)), _known(f"setup {key}")):
        if known is not None:
            return known
    engine = engine_of(device, precision)
    if engine == "native":
        pixels = tile_shape[0] * tile_shape[1]
        reserving = native_bytes_per_pixel(model.spec) * pixels * _SECONDS_PER_BYTE
        return _SETUP_SECONDS[engine] + reserving
    views = layers_of_views(model.spec) if engine == "openvino" else 1
    return _SETUP_SECONDS[engine] * views


def around_seconds_per_pixel(model: Model, *, held: bool) -> float:
    """Seconds for one pixel of a field in all but the networks."""
    known = _known(f"{_way(held)} {model.digest[:16]} on {cpu_threads()} threads")
    return _AROUND_SECONDS[_way(held)] if known is None else known


def convolution_rate(device: Device, precision: str) -> float:
    """Operations a second of a 3x3 convolution, measured once a process in about 0.2 s."""
    key = (device.name, precision)
    with _lock:
        if key in _flops_per_second:
            return _flops_per_second[key]
    run, flops = _convolution(device, precision)
    run()
    times = []
    for _ in range(7):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    with _lock:
        # The shortest: the others tell how busy the machine was for a moment.
        _flops_per_second[key] = flops / min(times)
        return _flops_per_second[key]


def engine_of(device: Device, precision: str) -> str:
    """What computes: a backend of the CPU, or the GPU by its name."""
    from napari_fluorgen.staining.backends import cpu_backend

    return cpu_backend(precision) if device.name == "cpu" else device.name


def _convolution(device: Device, precision: str) -> tuple[Callable[[], object], float]:
    engine = engine_of(device, precision)
    if engine == "native":
        from napari_fluorgen.staining.backends import native

        return native.sample_layer(precision)
    if engine == "openvino":
        from napari_fluorgen.staining.backends import openvino_cpu

        return openvino_cpu.sample_convolution(precision)
    from napari_fluorgen.staining.backends import pytorch

    return pytorch.sample_convolution(device, precision)


def _key(model: Model, device: Device, precision: str) -> str:
    threads = ""
    if device.name == "cpu":
        threads = f" on {cpu_threads()} threads by {engine_of(device, precision)}"
    return f"{model.digest[:16]} {device.label} {precision}{threads}"


def _of_tiles(key: str, tile_shape: tuple[int, int]) -> str:
    return f"setup {key} for {tile_shape[0]} x {tile_shape[1]}"


def _compiled_for(device: Device, precision: str, tile_shape: tuple[int, int]) -> tuple[int, int]:
    """Tiles that a model is opened for: the native kernels are the same for all."""
    return (0, 0) if engine_of(device, precision) == "native" else tile_shape


def _way(held: bool) -> str:
    return "held" if held else "streamed"


def _known(key: str) -> float | None:
    with _lock:
        _read_file()
        return _measured.get(key)


def _record(key: str, value: float) -> None:
    from napari_fluorgen.errors import OutputError
    from napari_fluorgen.io.atomic import atomic_path

    with _lock:
        _read_file()
        _measured.pop(key, None)
        _measured[key] = value
        for oldest in list(_measured)[:-_MOST_ENTRIES]:
            del _measured[oldest]
        path = _path()
        if path is None:
            return
        try:
            with atomic_path(path, overwrite=True) as temporary:
                temporary.write_text(json.dumps(_measured, indent=1), encoding="utf-8")
        except OutputError:
            return  # a full disk must not stop the run over its pace


def _read_file() -> None:
    """Take over what earlier programs measured, once for each cache folder."""
    path = _path()
    if _read_from == [path]:
        return
    _read_from[:] = [path]
    if path is None:
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        values = {str(key): float(value) for key, value in found.items() if float(value) > 0}
    except (OSError, ValueError, TypeError, AttributeError):
        return
    _measured.update({key: value for key, value in values.items() if key not in _measured})


def _path() -> Path | None:
    try:
        from platformdirs import user_cache_path
    except ImportError:
        return None
    return user_cache_path("napari-fluorgen", appauthor=False) / _FILE
