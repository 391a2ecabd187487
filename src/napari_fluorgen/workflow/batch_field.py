"""One field of a batch: left as it is where it is finished, else stained and written."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fluorgen.errors import InputError, OutputError, StorageError
from napari_fluorgen.stack import BrightfieldStack, StainedField
from napari_fluorgen.workflow.events import FieldSkipped, FieldWritten, Stage
from napari_fluorgen.workflow.field import StopCheck, StopPoint, stain_field
from napari_fluorgen.workflow.provenance import input_digest
from napari_fluorgen.workflow.request import StainRequest
from napari_fluorgen.workflow.streamed import stream_field

if TYPE_CHECKING:
    from napari_fluorgen.io import FieldSource
    from napari_fluorgen.models import Model

_BYTES_PER_PIXEL = 3 * 2 + 4 + 3 * 4
"""Three uint16 images, labels, probability and two p-value maps, before compression."""


def one_field(
    source: FieldSource,
    request: StainRequest,
    folder: Path,
    format: str,
    overwrite: bool,
    resume: bool,
    model: Model,
    should_stop: StopCheck | None,
) -> Generator[Any, None, FieldWritten | FieldSkipped]:
    """Stain and write one field; parameters, events and errors are those of `stain_batch`."""
    from napari_fluorgen.io.field_lock import field_lock
    from napari_fluorgen.io.run_record import RUN_FILE

    began = time.perf_counter()
    stack = source.open()
    # The record tells inputs apart by it: a.tif may be another one in another working directory.
    if stack.source:
        stack = replace(stack, source=str(Path(stack.source).absolute()))
    _check_not_the_plate(stack, folder)
    with field_lock(folder, stack.identity):  # what is found there now stays until it is replaced
        # A killed run may leave files of a field that the record does not know yet.
        again = resume and (folder / RUN_FILE).is_file()
        if again and _finished(stack, request, folder, model, should_stop):
            return FieldSkipped(stack.identity, "already stained with these settings")
        field, files = yield from _written(
            stack, request, folder, format, overwrite or again, resume, model, should_stop
        )
    return FieldWritten(
        identity=stack.identity,
        files=tuple(str(file) for file in files),
        nuclei=len(field.nuclei["label"]),
        messages=messages_of(stack, field),
        seconds=time.perf_counter() - began,
    )


def _written(
    stack: BrightfieldStack,
    request: StainRequest,
    folder: Path,
    format: str,
    overwrite: bool,
    resume: bool,
    model: Model,
    should_stop: StopCheck | None,
) -> Generator[Any, None, tuple[StainedField, list[Path]]]:
    """Stain and write a stack; `overwrite` says whether its older result may be replaced."""
    from napari_fluorgen.io import results

    check_disk_space(
        folder, stack.shape[1] * stack.shape[2] * _BYTES_PER_PIXEL, stack.identity.name
    )
    results.check_free(
        folder,
        stack.identity,
        stack.channel_files,
        model.spec.stains,
        format=format,
        overwrite=overwrite,
    )
    if format == "ome-zarr" and not request.intervals:
        return (
            yield from stream_field(
                stack,
                request,
                folder,
                model=model,
                overwrite=overwrite,
                resume=resume,
                should_stop=should_stop,
            )
        )
    field = yield from stain_field(stack, request, model=model, should_stop=should_stop)
    yield Stage("writing")
    return field, results.write_field(field, folder, format=format, overwrite=overwrite)


def messages_of(stack: BrightfieldStack, field: StainedField) -> tuple[str, ...]:
    """Return what the user has to be told about a field: reader's notes, then adaptations."""
    return tuple(dict.fromkeys((*stack.notes, *field.provenance.get("messages", ()))))


def _check_not_the_plate(stack: BrightfieldStack, folder: Path) -> None:
    """Stains carry the names of a plate's own fluorescence files: never write among those."""
    if stack.channel_files and folder.resolve() == Path(stack.source).resolve():
        raise StorageError(
            f"{folder} is the plate's own folder, where stains would take the names of its "
            "fluorescence files: name another folder."
        )


def _finished(
    stack: BrightfieldStack,
    request: StainRequest,
    folder: Path,
    model: Model,
    should_stop: StopCheck | None,
) -> bool:
    """Return whether a readable result of the same request, model and input lies in `folder`.

    Time, machine and versions may differ: they do not change what was asked for.

    Raises
    ------
    OutputError
        The result is that of another input.
    """
    from napari_fluorgen.io import results
    from napari_fluorgen.io.run_record import read_record

    name = stack.identity.name
    before = read_record(folder, name).get("input", {})
    moved = before.get("source") != stack.source
    digest = None
    if moved and "digest" in before:  # the same pixels elsewhere are the same input
        digest = input_digest(stack.data, StopPoint(should_stop))
        if digest != before["digest"]:
            raise OutputError(
                f"The result '{name}' in {folder} belongs to another input, "
                f"{before.get('source') or 'which is not named'}, and is not replaced by that of "
                f"{stack.source}: use --overwrite or another folder."
            )
    try:
        record = results.read_field(folder, name, lazy=True).provenance
    except InputError:
        return False
    if record.get("request") != request.to_record():
        return False
    if record.get("model", {}).get("digest") != model.digest:
        return False
    if not _same_scale(stack, request, record.get("input", {})):
        return False
    if digest is None:  # last: it reads all of the input
        digest = input_digest(stack.data, StopPoint(should_stop))
    return bool(record.get("input", {}).get("digest") == digest)


def _same_scale(
    stack: BrightfieldStack, request: StainRequest, recorded: Mapping[str, Any]
) -> bool:
    """Whether pixel size and heights of the planes, which decide the pixels too, are as recorded.

    A pixel size that was asked for is a part of the request, and the file's does not count.
    """
    pairs = [(stack.z_um, recorded.get("z_um"))]
    if request.pixel_size_um is None:
        pairs.append((stack.pixel_size_um, recorded.get("pixel_size_um")))
    return all(_about_equal(now, before) for now, before in pairs)


def _about_equal(now: Sequence[float] | None, before: Sequence[float] | None) -> bool:
    if now is None or before is None:
        return now is before
    # The same lengths in another file, or after a round trip through inches, are a little off.
    return len(now) == len(before) and np.allclose(now, before, rtol=1e-4, atol=1e-5)


def check_disk_space(folder: Path, needed: int, what: str) -> None:
    """Raise `OutputError` when the disk of `folder` has less than `needed` bytes left."""
    nearest = folder
    while not nearest.exists():
        nearest = nearest.parent
    free = shutil.disk_usage(nearest).free
    if free < needed:
        raise StorageError(
            f"No disk space for {what} in {folder}: it needs up to {needed / 1e6:.0f} MB and "
            f"{free / 1e6:.0f} MB are free; free some space or name a folder on another disk."
        )
