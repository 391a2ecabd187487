"""Many fields, one at a time: what fails is listed, what is finished stays."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fluorgen.errors import (
    Cancelled,
    DeviceError,
    FluorgenError,
    InputError,
    ModelError,
    OutputError,
    StorageError,
)
from napari_fluorgen.io.atomic import check_output_folder, output_error, stops_writing
from napari_fluorgen.workflow.batch_field import one_field
from napari_fluorgen.workflow.events import (
    FieldEnded,
    FieldFailed,
    FieldSkipped,
    FieldStarted,
    FieldWritten,
)
from napari_fluorgen.workflow.field import StopCheck
from napari_fluorgen.workflow.request import StainRequest

if TYPE_CHECKING:
    from napari_fluorgen.io import FoundFields
    from napari_fluorgen.models import Model


@dataclass(frozen=True)
class BatchSummary:
    """What became of every field.

    Attributes
    ----------
    folder : Path
        Where the results lie.
    done, skipped, failed : tuple of str
        Names of the fields.
    reasons : mapping of str to str
        Why a field was skipped or failed.
    problems : tuple of str
        What the reader could not make a field of: missing planes, foreign files.
    cancelled : bool
        Whether the user stopped the batch; the finished fields stay.
    """

    folder: Path
    done: tuple[str, ...]
    skipped: tuple[str, ...]
    failed: tuple[str, ...]
    reasons: Mapping[str, str]
    problems: tuple[str, ...]
    cancelled: bool = False


class Tally:
    """Sorts the ends of fields, as they come, for the summary."""

    def __init__(self) -> None:
        self._names: dict[type, list[str]] = {FieldWritten: [], FieldSkipped: [], FieldFailed: []}
        self._reasons: dict[str, str] = {}

    def add(self, event: FieldEnded) -> None:
        """Count a field."""
        name = event.identity.name
        self._names[type(event)].append(name)
        if not isinstance(event, FieldWritten):
            self._reasons[name] = event.reason

    def summary(self, folder: Path, found: FoundFields, *, cancelled: bool) -> BatchSummary:
        """What became of every field so far."""
        done, skipped, failed = (tuple(names) for names in self._names.values())
        return BatchSummary(folder, done, skipped, failed, self._reasons, found.problems, cancelled)


def stain_batch(
    found: FoundFields,
    request: StainRequest,
    folder: str | Path,
    *,
    format: str = "tiff",
    overwrite: bool = False,
    resume: bool = False,
    model: Model | None = None,
    should_stop: StopCheck | None = None,
) -> Generator[Any, None, BatchSummary]:
    """Stain and write every field that was found.

    Parameters
    ----------
    found : FoundFields
        From `napari_fluorgen.io.find_fields`.
    request : StainRequest
        The same settings for all fields.
    folder : path
        Made when the first field is written.
    format : {"tiff", "ome-zarr"}
        Of the results.
    overwrite : bool
        Replace results that exist.
    resume : bool
        Leave fields that were finished with an equal request, model and input, pixel size and
        heights included; redo the others. A field whose result is of another input of the same
        name fails.
    model, should_stop
        As in `stain_field`.

    Yields
    ------
    FieldStarted, Planned, TileDone, Stage, FieldDone, FieldWritten, FieldSkipped, FieldFailed
        A field's events follow its `FieldStarted`. One that another program is staining into
        `folder` fails.

    Returns
    -------
    BatchSummary
        Also after a cancel: the fields finished before it stay and are listed.

    Raises
    ------
    InputError
        When nothing was found.
    OutputError
        Before any work when results exist (and neither `overwrite` nor `resume` is set) or the
        folder cannot be used; later, as a `StorageError`, when the disk is full or not writable.
        The events up to then, put into a `Tally`, give the summary of what is finished.
    ModelError, DeviceError
        When the model or the device cannot be used.
    """
    folder = Path(folder)
    model = prepare_batch(found, request, folder, allowed=overwrite or resume, model=model)
    tally = Tally()
    cancelled = False
    total = len(found.fields)
    for index, source in enumerate(found.fields):
        if should_stop is not None and should_stop():
            cancelled = True
            break
        yield FieldStarted(source.identity, index, total)
        ended: FieldEnded
        try:
            ended = yield from one_field(
                source, request, folder, format, overwrite, resume, model, should_stop
            )
        except Cancelled:
            cancelled = True
            break
        except (StorageError, ModelError, DeviceError):
            raise  # would stop the other fields too
        except Exception as error:  # a fault in one field must not end a night's run
            if isinstance(error, OSError) and stops_writing(error):
                raise output_error(folder, error) from error
            ended = FieldFailed(source.identity, reason_of(source.identity.name, error))
        tally.add(ended)
        yield ended
    return tally.summary(folder, found, cancelled=cancelled)


def prepare_batch(
    found: FoundFields,
    request: StainRequest,
    folder: Path,
    *,
    allowed: bool,
    model: Model | None = None,
) -> Model:
    """Check what can be checked before the first field, and open the model.

    `allowed` says whether `folder` may hold results of these fields. Raises as `stain_batch`.
    """
    from napari_fluorgen.models import load_model

    _check_found(found)
    check_output_folder(folder)
    _check_names(found, folder, allowed)
    return load_model(request.model) if model is None else model


def reason_of(name: str, error: BaseException) -> str:
    """Why a field failed, in a sentence."""
    if isinstance(error, FluorgenError):
        return str(error)
    return f"{name} stopped with {type(error).__name__}: {error}"


def _check_found(found: FoundFields) -> None:
    if not found.fields:
        raise InputError(
            found.problems[0]
            if found.problems
            else "No brightfield stack was found: name files or folders that hold z-stacks."
        )


def names_with_results(found: FoundFields, folder: Path) -> list[str]:
    """Names of the fields of which `folder` holds results.

    Raises
    ------
    InputError
        The folder's ``run.json`` is damaged.
    """
    from napari_fluorgen.io import results

    existing = set(results.list_fields(folder))
    return [s.identity.name for s in found.fields if s.identity.name in existing]


def _check_names(found: FoundFields, folder: Path, allowed: bool) -> None:
    # Read in any case: with a damaged record no field could be finished.
    clash = names_with_results(found, folder)
    if clash and not allowed:
        raise OutputError(
            f"{folder} already holds results of {len(clash)} of these fields (the first is "
            f"'{clash[0]}'): use --overwrite to replace them, --resume to do only the missing "
            "ones, or another folder."
        )
