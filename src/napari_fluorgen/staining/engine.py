"""The engine: a stack and a model go in, stains come out, an event a tile in between."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import Cancelled, DeviceError
from napari_fluorgen.stack import BrightfieldStack
from napari_fluorgen.staining import resample
from napari_fluorgen.staining.adapt import Focus, match_stack
from napari_fluorgen.staining.backends import Backend
from napari_fluorgen.staining.budget import Estimate, estimate, plan_run
from napari_fluorgen.staining.events import Notice, Planned, RawResult, StainEvent, TileDone
from napari_fluorgen.staining.plan import blend, plan_tiles, smallest_tile
from napari_fluorgen.staining.rates import record_rate
from napari_fluorgen.staining.selftest import open_tested_backend
from napari_fluorgen.staining.source import TileSource

if TYPE_CHECKING:
    from napari_fluorgen.models import Model, ModelSpec

__all__ = [
    "Estimate",
    "Notice",
    "Planned",
    "RawResult",
    "StainEvent",
    "TileDone",
    "estimate",
    "stain_arrays",
]

Maps = dict[str, NDArray[np.float32]]


def stain_arrays(
    stack: BrightfieldStack,
    model: Model,
    *,
    device: str = "auto",
    precision: str = "auto",
    focus: Focus = "auto",
    pixel_size_um: float | tuple[float, float] | None = None,
    tile_px: int | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Generator[StainEvent, None, RawResult]:
    """Stain a stack.

    Parameters
    ----------
    stack : BrightfieldStack
        The stack; read tile by tile.
    model : Model
        An opened model package.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to run.
    precision : {"auto", "float32", "bfloat16"}
        ``"auto"`` takes what the device computes fastest within its accuracy.
    focus : {"auto", "as-is", "flipped"}
        Direction of focus, see `match_stack`.
    pixel_size_um : float or tuple of float, optional
        Micrometres a pixel, overriding what the stack says.
    tile_px : int, optional
        Largest side of a tile; chosen from the memory if not given.
    should_stop : callable, optional
        Asked between tiles.

    Yields
    ------
    Planned, TileDone or Notice
        `Planned` once, then `TileDone` for each tile.

    Returns
    -------
    RawResult
        As the value of the generator. The same input gives the same numbers, bit for bit, on the
        same device in the same precision.

    Raises
    ------
    InputError, ConfigError, DeviceError, ModelError
        With one sentence for the user.
    Cancelled
        Where `should_stop` said so.
    """
    adaptation = match_stack(stack, model.spec, focus=focus, pixel_size_um=pixel_size_um)
    source = TileSource(stack, model.spec, adaptation)
    _stop_if(should_stop)
    opened = open_tested_backend(model, device, precision)
    try:
        plan = plan_run(stack, model, adaptation, opened.device, opened.precision, tile_px)
        messages = [*adaptation.messages, *opened.messages]
        yield Planned(adaptation, plan, opened.device, opened.precision, tuple(messages))

        runner = _Runner(opened.backend, model.spec)
        maps: Maps = {
            name: np.zeros(plan.canvas_shape, np.float32) for name in model.spec.output_names
        }
        with contextlib.suppress(MemoryError):  # the first tile meets it again and is cut
            opened.backend.prepare(plan.tile_shape)
        _stop_if(should_stop)
        for done, tile in enumerate(
            blend(plan.tiles, lambda tile: runner.predict(source.read(*tile.outer)), maps), start=1
        ):
            for message in runner.take_notices():
                messages.append(message)
                yield Notice(message)
            yield TileDone(done, len(plan.tiles), tile)
            if done < len(plan.tiles):
                _stop_if(should_stop)
    finally:
        opened.backend.close()
    record_rate(model, opened.device, opened.precision, plan.computed_pixels, runner.seconds)
    rows, columns = adaptation.model_shape
    images = {}
    for stain in model.spec.stains:
        plane = resample.resize(maps.pop(stain)[:rows, :columns], plan.output_shape)
        images[stain] = model.spec.outputs[stain].to_counts(plane)
    probability = maps.pop("nuclei_probability", np.zeros(plan.canvas_shape, np.float32))
    probability = resample.resize(probability[:rows, :columns], plan.output_shape)
    return RawResult(
        images=images,
        nuclei_probability=np.ascontiguousarray(np.clip(probability, 0, 1)),
        adaptation=adaptation,
        device=opened.device.name,
        precision=opened.precision,
        backend=opened.backend.name,
        messages=tuple(messages),
        tiles=len(plan.tiles),
        tile_shape=plan.tile_shape,
        seconds=runner.seconds,
    )


class _Runner:
    """Predicts tiles; cuts them into smaller ones where the device has too little memory."""

    def __init__(self, backend: Backend, spec: ModelSpec) -> None:
        self._backend = backend
        self._spec = spec
        self._limit: int | None = None
        self._notices: list[str] = []
        self.seconds = 0.0

    def predict(self, tile: NDArray[np.float32]) -> Maps:
        started = time.perf_counter()
        maps = self._within_limit(tile)
        self.seconds += time.perf_counter() - started
        return maps

    def take_notices(self) -> list[str]:
        notices, self._notices = self._notices, []
        return notices

    def _within_limit(self, tile: NDArray[np.float32]) -> Maps:
        side = max(tile.shape[2:])
        if self._limit is None or side <= self._limit:
            try:
                return {name: maps[0] for name, maps in self._backend.predict(tile).items()}
            except MemoryError:
                self._halve(side)
        return self._in_parts(tile)

    def _halve(self, side: int) -> None:
        divisor = self._spec.divisor
        half = side // 2 // divisor * divisor
        if half < smallest_tile(0, divisor):
            raise DeviceError(
                f"The device has too little memory for a tile of {side} pixels; close other "
                "programs that use it, or choose device 'cpu'."
            )
        self._limit = half
        self._notices.append(
            f"The device ran out of memory with tiles of {side} pixels; it goes on with {half}."
        )

    def _in_parts(self, tile: NDArray[np.float32]) -> Maps:
        assert self._limit is not None
        height, width = tile.shape[2:]
        # As much of the overlap as parts of this size can afford.
        spare = (self._limit - smallest_tile(0, self._spec.divisor)) // 2
        overlap = min(self._spec.overlap_px, spare // self._spec.divisor * self._spec.divisor)
        plan = plan_tiles((height, width), self._limit, overlap, self._spec.divisor)
        out: Maps = {
            name: np.zeros((height, width), np.float32) for name in self._spec.output_names
        }
        for _ in blend(
            plan.tiles,
            lambda part: self._within_limit(np.ascontiguousarray(tile[(..., *part.outer)])),
            out,
        ):
            pass
        return out


def _stop_if(should_stop: Callable[[], bool] | None) -> None:
    if should_stop is not None and should_stop():
        raise Cancelled("The run was stopped; nothing was kept.")
