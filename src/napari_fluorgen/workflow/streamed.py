"""A field written to OME-Zarr as it is computed, so that its size does not matter.

What lies in memory is a tile of the network, a window of nuclei, or a chunk; and, for each
nucleus of the field, its row of the table. An unfinished field lies in a hidden folder beside its
place, with the journal of its tiles: `resume` goes on there.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fluorgen.stack import STAINS, BrightfieldStack, StainedField
from napari_fluorgen.workflow.events import FieldDone, Stage
from napari_fluorgen.workflow.field import (
    StopCheck,
    StopPoint,
    given_pixel_size,
    remember_pace,
    run_record,
)
from napari_fluorgen.workflow.heap import return_freed_arrays
from napari_fluorgen.workflow.judging import conclude
from napari_fluorgen.workflow.provenance import describe_input, timestamp, versions
from napari_fluorgen.workflow.request import StainRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import DTypeLike, NDArray

    from napari_fluorgen.confidence import Calibration
    from napari_fluorgen.io.omezarr_write import FieldWriter
    from napari_fluorgen.models import Model

PROBABILITY = "probability"


def stream_field(
    stack: BrightfieldStack,
    request: StainRequest,
    folder: str | Path,
    *,
    model: Model,
    overwrite: bool = False,
    resume: bool = False,
    should_stop: StopCheck | None = None,
) -> Generator[Any, None, tuple[StainedField, list[Path]]]:
    """Stain one stack into an OME-Zarr.

    Parameters
    ----------
    stack : BrightfieldStack
        The focus series; read in parts.
    request : StainRequest
        What is asked for, without intervals.
    folder : path
        Of results; the field becomes ``<name>.ome.zarr`` there.
    model : Model
        The loaded model.
    overwrite : bool
        Whether results of the field may be replaced.
    resume : bool
        Whether to go on with the tiles of a stopped run of the same request, model and input.
    should_stop : callable, optional
        Asked between tiles, windows and blocks.

    Yields
    ------
    Planned, TileDone, Notice, Stage, FieldDone
        As `stain_field`.

    Returns
    -------
    field : StainedField
        Its images are read from disk when they are sliced.
    files : list of Path
        As `write_field`.

    Raises
    ------
    InputError, ModelError, DeviceError, OutputError, Cancelled
        As `stain_field` and `write_field`.
    """
    from napari_fluorgen.confidence import CLASSES, Calibration
    from napari_fluorgen.io import results
    from napari_fluorgen.io.omezarr_write import FieldWriter
    from napari_fluorgen.staining import stain_arrays
    from napari_fluorgen.staining.journal import Journal

    started, began = timestamp(), time.perf_counter()
    work = unfinished_folder(Path(folder), stack)
    return_freed_arrays()
    if not resume:
        shutil.rmtree(work, ignore_errors=True)
    check = StopPoint(should_stop)
    described = describe_input(stack, check)
    path = work / "field.ome.zarr"
    if not (path / "zarr.json").is_file():  # without the pixels a journal counts for nothing
        shutil.rmtree(work, ignore_errors=True)
    journal = Journal(work, _key(request, model, described))
    stored = model.calibration
    calibration = None if stored is None else Calibration.from_arrays(stored)
    hypotheses = () if calibration is None else CLASSES
    stains = [stain for stain in STAINS if stain in model.spec.stains]
    maps = [PROBABILITY, *(f"p-{name}" for name in hypotheses)]
    writer = FieldWriter(path, stack.shape[1:], stains, maps)
    raw = yield from stain_arrays(
        stack,
        model,
        **request.engine_settings(),
        should_stop=should_stop,
        sink=_ZarrSink(writer, work / "scratch.zarr"),
        journal=journal,
    )
    yield Stage("segmentation")
    rows = NucleiRows(writer, work / "nuclei.zarr", calibration, request)
    rows.find(model, raw.adaptation.pixel_size_um, check)
    nuclei = rows.number(check)
    judgement = conclude(nuclei, rows.histogram, calibration)
    yield Stage("writing")
    size = given_pixel_size(request) or stack.pixel_size_um
    writer.finish(stack.identity.name, size, check)
    record = run_record(described, request, model, raw, started)
    record["confidence"] = judgement.record
    record["messages"] += judgement.messages
    field = StainedField(
        identity=stack.identity,
        pixel_size_um=size,
        **_arrays(path),
        provenance=record,
        channel_files=dict(stack.channel_files),
        nuclei=judgement.nuclei,
        verdict=judgement.verdict,
    )
    files = results.write_field(
        field, folder, format="ome-zarr", overwrite=overwrite, prepared=path
    )
    shutil.rmtree(work, ignore_errors=True)
    field = replace(field, **_arrays(files[0]))
    if not resume:
        remember_pace(model, raw, stack.shape[1:], time.perf_counter() - began, held=False)
    yield FieldDone(field)
    return field, files


def _arrays(path: Path) -> dict[str, Any]:
    """Images of a field on disk, as `StainedField` names them."""
    from napari_fluorgen.io.omezarr_write import open_stained_arrays

    arrays = open_stained_arrays(path)
    return {
        "images": {stain: arrays[stain] for stain in STAINS if stain in arrays},
        "nuclei_probability": arrays[PROBABILITY],
        "nuclei_labels": arrays["labels"],
        "p_values": {key[2:]: array for key, array in arrays.items() if key.startswith("p-")},
    }


def unfinished_folder(folder: Path, stack: BrightfieldStack) -> Path:
    """Where the field of a stack lies until it is finished."""
    from napari_fluorgen.io.results import file_stem

    return folder / f".{file_stem(stack.identity)}.unfinished"


class _ZarrSink:
    """Sends what the engine finishes to the channels of a field on disk."""

    def __init__(self, writer: FieldWriter, scratch: Path) -> None:
        self._writer, self._scratch = writer, scratch

    def array(self, name: str, shape: tuple[int, int], dtype: DTypeLike) -> Any:
        return self._writer.channel(PROBABILITY if name == "nuclei_probability" else name)

    def scratch(self, name: str, shape: tuple[int, int], dtype: DTypeLike) -> Any:
        from napari_fluorgen.io.omezarr_write import scratch_array

        return scratch_array(self._scratch, name, shape, dtype)


class NucleiRows:
    """Nuclei of a field on disk: found window by window, then numbered.

    Parameters
    ----------
    writer : FieldWriter
        Holds the probability; gains p-values and labels.
    scratch : Path
        For labels that are not numbered yet.
    calibration : Calibration or None
        Of the model.
    request : StainRequest
        For significance and the tolerated share of wrong nuclei.

    Attributes
    ----------
    histogram : ndarray of float32 or None
        `probability_histogram` of the field.
    """

    def __init__(
        self,
        writer: FieldWriter,
        scratch: Path,
        calibration: Calibration | None,
        request: StainRequest,
    ) -> None:
        self._writer, self._scratch = writer, scratch
        self._calibration, self._request = calibration, request
        self._tables: list[dict[str, NDArray[Any]]] = []
        self._places: list[NDArray[np.int64]] = []
        self._number = 0
        self.histogram: NDArray[np.float32] | None = None

    def find(self, model: Model, pixel_size_um: tuple[float, float], check: StopPoint) -> None:
        """Write the p-values, and find the nuclei of each window."""
        import numpy as np

        from napari_fluorgen.confidence import p_value_maps
        from napari_fluorgen.confidence.fields import probability_histogram
        from napari_fluorgen.io.omezarr_write import scratch_array
        from napari_fluorgen.segmentation import segment_nuclei
        from napari_fluorgen.segmentation.windows import windows

        probabilities = self._writer.channel(PROBABILITY)
        shape = probabilities.shape
        self._unnumbered = scratch_array(self._scratch, "labels", shape, np.uint32, new=True)
        total: Any = 0.0
        for window in windows(shape):
            check()
            probability = probabilities[window.outer]
            p_values = p_value_maps(probability, self._calibration)
            for name, values in p_values.items():
                self._writer.channel(f"p-{name}")[window.core] = values[window.local]
            core = probability[window.local]
            total = total + core.size * probability_histogram(core).astype(np.float64)
            labels = segment_nuclei(
                probability,
                pixel_size_um=pixel_size_um,
                **model.spec.nuclei.model_dump(),
            )
            self._keep(labels, probability, p_values, window)
        self.histogram = (total / (shape[0] * shape[1])).astype(np.float32)

    def _keep(
        self,
        labels: NDArray[np.uint32],
        probability: NDArray[np.float32],
        p_values: Mapping[str, NDArray[np.float32]],
        window: Any,
    ) -> None:
        import numpy as np

        from napari_fluorgen.confidence import object_confidence
        from napari_fluorgen.segmentation.windows import first_pixels, new_nuclei

        before = np.asarray(self._unnumbered[window.outer])
        own = new_nuclei(labels, before, window)
        calibration = self._calibration
        table = object_confidence(
            labels,
            p_values,
            probability=probability,
            significance=self._request.significance,
            calibration=None if calibration is None else calibration.objects,
            fdr=self._request.fdr,
        )
        self._tables.append({name: values[own] for name, values in table.items()})
        if labels.shape == self._unnumbered.shape:
            places = np.arange(own.size)  # one window: the numbers are those of a held field
        else:
            rows, columns = first_pixels(labels)
            top, left = (side.start for side in window.outer)
            places = (rows + top) * self._unnumbered.shape[1] + columns + left
        self._places.append(places[own])
        numbers = np.zeros(own.size + 1, np.uint32)
        count = int(own.sum())
        numbers[1:][own] = np.arange(self._number + 1, self._number + count + 1)
        self._number += count
        self._unnumbered[window.outer] = np.where(before, before, numbers[labels])

    def number(self, check: StopPoint) -> dict[str, NDArray[Any]]:
        """Write the numbered labels, and return `StainedField.nuclei`.

        Several windows are numbered in reading order of the nuclei, one as `segment_nuclei` does.
        """
        import numpy as np

        from napari_fluorgen.confidence.objects import decide
        from napari_fluorgen.confidence.table import as_nuclei
        from napari_fluorgen.io.blocks import blocks

        order = np.argsort(np.concatenate(self._places))
        final = np.zeros(order.size + 1, np.uint32)
        final[1:][order] = np.arange(1, order.size + 1)
        dtype = np.uint16 if order.size <= 0xFFFF else np.uint32
        target = self._writer.labels(dtype)
        for block in blocks(target.shape):
            check()
            target[block] = final[self._unnumbered[block]].astype(dtype)
        table = {
            name: np.concatenate([part[name] for part in self._tables])[order]
            for name in self._tables[0]
        }
        table["label"] = np.arange(1, order.size + 1)
        objects = None if self._calibration is None else self._calibration.objects
        if objects is not None:
            table["decision"] = decide(table["score"], objects, self._request.fdr)
        return as_nuclei(table)


def _key(request: StainRequest, model: Model, described: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the pixels of a run; the machine adds how it computes them."""
    asked = request.to_record()
    for later in ("significance", "fdr", "intervals"):
        asked.pop(later, None)
    return {
        "request": asked,
        "model": model.digest,
        "input": described["digest"],
        "version": versions()["napari-fluorgen"],
    }
