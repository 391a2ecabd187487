"""From trained networks to the package: threshold, calibration, figures, card, installation."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from napari_fluorgen.confidence import (
    INTERVAL_STAINS,
    Calibration,
    IntervalCalibration,
    calibrate,
    calibrate_intervals,
)
from napari_fluorgen.models import (
    PROBABILITY,
    ModelSpec,
    install_package,
    list_models,
    save_package,
    user_model_dir,
)
from napari_fluorgen.models.free_names import write_beside
from napari_fluorgen.staining.source import continued
from napari_fluorgen.training.course import StainConfig
from napari_fluorgen.workflow.fine_tuning_card import write_card
from napari_fluorgen.workflow.fine_tuning_fields import TunedField
from napari_fluorgen.workflow.fine_tuning_material import Material
from napari_fluorgen.workflow.fine_tuning_request import (
    FineTuneRequest,
    FineTuneResult,
    FineTuneScores,
    may_replace,
)
from napari_fluorgen.workflow.fine_tuning_scores import best_threshold, predict, score, segment
from napari_fluorgen.workflow.provenance import timestamp, versions

_TEST_SIDE = 128
_SMALLEST_SIDE = 64


@dataclass(frozen=True)
class Run:
    """How the training went.

    Attributes
    ----------
    trained : tuple of str
        Stains whose trained network is in the new model.
    steps : mapping of str to int
        Steps taken, of all stains that were tried.
    settings : mapping of str to StainConfig
        Network, schedule and loss of each trained stain.
    minutes : float
        Duration.
    stopped : bool
        Whether the user stopped it.
    device : str
        Where it ran.
    before : FineTuneScores
        Of the start.
    """

    trained: tuple[str, ...]
    steps: Mapping[str, int]
    settings: Mapping[str, StainConfig]
    minutes: float
    stopped: bool
    device: str
    before: FineTuneScores


def pack(
    request: FineTuneRequest,
    material: Material,
    run: Run,
    work: Path,
    notes: list[str],
    stage: Callable[[str], None],
) -> FineTuneResult:
    """Calibrate and measure the new model on the held-out parts and write its package.

    `stage` is told when the writing begins, the last moment at which it may raise `Cancelled`.
    Where the folder or the name of the model was taken since the training began, it gets a
    number, and a note says so.

    Raises
    ------
    OutputError
        The package or its installed copy cannot be written.
    """
    _finish_spec(request, material, run)
    after = score(material.networks, material.parts["calibration"], material.spec)
    calibration, calibrated = _calibration(material, run)
    fields = {part: tuple(one.name for one in own) for part, own in material.parts.items()}
    start = material.start
    notes += _losses(run.before, after, run.trained)
    record = {
        **material.spec.training,
        "fine_tuned_from": {
            "name": start.spec.name,
            "version": start.spec.version,
            "digest": start.digest,
            "simulated": start.spec.simulated,
        },
        "request": request.to_record(),
        "fields": {part: list(names) for part, names in fields.items()},
        "held_out": "fields" if material.whole_fields else "strips of the same fields",
        "stains": list(run.trained),
        "steps": dict(run.steps),
        "config": {
            "networks": _recipes(start.spec)
            | {stain: one.model_dump(mode="json") for stain, one in run.settings.items()}
        },
        "minutes": round(run.minutes, 2),
        "stopped": run.stopped,
        "trained_on": run.device,
        "before": run.before.to_record(),
        "after": after.to_record(),
        "notes": list(notes),
        "versions": versions(),
        "finished": timestamp(),
    }
    material.spec = material.spec.model_copy(update={"training": record})
    card = write_card(
        material.spec,
        start,
        run.before,
        after,
        fields=fields,
        whole_fields=material.whole_fields,
        trained=run.trained,
        steps=run.steps,
        minutes=run.minutes,
        device=run.device,
        stopped=run.stopped,
        simulated_pairs=request.simulated,
        calibrated=calibrated,
        notes=notes,
    )
    stage("Writing the new model.")
    overwrite = may_replace(request, material.spec.name)
    with tempfile.TemporaryDirectory(prefix="fluorgen-package-") as temporary:
        wanted = request.output or Path(temporary) / material.spec.name
        path = write_beside(
            wanted,
            lambda folder, replace: save_package(
                folder,
                material.spec,
                material.networks,
                calibration=calibration,
                test_input=_test_input(material),
                card=card,
                overwrite=replace,
                license_id=start.license_id,
            ),
            overwrite=overwrite,
        )
        if path != wanted:
            notes.append(f"{wanted} was taken during the training: the new model lies in {path}.")
        name = material.spec.name
        if request.install:
            installed = _install(path, name, overwrite, notes)
            name, path = installed.name, path if request.output else installed
    return FineTuneResult(
        name=name,
        path=path,
        installed=request.install,
        before=run.before,
        after=after,
        fields=fields,
        stains=run.trained,
        steps=dict(run.steps),
        minutes=run.minutes,
        stopped=run.stopped,
        notes=tuple(notes),
    )


def _install(package: Path, name: str, overwrite: bool, notes: list[str]) -> Path:
    """Install a package and return where; its folder is called as the installed model."""
    installed = write_beside(
        user_model_dir() / name,
        lambda place, replace: install_package(package, name=place.name, overwrite=replace),
        overwrite=overwrite,
        taken=[model.name for model in list_models()],
    )
    if installed.name != name:
        notes.append(
            f"The name '{name}' was taken during the training: the new model is installed as "
            f"'{installed.name}'."
        )
    return installed


def _finish_spec(request: FineTuneRequest, material: Material, run: Run) -> None:
    start, spec = material.start.spec, material.spec
    nuclei = spec.nuclei
    if "nuclei" in run.trained:
        found = best_threshold(material.networks["nuclei"], material.parts["validation"], spec)
        nuclei = nuclei.model_copy(update={"threshold": found})
    kept = [stain for stain in start.stains if stain not in run.trained]
    count = len({one.name.partition(" rows ")[0] for own in material.parts.values() for one in own})
    material.spec = spec.model_copy(
        update={
            "version": "0.1.0",
            "description": f"{start.name} fine-tuned on {count} field{'s' if count > 1 else ''} "
            f"({', '.join(run.trained)})",
            "nuclei": nuclei,
            "simulated": request.simulated or (start.simulated and bool(kept)),
            "general": False,
        }
    )


def _calibration(material: Material, run: Run) -> tuple[Mapping[str, Any] | None, str]:
    """Return the arrays of the calibration and where it comes from, in a word for the card."""
    network = material.networks.get("nuclei")
    held = [part for part in material.parts["calibration"] if part.labels is not None]
    if network is not None and held:
        calibration = calibrate(_found_nuclei(network, held, material.spec))
        return calibration.with_intervals(_intervals(material)).to_arrays(), "pairs"
    if "nuclei" not in run.trained and material.start.calibration is not None:
        start = Calibration.from_arrays(material.start.calibration)
        # The intervals of a network that has learned since then are no longer its own.
        kept = {stain: one for stain, one in start.intervals.items() if stain not in run.trained}
        return start.with_intervals(kept | _intervals(material)).to_arrays(), "start"
    return None, "none"


def _found_nuclei(
    network: nn.Module, parts: Sequence[TunedField], spec: ModelSpec
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.uint32]]]:
    """Yield the nuclei probability (Y, X) of each part, its true nuclei and those found."""
    for part in parts:
        assert part.labels is not None
        predicted = predict({"nuclei": network}, part.planes, spec)[PROBABILITY]
        probability = np.clip(predicted, 0, 1)
        yield probability, part.labels, segment(probability, spec, spec.nuclei.threshold)


def _intervals(material: Material) -> dict[str, IntervalCalibration]:
    """Intervals of the stains that calibration parts have; none where the network is not there."""
    spec = material.spec
    return calibrate_intervals(
        {
            stain: [
                (
                    predict({stain: material.networks[stain]}, part.planes, spec)[stain],
                    spec.outputs[stain].unclipped(part.stains[stain]),
                )
                for part in material.parts["calibration"]
                if stain in part.stains
            ]
            for stain in INTERVAL_STAINS
            if stain in material.networks
        }
    )


def _losses(before: FineTuneScores, after: FineTuneScores, trained: Sequence[str]) -> list[str]:
    """Say which figures of the held-out parts got worse."""
    worse = [
        f"r of {stain} ({before.pearson[stain]:.3f} before, {after.pearson[stain]:.3f} after)"
        for stain in trained
        if stain in before.pearson and after.pearson[stain] < before.pearson[stain] - 0.001
    ]
    worse += [
        f"F1 of nuclei at IoU {iou:g} ({before.f1[iou]:.3f} before, {after.f1[iou]:.3f} after)"
        for iou in after.f1
        if iou in before.f1 and after.f1[iou] < before.f1[iou] - 0.001
    ]
    return [f"Worse than the start on the held-out parts: {', '.join(worse)}."] if worse else []


def _recipes(spec: ModelSpec) -> dict[str, Any]:
    """Settings by stain that the start was trained with, as far as its record tells."""
    config = spec.training.get("config")
    networks = config.get("networks") if isinstance(config, dict) else None
    return dict(networks) if isinstance(networks, dict) else {}


def _test_input(material: Material) -> NDArray[np.float32]:
    """Return a corner of the first field, continued where it is too small."""
    planes, divisor = material.parts["training"][0].planes, material.spec.divisor
    sides = [
        max(-(-_SMALLEST_SIDE // divisor), min(n, _TEST_SIDE) // divisor) * divisor
        for n in planes.shape[1:]
    ]
    rows, columns = (
        continued(slice(0, side), n) for side, n in zip(sides, planes.shape[1:], strict=True)
    )
    return planes[None, :, rows[:, None], columns[None, :]]
