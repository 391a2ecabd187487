"""A copy of a model whose confidence is calibrated on one's own stained fields."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.confidence import INTERVAL_STAINS, calibrate, calibrate_intervals
from napari_fluorgen.errors import Cancelled, InputError, ModelError
from napari_fluorgen.io.atomic import check_replaceable, output_error, path_exists

if TYPE_CHECKING:
    from napari_fluorgen.models import Model
    from napari_fluorgen.stack import BrightfieldStack
    from napari_fluorgen.training.data import Pair

Stains = dict[str, list[tuple[NDArray[np.float32], NDArray[np.float32]]]]


def recalibrate(
    model: Model,
    pairs: str | Path,
    folder: str | Path,
    *,
    overwrite: bool = False,
    name: str | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[Path, dict[str, Any], tuple[str, ...]]:
    """Write a copy of a model whose confidence is calibrated on other fields.

    The fields are read as `fluorgen stain` reads them: the same choice and order of planes, the
    same pixels.

    Parameters
    ----------
    model : Model
        Its networks stay as they are.
    pairs : str or Path
        Folder of fields with nuclei labels or a true nuclei stain, not used for training. True
        lipids and cytoplasm calibrate their intervals.
    folder : str or Path
        The new package; where something has this name by the end, a number is put behind it.
    overwrite : bool
        Whether an older package may be replaced.
    name : str, optional
        Of the new model; that of `model` by default. One that is the folder's stays the folder's.
    progress : callable, optional
        Called before each field with the number of fields done, of all fields, and its name.
    should_stop : callable, optional
        Asked before each field.

    Returns
    -------
    path : Path
        The new package.
    meta : dict
        What the calibration was made of.
    notes : tuple of str
        What was assumed or adapted, in sentences.

    Raises
    ------
    ModelError
        If the model has no nuclei network, or pixels too far from the pairs', or `name` cannot be
        one.
    InputError
        If pairs are missing or do not fit the model.
    OutputError
        If the package cannot be written there; told before the work.
    Cancelled
        If `should_stop` returned true; nothing is written then.
    """
    from napari_fluorgen.models.free_names import write_beside
    from napari_fluorgen.models.rdf import package_files
    from napari_fluorgen.models.saving import save_recalibrated
    from napari_fluorgen.models.spec import check_model_name
    from napari_fluorgen.training.augment import spread_planes
    from napari_fluorgen.training.package import CALIBRATED, UNCALIBRATED
    from napari_fluorgen.training.registration import FIELDS
    from napari_fluorgen.workflow.fine_tuning_fields import stacks_of_folder

    spec = model.spec
    if "nuclei" not in spec.stains:
        raise ModelError(f"{spec.name} has no nuclei network, whose confidence is calibrated.")
    if name is not None:
        check_model_name(name)
    folder = Path(folder)
    check_replaceable(folder, overwrite, package_files(folder))
    model.network_files()  # a damaged one is told before the calibration, not after it
    notes: list[str] = []
    stacks = stacks_of_folder(pairs, notes)
    stains: Stains = {stain: [] for stain in INTERVAL_STAINS if stain in spec.stains}
    announced = _announced(stacks, progress, should_stop)
    samples: list[Pair] = []
    drawn = set(np.unique(spread_planes(len(stacks), FIELDS)).tolist())
    with _workspace(folder) as work:
        fields = _predicted(model, announced, notes, stains, samples, drawn, work)
        calibration = calibrate(fields)
        calibration = calibration.with_intervals(calibrate_intervals(stains))
        stains.clear()
    report_shifts(samples, spec.pixel_size_um, notes)
    again = (
        f"Calibrated again on {len(stacks)} field{'s' if len(stacks) > 1 else ''} of "
        f"{Path(pairs).resolve().name}."
    )
    card = model.card.replace(UNCALIBRATED, CALIBRATED).rstrip()
    if should_stop is not None and should_stop():
        raise Cancelled("The calibration was stopped; nothing was written.")
    path = write_beside(
        folder,
        lambda place, replace: save_recalibrated(
            place,
            model,
            calibration=calibration.to_arrays(),
            card=f"{card}\n\n# Calibration\n\n{again}\n",
            name=place.name if name == folder.name else name,
            overwrite=replace,
        ),
        overwrite=overwrite,
    )
    if path != folder:
        notes.append(f"{folder} was taken during the calibration: the model lies in {path}.")
    return path, calibration.meta, tuple(dict.fromkeys(notes))


def report_shifts(samples: Sequence[Pair], pixel_size_um: float, notes: list[str]) -> None:
    """Say how far true stains lie from brightfield, as fine-tuning does, from 1 pixel on.

    Parameters
    ----------
    samples : sequence of Pair
        Fields of one microscope; those with the same stains are judged together.
    pixel_size_um : float
        Micrometres a pixel.
    notes : list of str
        Takes a sentence for each stain that is shifted.
    """
    from napari_fluorgen.training.registration import measure_shifts

    for stains in dict.fromkeys(tuple(pair.stains) for pair in samples):
        own = [pair for pair in samples if tuple(pair.stains) == stains]
        for stain, shift in measure_shifts(own, pixel_size_um).items():
            if shift.matters:
                notes.append(
                    f"Brightfield and {stain} are shifted by {shift.y:.1f}, {shift.x:.1f} px, "
                    "which counts as error of the model here: align the pairs and calibrate again."
                )


@contextmanager
def _workspace(folder: Path) -> Iterator[Path]:
    """Yield a folder beside `folder` that is removed at the end.

    It keeps predictions of large fields out of the memory, and tells before the work, not after
    it, that nothing can be written there.
    """
    parent = folder.absolute().parent
    while not path_exists(parent):
        parent = parent.parent
    try:
        work = tempfile.TemporaryDirectory(
            prefix=".", suffix="-unfinished", dir=parent, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise output_error(folder, error) from error
    with work as path:
        yield Path(path)


def _announced(
    stacks: list[BrightfieldStack],
    progress: Callable[[int, int, str], None] | None,
    should_stop: Callable[[], bool] | None,
) -> Iterator[BrightfieldStack]:
    """Yield the stacks, telling of each and asking whether to go on."""
    for done, stack in enumerate(stacks):
        if should_stop is not None and should_stop():
            raise Cancelled(f"The calibration was stopped before {stack.identity.name}.")
        if progress is not None:
            progress(done, len(stacks), stack.identity.name)
        yield stack


def _predicted(
    model: Model,
    stacks: Iterable[BrightfieldStack],
    notes: list[str],
    stains: Stains,
    samples: list[Pair],
    drawn: Collection[int],
    work: Path,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.uint32]]]:
    """Yield the nuclei probability (Y, X) of each field, its true nuclei and those found.

    Prediction and truth of the stains that a field has are added to `stains`, in [0, 1], as files
    in `work`; the middle of the fields whose numbers are in `drawn` to `samples`.
    """
    from napari_fluorgen.models import PROBABILITY
    from napari_fluorgen.training.data import check_counts
    from napari_fluorgen.training.registration import sample_of
    from napari_fluorgen.workflow.fine_tuning_fields import LABELS, pair_of, read_field
    from napari_fluorgen.workflow.fine_tuning_scores import predict, segment

    for number, stack in enumerate(stacks):
        truth = {name: image for name, image in stack.truth.items()
                 if name in ("nuclei", LABELS, *stains)}  # fmt: skip
        if not {"nuclei", LABELS} & truth.keys():
            raise InputError(
                f"{stack.identity.name} has neither nuclei labels nor a true nuclei stain; "
                "calibration needs one of them."
            )
        field = read_field(replace(stack, truth=truth), model.spec, model.spec, notes)
        assert field.labels is not None
        if number in drawn:
            samples.append(sample_of(pair_of(field)))
        known = [stain for stain in stains if stain in field.stains]
        networks = {stain: model.network(stain) for stain in ("nuclei", *known)}
        maps = predict(networks, field.planes, model.spec)
        for stain in known:
            check_counts(field.name, stain, np.asarray(truth[stain]))
            true = model.spec.outputs[stain].unclipped(field.stains[stain])
            kept = [_on_disk(work / f"{number}_{stain}_{kind}.npy", image)
                    for kind, image in (("predicted", maps[stain]), ("true", true))]  # fmt: skip
            stains[stain].append((kept[0], kept[1]))
        probability = np.clip(maps[PROBABILITY], 0, 1)
        found = segment(probability, model.spec, model.spec.nuclei.threshold)
        yield probability, field.labels, found


def _on_disk(path: Path, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Write an image and return it as a map of the file."""
    try:
        np.save(path, image)
    except OSError as error:
        raise output_error(path.parent, error) from error
    mapped: NDArray[np.float32] = np.load(path, mmap_mode="r")
    return mapped
