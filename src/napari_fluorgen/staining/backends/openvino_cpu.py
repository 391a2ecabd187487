"""OpenVINO on the CPU: all networks of a model in one compiled graph.

The graph is read from the package's ONNX file, which takes a fraction of the time of tracing the
torch modules and needs no torch; a package without one is traced. Compiled graphs are kept warm in
a small cache, so that a second run starts at once, and on disk, so that the next process starts
quickly; both are bounded.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import DeviceError
from napari_fluorgen.staining.backends.dense_blocks import split_concatenations
from napari_fluorgen.staining.backends.warm import Warm
from napari_fluorgen.staining.devices import cpu_threads

if TYPE_CHECKING:
    from napari_fluorgen.models import Model

CACHE_BYTES = 512_000_000
KEPT_PX = 2**19
"""Pixels of a tile up to which a warm graph keeps its working memory between runs."""
_HINTS = {"float32": "f32", "bfloat16": "bf16"}

warm_graphs = Warm(4)


class OpenVinoBackend:
    """Backend on the CPU.

    Parameters
    ----------
    model : Model
        The model.
    precision : str
        ``"float32"`` or ``"bfloat16"``.
    """

    name = "openvino"

    def __init__(self, model: Model, precision: str) -> None:
        self._model = model
        self._precision = precision

    def prepare(self, tile_shape: tuple[int, int], tiles: int) -> None:
        """Compile the graph for tiles of this shape."""
        self._graph(tile_shape)

    def predict(self, batch: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Return the maps of each tile of the batch; see `Backend.predict`."""
        graph = self._graph(batch.shape[2:])
        maps: dict[str, NDArray[np.float32]] = {}
        for index, tile in enumerate(batch):
            # A request of its own: two threads may use one warm graph.
            try:
                outputs = graph.create_infer_request().infer([tile[None]])
            except RuntimeError as error:
                raise _translated(error) from error
            for name, output in zip(self._model.spec.output_names, outputs.values(), strict=True):
                whole = maps.setdefault(name, np.empty((len(batch), *batch.shape[2:]), np.float32))
                whole[index] = output[0, 0]
        return maps

    def profile(self, batch: NDArray[np.float32]) -> dict[str, float]:
        """Seconds by type of layer and its implementation for the first tile, longest first."""
        shape = batch.shape[2:]
        request = self._compile(shape, cpu_threads(), PERF_COUNT=True).create_infer_request()
        request.infer([batch[:1]])
        request.infer([batch[:1]])
        seconds: Counter[str] = Counter()
        for layer in request.profiling_info:
            kind = f"{layer.node_type}, {layer.exec_type}"
            seconds[kind] += layer.real_time.total_seconds()
        return {kind: spent for kind, spent in seconds.most_common() if spent > 0}

    def close(self) -> None:
        """Give the working memory of large tiles back; the graphs stay compiled."""
        for (digest, shape, *_), graph in warm_graphs.items():
            if digest == self._model.digest and math.prod(shape) > KEPT_PX:
                graph.release_memory()  # waits for another run that uses it

    def _graph(self, shape: tuple[int, ...]) -> Any:
        threads = cpu_threads()
        key = (self._model.digest, shape, self._precision, threads)
        return warm_graphs.take(key, lambda: self._compile(shape, threads))

    def _compile(self, shape: tuple[int, ...], threads: int, **more: Any) -> Any:
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": _HINTS[self._precision],
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            **more,
        }
        folder = cache_folder()
        if folder is not None:
            settings["CACHE_DIR"] = str(folder)
        try:
            network = self._read()
            network.reshape([1, self._model.spec.planes, *shape])
            split_concatenations(network, import_openvino().opset13)
            graph = _core().compile_model(network, "CPU", settings)
        except RuntimeError as error:
            raise _translated(error) from error
        if folder is not None:
            prune_cache(folder)
        return graph

    def _read(self) -> Any:
        """The networks as a graph of OpenVINO."""
        path = self._model.onnx
        if path is not None:
            return _core().read_model(path)
        import torch

        spec = self._model.spec
        example = torch.zeros(1, spec.planes, 2 * spec.divisor, 2 * spec.divisor)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # OpenVINO reads what is traced
            traced = torch.jit.trace(self._model.combined(), example, check_trace=False)
            return import_openvino().convert_model(traced, example_input=example)


def is_installed() -> bool:
    """Whether OpenVINO can be imported."""
    return importlib.util.find_spec("openvino") is not None


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    On import it reports to its makers over the network unless its telemetry package is missing;
    a laboratory's data machine should not, and an offline one should not wait for it.
    """
    name = "openvino_telemetry"
    if "openvino" in sys.modules or name in sys.modules:
        import openvino

        return openvino
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        import openvino
    finally:
        del sys.modules[name]
    return openvino


def capabilities() -> tuple[str, ...]:
    """What OpenVINO says that the CPU computes natively, such as ``"BF16"``."""
    if not is_installed():
        return ()
    return tuple(_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"))


@cache
def cache_folder() -> Path | None:
    """Folder of the compiled graphs, or None where it cannot be written."""
    from platformdirs import user_cache_path

    folder = user_cache_path("napari-fluorgen", appauthor=False) / "openvino"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def prune_cache(folder: Path, limit: int = CACHE_BYTES) -> None:
    """Remove the compiled graphs that were not used for longest, beyond `limit` bytes."""
    found = []
    with contextlib.suppress(OSError):
        for path in folder.glob("*.blob"):
            facts = path.stat()
            found.append((max(facts.st_atime, facts.st_mtime), facts.st_size, path))
    held = 0
    for _, size, path in sorted(found, reverse=True):
        held += size
        if held > limit:
            with contextlib.suppress(OSError):  # another process reads it, or was quicker
                path.unlink()


def sample_convolution(precision: str) -> tuple[Callable[[], object], float]:
    """Return a 3x3 convolution to time, and its number of operations."""
    ov = import_openvino()
    channels, side = 64, 128
    planes = ov.opset13.parameter([1, channels, side, side], np.float32)
    weights = np.full((channels, channels, 3, 3), 1e-3, np.float32)
    layer = ov.opset13.convolution(planes, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    network = ov.Model([layer], [planes])
    settings = {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": cpu_threads(),
    }
    request = _core().compile_model(network, "CPU", settings).create_infer_request()
    values = np.ones((1, channels, side, side), np.float32)
    return lambda: request.infer([values]), 2.0 * 9 * channels * channels * side * side


@cache
def _core() -> Any:
    return import_openvino().Core()


def _translated(error: RuntimeError) -> Exception:
    text = str(error)
    if any(word in text.lower() for word in ("bad_alloc", "out of memory", "allocate")):
        return MemoryError(text)
    line = text.strip().splitlines()[-1] if text.strip() else "no reason given"
    return DeviceError(f"OpenVINO failed on the CPU ({line}); run 'fluorgen doctor'.")
