"""A model for one's own cells: start from one, learn from own pairs, calibrate, measure, pack."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fluorgen.errors import Cancelled, ConfigError, InputError, OutputError
from napari_fluorgen.stack import STAINS, BrightfieldStack
from napari_fluorgen.workflow.fine_tuning_request import (
    DEFAULT_MINUTES,
    FineTuneRequest,
    FineTuneResult,
    FineTuneScores,
    default_name,
    may_replace,
)

if TYPE_CHECKING:
    from napari_fluorgen.models import Model
    from napari_fluorgen.training.run import TrainProgress
    from napari_fluorgen.workflow.fine_tuning_material import Material
    from napari_fluorgen.workflow.fine_tuning_training import Learned

__all__ = ["FineTuneRequest", "FineTuneResult", "FineTuneScores", "fine_tune"]

Say = Callable[[str], None]
Preview = Callable[[str, np.ndarray, np.ndarray], None]

_SPARE_BYTES = 200 << 20
_COPIES = 12  # of the start's files: checkpoints with the optimiser's state, the best, a package


def fine_tune(
    request: FineTuneRequest,
    *,
    pairs: Sequence[BrightfieldStack] | None = None,
    progress: Callable[[TrainProgress], None] | None = None,
    preview: Preview | None = None,
    stage: Say | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> FineTuneResult:
    """Fine-tune a model on one's own pairs, calibrate it and write it as a package.

    The fields are divided into parts to learn from, to watch and to hold out. Each network whose
    stain the pairs have is trained for its share of the time, with a learning rate that falls to
    nothing at the end; the best of ten validations is kept, and the start's own network where
    none of them was better. The held-out parts give the figures before and after and the
    calibration of the confidence. Where the name or folder is taken by then, the new model gets a
    number, and a note says so.

    Parameters
    ----------
    request : FineTuneRequest
        What is asked for.
    pairs : sequence of BrightfieldStack, optional
        Stacks with `truth` instead of the folder of the request; nuclei labels may lie under
        ``truth["labels"]``.
    progress : callable, optional
        Called with a `TrainProgress` after each step and each validation.
    preview : callable, optional
        Called after each validation with a stain and two float32 images (Y, X) in camera counts:
        prediction and truth of a part that is not learned from.
    stage : callable, optional
        Called with a sentence when another part of the work begins.
    should_stop : callable, optional
        Asked after each step. Once it says yes the best so far is calibrated and packed.

    Returns
    -------
    FineTuneResult

    Raises
    ------
    InputError, ModelError, ConfigError, OutputError, DeviceError
        With one sentence for the user, before any training where possible.
    Cancelled
        Stopped before anything better than the start was learned, or by a callback.

    Notes
    -----
    `before` is what the start model gives on the held-out parts as `fluorgen stain` reads them.
    Where its range of counts does not suit the pairs, its pixel error is taken after the best
    line from its counts to the true ones, fitted on the training parts: a start model cannot know
    the gain of another camera, and beating it on that would mean nothing.
    """
    from napari_fluorgen.models import load_model
    from napari_fluorgen.staining.devices import resolve_device

    say = stage or (lambda sentence: None)
    start = load_model(request.init)
    name = request.name or default_name(start.spec.name)
    asked = request
    request = asked.model_copy(update={"overwrite": may_replace(asked, name)})
    notes: list[str] = []
    _check_target(request, start, name, notes)
    device = resolve_device(request.device).name
    _check_lightning()
    from napari_fluorgen.workflow import fine_tuning_training as training
    from napari_fluorgen.workflow.fine_tuning_material import prepare
    from napari_fluorgen.workflow.fine_tuning_package import Run, pack

    stacks = _read_stacks(request, pairs, notes)
    say(f"Reading {len(stacks)} field{'s' if len(stacks) > 1 else ''}.")
    material = prepare(request, start, name, stacks, device, notes)
    say(f"Measuring {start.spec.name} on the held-out parts.")
    before = material.measure_start()

    stop = training.StopFlag(should_stop)
    began = time.monotonic()
    with _work_folder(request) as work:
        course = training.Course(
            start=start,
            spec=material.spec,
            parts=material.parts,
            reverse=material.reverse,
            crop=material.crop,
            device=device,
            request=request,
            work=work,
            deadline=began + 60 * (request.minutes or DEFAULT_MINUTES),
            identity=_identity(request, material),
        )
        course.take_up()
        learned: dict[str, Learned] = {}
        for number, stain in enumerate(material.trained):
            if stop.stopped:
                break
            found = training.learn(
                course,
                stain,
                material.trained[number + 1 :],
                progress=progress,
                preview=preview,
                stage=say,
                stop=stop,
            )
            if found is not None:
                learned[stain] = found
        minutes = (time.monotonic() - began) / 60
        better = _take(material, learned, notes)
        if stop.stopped and not better:
            raise Cancelled("Training was stopped before anything was learned; nothing was kept.")
        say("Calibrating and measuring the new model.")
        run = Run(
            trained=better,
            steps={stain: found.steps for stain, found in learned.items()},
            settings={s: course.config(s, course.steps[s]).networks[s] for s in better},  # type: ignore[index]
            minutes=minutes,
            stopped=stop.stopped,
            device=device,
            before=before,
        )
        return pack(asked, material, run, work, notes, say)


def _take(material: Material, learned: dict[str, Learned], notes: list[str]) -> tuple[str, ...]:
    """Put what was learned into the new model where it is better than the start."""
    better = []
    for stain in material.trained:
        found = learned.get(stain)
        if found is not None and found.figure > material.start_figure(stain):
            material.networks[stain] = material.turned(found.network.cpu())
            better.append(stain)
            continue
        material.keep_start(stain)
        how = "was not trained any more" if found is None else "did not get better by training"
        notes.append(
            f"The network of {stain} {how}: it is that of {material.start.spec.name}, with its "
            "counts matched to the pairs."
        )
    return tuple(better)


def _read_stacks(
    request: FineTuneRequest, pairs: Sequence[BrightfieldStack] | None, notes: list[str]
) -> list[BrightfieldStack]:
    if pairs is None:
        if request.pairs is None:
            raise InputError("There are no pairs: name a folder of fields with their true stains.")
        from napari_fluorgen.workflow.fine_tuning_fields import stacks_of_folder

        stacks = stacks_of_folder(request.pairs, notes)
    else:
        stacks = list(pairs)
    usable = [stack for stack in stacks if set(stack.truth) & set(STAINS)]
    left_out = [stack.identity.name for stack in stacks if not set(stack.truth) & set(STAINS)]
    if not usable:
        raise InputError(
            f"{request.pairs or 'The selection'} holds no pair: expected brightfield stacks with "
            f"true stains beside them ({', '.join(STAINS)})."
        )
    if left_out:
        some = ", ".join(left_out[:3]) + (" and others" if len(left_out) > 3 else "")
        notes.append(f"Left out, without a true stain: {some}.")
    return usable


def _check_target(request: FineTuneRequest, start: Model, name: str, notes: list[str]) -> None:
    """Refuse now what could not be written after the training."""
    from napari_fluorgen.io.atomic import check_output_folder, check_replaceable
    from napari_fluorgen.models import list_models, user_model_dir
    from napari_fluorgen.models.rdf import package_files

    folders = [request.work or Path(tempfile.gettempdir())]
    if request.output is not None:
        check_replaceable(request.output, request.overwrite, package_files(request.output))
        folders.append(request.output)
    if request.install:
        folders.append(user_model_dir())
    known = {model.name: model.path for model in list_models()}
    if name in known and not (request.install and request.overwrite):
        if request.install:
            raise OutputError(
                f"A model named '{name}' is installed already, in {known[name]}: choose another "
                "name, or ask for overwriting."
            )
        notes.append(
            f"A model named '{name}' is installed already: give the new one another name before "
            "you install it beside that."
        )
    if request.install:
        place = user_model_dir() / name
        check_replaceable(place, request.overwrite, package_files(place))
    if request.work is not None and not (request.resume or request.overwrite):
        held = [path for stain in STAINS for path in (request.work / stain).glob("*.ckpt")]
        if held:
            raise OutputError(
                f"{request.work} holds checkpoints of an earlier run: give --resume to go on from "
                "them or --overwrite to start again."
            )
    needed = _SPARE_BYTES + _COPIES * sum(
        path.stat().st_size for path in start.path.iterdir() if path.is_file()
    )
    for folder in folders:
        check_output_folder(folder)
        _check_space(folder, needed)


def _check_space(folder: Path, needed: int) -> None:
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise OutputError(
            f"The disk of {folder} has {free / 1e9:.1f} GB free, training needs about "
            f"{needed / 1e9:.1f} GB: free some space or choose another folder."
        )


def _check_lightning() -> None:
    try:
        import lightning  # noqa: F401
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Training needs {error.name}, which is not installed: "
            "run `python -m pip install 'napari-fluorgen[train]'`."
        ) from None


@contextmanager
def _work_folder(request: FineTuneRequest) -> Iterator[Path]:
    """Yield the folder of checkpoints: the one asked for, or one that is removed at the end."""
    if request.work is not None:
        from napari_fluorgen.io.atomic import ensure_folder

        yield ensure_folder(request.work)
        return
    with tempfile.TemporaryDirectory(prefix="fluorgen-train-", ignore_cleanup_errors=True) as path:
        yield Path(path)


def _identity(request: FineTuneRequest, material: Material) -> dict[str, Any]:
    """Return what a resumed run must have in common with the one it resumes."""
    identity = {
        "start": material.start.digest,
        "fields": {part: [one.name for one in own] for part, own in material.parts.items()},
        "stains": list(material.trained),
        "outputs": {stain: range_.model_dump() for stain, range_ in material.spec.outputs.items()},
        "asked_steps": request.steps,
        "registration": request.registration,
        "seed": request.seed,
    }
    return json.loads(json.dumps(identity))
