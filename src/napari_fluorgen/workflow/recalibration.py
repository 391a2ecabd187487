"""A copy of a model whose confidence is calibrated on one's own stained fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.confidence import INTERVAL_STAINS, calibrate, calibrate_intervals
from napari_fluorgen.errors import Cancelled, InputError, ModelError
from napari_fluorgen.io.atomic import check_replaceable
from napari_fluorgen.workflow.interval_widths import unclipped

if TYPE_CHECKING:
    from napari_fluorgen.models import Model
    from napari_fluorgen.stack import BrightfieldStack

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
        The new package.
    overwrite : bool
        Whether an older package may be replaced.
    name : str, optional
        Of the new model; that of `model` by default.
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
        If the model has no nuclei network, or pixels too far from the pairs'.
    InputError
        If pairs are missing or do not fit the model.
    Cancelled
        If `should_stop` returned true; nothing is written then.
    """
    from napari_fluorgen.models import save_package
    from napari_fluorgen.models.saving import OWN_FILES
    from napari_fluorgen.training.package import CALIBRATED, UNCALIBRATED
    from napari_fluorgen.workflow.fine_tuning_fields import stacks_of_folder

    spec = model.spec
    if "nuclei" not in spec.stains:
        raise ModelError(f"{spec.name} has no nuclei network, whose confidence is calibrated.")
    check_replaceable(Path(folder), overwrite, OWN_FILES)
    notes: list[str] = []
    stacks = stacks_of_folder(pairs, notes)
    stains: Stains = {stain: [] for stain in INTERVAL_STAINS if stain in spec.stains}
    announced = _announced(stacks, progress, should_stop)
    calibration = calibrate(_predicted(model, announced, notes, stains))
    calibration = calibration.with_intervals(calibrate_intervals(stains))
    again = (
        f"Calibrated again on {len(stacks)} field{'s' if len(stacks) > 1 else ''} of "
        f"{Path(pairs).resolve().name}."
    )
    card = model.card.replace(UNCALIBRATED, CALIBRATED).rstrip()
    path = save_package(
        folder,
        spec if name is None else spec.model_copy(update={"name": name}),
        model.networks(),
        calibration=calibration.to_arrays(),
        test_input=model.test_tensors()[0],
        card=f"{card}\n\n# Calibration\n\n{again}\n",
        overwrite=overwrite,
        license_id=model.license_id,
    )
    return path, calibration.meta, tuple(dict.fromkeys(notes))


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
    model: Model, stacks: Iterable[BrightfieldStack], notes: list[str], stains: Stains
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.uint32]]]:
    """Yield the nuclei probability (Y, X) of each field, its true nuclei and those found.

    Prediction and truth of the stains that a field has are added to `stains`, in [0, 1].
    """
    from napari_fluorgen.models import PROBABILITY
    from napari_fluorgen.workflow.fine_tuning_fields import LABELS, read_field
    from napari_fluorgen.workflow.fine_tuning_scores import predict, segment

    for stack in stacks:
        truth = {name: image for name, image in stack.truth.items()
                 if name in ("nuclei", LABELS, *stains)}  # fmt: skip
        if not {"nuclei", LABELS} & truth.keys():
            raise InputError(
                f"{stack.identity.name} has neither nuclei labels nor a true nuclei stain; "
                "calibration needs one of them."
            )
        field = read_field(replace(stack, truth=truth), model.spec, model.spec, notes)
        assert field.labels is not None
        known = [stain for stain in stains if stain in field.stains]
        networks = {stain: model.network(stain) for stain in ("nuclei", *known)}
        maps = predict(networks, field.planes, model.spec)
        for stain in known:
            true = unclipped(field.stains[stain], model.spec.outputs[stain])
            stains[stain].append((maps[stain], true))
        probability = np.clip(maps[PROBABILITY], 0, 1)
        found = segment(probability, model.spec, model.spec.nuclei.threshold)
        yield probability, field.labels, found
