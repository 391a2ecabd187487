"""One stack through the whole path: stains, p-value maps, nuclei, provenance."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from napari_fluorgen.errors import Cancelled
from napari_fluorgen.stack import BrightfieldStack, StainedField
from napari_fluorgen.workflow.events import FieldDone, Stage
from napari_fluorgen.workflow.interval_widths import interval_widths
from napari_fluorgen.workflow.judging import judge
from napari_fluorgen.workflow.provenance import describe_input, timestamp, versions
from napari_fluorgen.workflow.request import DEFAULT_MODEL, StainRequest

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from napari_fluorgen.models import Model
    from napari_fluorgen.staining import RawResult

StopCheck = Callable[[], bool]


class StopPoint:
    """Raises `Cancelled` when called, where the user wants to stop."""

    def __init__(self, should_stop: StopCheck | None) -> None:
        self._should_stop = should_stop

    def __call__(self) -> None:
        """Raise where the answer is yes."""
        if self._should_stop is not None and self._should_stop():
            raise Cancelled("The run was stopped; its finished tiles are kept.")


def stain_field(
    stack: BrightfieldStack,
    request: StainRequest,
    *,
    model: Model | None = None,
    should_stop: StopCheck | None = None,
) -> Generator[Any, None, StainedField]:
    """Stain one stack, reporting each step.

    Parameters
    ----------
    stack : BrightfieldStack
        The focus series.
    request : StainRequest
        What is asked for.
    model : Model, optional
        The loaded model; read by the request's name otherwise.
    should_stop : callable, optional
        Asked between tiles and between stages.

    Yields
    ------
    Planned, TileDone, Notice, Stage, FieldDone
        `Planned` first, `FieldDone` last.

    Returns
    -------
    StainedField
        On the grid of `stack`.

    Raises
    ------
    InputError
        When the stack cannot be stained (not 3D, NaN, constant).
    ModelError, DeviceError
        When the model or the device is unknown or fails.
    Cancelled
        When `should_stop` returned true.
    """
    from napari_fluorgen.confidence import Calibration, p_value_maps
    from napari_fluorgen.models import load_model
    from napari_fluorgen.segmentation import segment_nuclei
    from napari_fluorgen.staining import stain_arrays

    started, began = timestamp(), time.perf_counter()
    if model is None:
        model = load_model(request.model)
    raw = yield from stain_arrays(
        stack,
        model,
        **request.engine_settings(),
        should_stop=should_stop,
    )
    yield _stage("confidence", should_stop)
    stored = model.calibration
    calibration = None if stored is None else Calibration.from_arrays(stored)
    p_values = p_value_maps(raw.nuclei_probability, calibration)
    yield _stage("segmentation", should_stop)
    labels = segment_nuclei(
        raw.nuclei_probability,
        pixel_size_um=raw.adaptation.pixel_size_um,
        **model.spec.nuclei.model_dump(),
    )
    judgement = judge(labels, raw.nuclei_probability, p_values, calibration, request)
    record = run_record(describe_input(stack), request, model, raw, started) | {
        "confidence": judgement.record
    }
    widths: dict[str, NDArray[np.uint16]] = {}
    missing: str | None = None
    if request.intervals:
        shape = raw.adaptation.model_shape
        widths, missing = interval_widths(raw.images, model.spec, calibration, shape)
    record["messages"] += [*judgement.messages, *([] if missing is None else [missing])]
    field = StainedField(
        identity=stack.identity,
        pixel_size_um=given_pixel_size(request) or stack.pixel_size_um,
        images=dict(raw.images),
        nuclei_probability=raw.nuclei_probability,
        nuclei_labels=labels,
        p_values=p_values,
        provenance=record,
        channel_files=dict(stack.channel_files),
        nuclei=judgement.nuclei,
        verdict=judgement.verdict,
        widths=widths,
    )
    remember_pace(model, raw, field.shape, time.perf_counter() - began, held=True)
    yield FieldDone(field)
    return field


def remember_pace(
    model: Model, raw: RawResult, shape: tuple[int, int], seconds: float, *, held: bool
) -> None:
    """Keep what a run took around the networks, for the next estimate."""
    from napari_fluorgen.staining.rates import record_around

    around = seconds - raw.seconds - raw.setup_seconds
    record_around(model, shape[0] * shape[1], around, held=held)


def stain(
    stack: BrightfieldStack,
    model: Model | str | Path = DEFAULT_MODEL,
    *,
    device: str = "auto",
    precision: str = "auto",
    focus: str = "auto",
    pixel_size_um: float | None = None,
    significance: float = 0.05,
    fdr: float = 0.1,
    intervals: bool = False,
    tile_px: int | None = None,
    progress: Callable[[Any], None] | None = None,
    should_stop: StopCheck | None = None,
) -> StainedField:
    """Stain one stack.

    Parameters
    ----------
    stack : BrightfieldStack
        The focus series, from `read_stack`.
    model : Model, str or path
        A loaded model, the name of an installed one, or a package's folder.
    device : {"auto", "cpu", "cuda", "mps"}
        Where the networks run; auto takes the fastest that exists.
    precision : {"auto", "float32", "bfloat16"}
        Arithmetic; auto is what the device has natively.
    focus : {"auto", "as-is", "flipped"}
        Order of the planes: known or guessed, as they stand, or reversed.
    pixel_size_um : float, optional
        Micrometres a pixel, overriding what the file says.
    significance : float
        Of the prediction regions; recorded, the p-values do not depend on it.
    fdr : float
        Share of wrong nuclei that is tolerated among the accepted ones.
    intervals : bool
        Whether to give the width of the intervals of lipids and cytoplasm as well.
    tile_px : int, optional
        Largest side of a tile in pixels; by default what fits the memory.
    progress : callable, optional
        Called with every event (see `stain_field`).
    should_stop : callable, optional
        Asked between tiles; a true answer raises `Cancelled`.

    Returns
    -------
    StainedField
        Images (uint16), nuclei probability (float32), labels (uint32) and p-value maps
        (float32), all of shape (Y, X) on the grid of `stack`.

    Raises
    ------
    FluorgenError
        With one sentence that says what to do.
    """
    from napari_fluorgen.models import Model, load_model

    loaded = model if isinstance(model, Model) else load_model(model)
    name = loaded.spec.name if isinstance(model, Model) else str(model)
    request = StainRequest.build(
        model=name,
        device=device,
        precision=precision,
        focus=focus,
        pixel_size_um=pixel_size_um,
        significance=significance,
        fdr=fdr,
        intervals=intervals,
        tile_px=tile_px,
    )
    return drain(stain_field(stack, request, model=loaded, should_stop=should_stop), progress)


def drain(run: Generator[Any, None, Any], progress: Callable[[Any], None] | None = None) -> Any:
    """Run a generator of events to its end and return its result."""
    while True:
        try:
            event = next(run)
        except StopIteration as stop:
            return stop.value
        if progress is not None:
            progress(event)


def given_pixel_size(request: StainRequest) -> tuple[float, float] | None:
    """Micrometres a pixel (y, x) that a request asks for, if it does."""
    size = request.pixel_size_um
    return None if size is None else (size, size)


def _stage(name: str, should_stop: StopCheck | None) -> Stage:
    if should_stop is not None and should_stop():
        raise Cancelled(f"The run was stopped before {name}.")
    return Stage(name)


def run_record(
    described: dict[str, Any],
    request: StainRequest,
    model: Model,
    raw: RawResult,
    started: str,
) -> dict[str, Any]:
    """Return the provenance of a field whose input `describe_input` has described."""
    return {
        "request": request.to_record(),
        "input": described,
        "model": {
            "name": model.spec.name,
            "version": model.spec.version,
            "digest": model.digest,
            "simulated": model.spec.simulated,
            "nuclei": model.spec.nuclei.model_dump(mode="json"),
        },
        "device": raw.device,
        "precision": raw.precision,
        "backend": raw.backend,
        "tiles": {"number": raw.tiles, "shape": list(raw.tile_shape)},
        "messages": list(raw.messages),
        "versions": versions(),
        "started": started,
        "finished": timestamp(),
    }
