"""The engine: a stack and a model go in, stains come out, an event a tile in between."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import Cancelled, DeviceError
from napari_fluorgen.stack import BrightfieldStack
from napari_fluorgen.staining.adapt import Adaptation, Focus, match_stack
from napari_fluorgen.staining.backends import Backend
from napari_fluorgen.staining.budget import Estimate, estimate, plan_run
from napari_fluorgen.staining.events import Notice, Planned, RawResult, StainEvent, TileDone
from napari_fluorgen.staining.journal import Journal
from napari_fluorgen.staining.plan import Plan, plan_tiles, smallest_tile
from napari_fluorgen.staining.rates import record_rate, record_setup
from napari_fluorgen.staining.selftest import OpenedBackend, open_tested_backend
from napari_fluorgen.staining.sinks import ArraySink, Sink, resize_into
from napari_fluorgen.staining.source import TileSource, read_ahead
from napari_fluorgen.staining.stitch import Maps, Stitcher, blend

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

PROBABILITY = "nuclei_probability"


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
    sink: Sink | None = None,
    journal: Journal | None = None,
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
    sink : Sink, optional
        Where the results go as they are finished; into memory if not given.
    journal : Journal, optional
        Where finished tiles are noted. A run with the journal of a stopped one does only the
        tiles that are missing; its sink must hold what the stopped run wrote.

    Yields
    ------
    Planned, TileDone or Notice
        `Planned` once, then `TileDone` for each tile.

    Returns
    -------
    RawResult
        As the value of the generator. The same input gives the same numbers, bit for bit, on the
        same device in the same precision, and in the same tiles: those follow from the memory that
        is free, in coarse steps; `tile_px` sets them.

    Raises
    ------
    InputError, ConfigError, DeviceError, ModelError
        With one sentence for the user.
    Cancelled
        Where `should_stop` said so.
    """
    sink = sink or ArraySink()
    adaptation = match_stack(stack, model.spec, focus=focus, pixel_size_um=pixel_size_um)
    source = TileSource(stack, model.spec, adaptation, partial(_stop_if, should_stop, journal))
    _stop_if(should_stop, journal)
    began = time.perf_counter()
    opened = open_tested_backend(model, device, precision)
    setup = time.perf_counter() - began
    try:
        side = (journal.tile_shape if journal else None) or tile_px
        held = isinstance(sink, ArraySink)
        plan = plan_run(stack, model, adaptation, opened.device, opened.precision, side, held=held)
        messages = [*adaptation.messages, *opened.messages]
        yield Planned(adaptation, plan, opened.device, opened.precision, tuple(messages))

        runner = _Runner(opened.backend, model.spec)
        stitcher = Stitcher(plan.tiles, model.spec.output_names)
        results = _Results(sink, model.spec, plan)
        finished = 0
        if journal:
            finished = journal.begin(plan, _facts(opened, adaptation))
            stitcher.resume(finished, journal.waiting)
        if finished:
            notice = f"The run goes on after {finished} of {len(plan.tiles)} tiles."
            messages.append(notice)
            yield Notice(notice)
        if finished < len(plan.tiles):
            began = time.perf_counter()
            with contextlib.suppress(MemoryError):  # the first tile meets it again and is cut
                opened.backend.prepare(plan.tile_shape, len(plan.tiles) - finished)
            setup += time.perf_counter() - began
            record_setup(model, opened.device, opened.precision, plan.tile_shape, setup)
        _stop_if(should_stop, journal)
        with contextlib.closing(read_ahead(source, plan.tiles[finished:])) as inputs:
            for number, (tile, planes) in enumerate(inputs, start=finished):
                block, maps = stitcher.add(runner.predict(planes))
                results.store(block, maps)
                if journal:
                    journal.record(number, stitcher.waiting())
                for message in runner.take_notices():
                    messages.append(message)
                    yield Notice(message)
                yield TileDone(number + 1, len(plan.tiles), tile)
                if number + 1 < len(plan.tiles):
                    _stop_if(should_stop, journal)
    finally:
        opened.backend.close()
    pixels = (len(plan.tiles) - finished) * plan.tile_shape[0] * plan.tile_shape[1]
    record_rate(model, opened.device, opened.precision, pixels, runner.seconds)
    for _ in results.resized():
        _stop_if(should_stop, journal)
    return RawResult(
        images={stain: results.arrays[stain] for stain in model.spec.stains},
        nuclei_probability=results.arrays[PROBABILITY],
        adaptation=adaptation,
        device=opened.device.name,
        precision=opened.precision,
        backend=opened.backend.name,
        messages=tuple(messages),
        tiles=len(plan.tiles),
        tile_shape=plan.tile_shape,
        seconds=runner.seconds,
        setup_seconds=setup,
    )


class _Results:
    """Turns finished blocks of the canvas into results on the grid of the input."""

    def __init__(self, sink: Sink, spec: ModelSpec, plan: Plan) -> None:
        self._spec, self._plan = spec, plan
        shape = plan.output_shape
        self.arrays = {name: sink.array(name, shape, np.uint16) for name in spec.stains}
        self.arrays[PROBABILITY] = sink.array(PROBABILITY, shape, np.float32)
        self._canvas: dict[str, Any] = {}
        if plan.model_shape != shape:
            for name in spec.output_names:
                self._canvas[name] = sink.scratch(name, plan.model_shape, np.float32)

    def store(self, block: tuple[slice, slice], maps: Maps) -> None:
        """Keep a block; what lies beyond the plane is dropped."""
        rows, columns = (
            slice(side.start, min(side.stop, length))
            for side, length in zip(block, self._plan.model_shape, strict=True)
        )
        if rows.stop <= rows.start or columns.stop <= columns.start:
            return
        for name, values in maps.items():
            inside = values[: rows.stop - rows.start, : columns.stop - columns.start]
            if self._canvas:
                self._canvas[name][rows, columns] = inside
            else:
                self.arrays[name][rows, columns] = self._converted(name, inside)

    def resized(self) -> Iterator[tuple[slice, slice]]:
        """Bring what was kept on the grid of the model to that of the input."""
        for name, canvas in self._canvas.items():
            convert = partial(self._converted, name)
            yield from resize_into(canvas, self.arrays[name], convert)

    def _converted(self, name: str, values: NDArray[np.float32]) -> NDArray[Any]:
        if name == PROBABILITY:
            return np.clip(values, 0, 1)
        return self._spec.outputs[name].to_counts(values)


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


def _facts(opened: OpenedBackend, adaptation: Adaptation) -> dict[str, Any]:
    """What decides the numbers besides request, model and input."""
    return {
        "device": opened.device.name,
        "precision": opened.precision,
        "backend": opened.backend.name,
        "planes": list(adaptation.plane_indices),
        "shape": list(adaptation.model_shape),
    }


def _stop_if(should_stop: Callable[[], bool] | None, journal: Journal | None) -> None:
    if should_stop is None or not should_stop():
        return
    if journal is None or not journal.done:
        raise Cancelled("The run was stopped; nothing was kept.")
    raise Cancelled(f"The run was stopped; its {journal.done} finished tiles are kept.")
