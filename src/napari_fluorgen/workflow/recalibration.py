"""A copy of a model whose confidence is calibrated on one's own stained fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError, ModelError
from napari_fluorgen.io.atomic import check_replaceable

if TYPE_CHECKING:
    from napari_fluorgen.models import Model
    from napari_fluorgen.stack import BrightfieldStack


def recalibrate(
    model: Model, pairs: str | Path, folder: str | Path, *, overwrite: bool = False
) -> tuple[Path, dict[str, Any], tuple[str, ...]]:
    """Write a copy of a model whose confidence is calibrated on other fields.

    The fields are read as `fluorgen stain` reads them: the same choice and order of planes, the
    same pixels.

    Parameters
    ----------
    model : Model
        Its networks stay as they are.
    pairs : str or Path
        Folder of fields with nuclei labels or a true nuclei stain, not used for training.
    folder : str or Path
        The new package.
    overwrite : bool
        Whether an older package may be replaced.

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
    """
    from napari_fluorgen.confidence import calibrate
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
    calibration = calibrate(_predicted(model, stacks, notes))
    again = (
        f"Calibrated again on {len(stacks)} field{'s' if len(stacks) > 1 else ''} of "
        f"{Path(pairs).resolve().name}."
    )
    card = model.card.replace(UNCALIBRATED, CALIBRATED).rstrip()
    path = save_package(
        folder,
        spec,
        model.networks(),
        calibration=calibration.to_arrays(),
        test_input=model.test_tensors()[0],
        card=f"{card}\n\n# Calibration\n\n{again}\n",
        overwrite=overwrite,
        license_id=model.license_id,
    )
    return path, calibration.meta, tuple(dict.fromkeys(notes))


def _predicted(
    model: Model, stacks: list[BrightfieldStack], notes: list[str]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.uint32]]]:
    """Yield the nuclei probability (Y, X) of each field, its true nuclei and those found."""
    from napari_fluorgen.models import PROBABILITY
    from napari_fluorgen.workflow.fine_tuning_fields import LABELS, read_field
    from napari_fluorgen.workflow.fine_tuning_scores import predict, segment

    networks = {"nuclei": model.network("nuclei")}
    for stack in stacks:
        truth = {name: stack.truth[name] for name in ("nuclei", LABELS) if name in stack.truth}
        if not truth:
            raise InputError(
                f"{stack.identity.name} has neither nuclei labels nor a true nuclei stain; "
                "calibration needs one of them."
            )
        field = read_field(replace(stack, truth=truth), model.spec, model.spec, notes)
        assert field.labels is not None
        probability = np.clip(predict(networks, field.planes, model.spec)[PROBABILITY], 0, 1)
        found = segment(probability, model.spec, model.spec.nuclei.threshold)
        yield probability, field.labels, found
