"""The training itself: how many steps fit into the time, and the best network on the way."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn

from napari_fluorgen.errors import Cancelled, ConfigError
from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.models import Model, ModelSpec, StainRange
from napari_fluorgen.stack import STAINS
from napari_fluorgen.training.augment import AugmentSettings
from napari_fluorgen.training.checkpoints import (
    discard,
    load_weights,
    read_metadata,
    save_weights,
)
from napari_fluorgen.training.config import DataConfig, LossConfig, StainConfig, TrainingConfig
from napari_fluorgen.training.data import Pair
from napari_fluorgen.training.run import Progress, TrainProgress, train_networks
from napari_fluorgen.workflow.fine_tuning_fields import TunedField
from napari_fluorgen.workflow.fine_tuning_request import FineTuneRequest
from napari_fluorgen.workflow.fine_tuning_scores import predict

LEARNING_RATE = 1e-3
"""Peak of the one-cycle schedule; a third of what networks get from scratch."""

Preview = Callable[[str, np.ndarray, np.ndarray], None]
Pairs = Mapping[str, list[Pair]]

_LOSSES = {
    "nuclei": LossConfig(
        alpha_reconstruction=5.0, alpha_segmentation=0.5, alpha_lwm=0.5, misclassified=2.0
    ),
    "lipids": LossConfig(alpha_reconstruction=10.0, alpha_gradient=1.0),
    "cytoplasm": LossConfig(alpha_reconstruction=10.0, alpha_gradient=0.5),
}
_SHARE = {"nuclei": 2.0, "lipids": 1.0, "cytoplasm": 1.0}
_WARM_STEPS, _TIMED_STEPS = 2, 6
_VALIDATIONS = 10
_LOOKING = 0.3  # most of the time that validations may take
_PREVIEW_PX = 256
_BEST_FILE = "best.safetensors"


@dataclass
class Course:
    """What is trained on what, for all stains of a run.

    Attributes
    ----------
    start : Model
        Where the weights come from.
    spec : ModelSpec
        Of the new model.
    parts : mapping of str to sequence of TunedField
        By part of the split.
    reverse : bool
        Whether the start's weights want the planes of the parts reversed.
    crop : int
        Side of the training crops.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"mps"``.
    request : FineTuneRequest
        Minutes or steps, seed.
    work : Path
        Takes checkpoints and logs.
    steps : dict of str to int
        Steps of each stain, as far as known; also in ``plan.json`` of `work`.
    validations : dict of str to int
        How often each stain is validated at most, likewise; ten times where not given.
    deadline : float
        When the minutes are over, by `time.monotonic`.
    identity : dict
        What a resumed run must have in common with the one that it resumes.
    """

    start: Model
    spec: ModelSpec
    parts: Mapping[str, Sequence[TunedField]]
    reverse: bool
    crop: int
    device: str
    request: FineTuneRequest
    work: Path
    steps: dict[str, int] = field(default_factory=dict)
    validations: dict[str, int] = field(default_factory=dict)
    deadline: float = 0.0
    identity: dict[str, Any] = field(default_factory=dict)

    def take_up(self) -> None:
        """Take the steps that an earlier run planned, or clear away what it left.

        Raises
        ------
        ConfigError
            If that was a run of other pairs, another start or other settings.
        """
        path = self.work / "plan.json"
        if not self.request.resume:
            path.unlink(missing_ok=True)
            for stain in STAINS:
                discard(self.work / stain)
                (self.work / stain / _BEST_FILE).unlink(missing_ok=True)
        if not path.is_file():
            return
        try:
            plan = json.loads(path.read_text(encoding="utf-8"))
            steps, validations = (
                {str(stain): int(count) for stain, count in plan[name].items()}
                for name in ("steps", "validations")
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise ConfigError(
                f"{path} is damaged: give --overwrite to start the training again."
            ) from None
        if plan.get("run") != self.identity:
            raise ConfigError(
                f"{self.work} holds a run with other pairs, another start or other settings: give "
                "the same ones to resume it, or --overwrite to start again."
            )
        self.steps, self.validations = steps, validations

    def config(self, stain: str, steps: int) -> TrainingConfig:
        """Return the configuration of one network."""
        spec, relative = self.spec, self.spec.input.kind == "background"
        source = Path(self.request.pairs or "layers")
        return TrainingConfig(
            name=spec.name,
            description=spec.description,
            magnification=spec.magnification,
            pixel_size_um=spec.pixel_size_um,
            z_um=spec.z_um,
            simulated=spec.simulated,
            input=spec.input,
            outputs={stain: spec.outputs[stain]},
            overlap_px=spec.overlap_px,
            nuclei=spec.nuclei,
            data=DataConfig(
                train=source,
                validation=source,
                crop=self.crop,
                augment=AugmentSettings(
                    transform=0.3, contrast=(0.8, 1.25) if relative else (1.0, 1.0)
                ),
            ),
            networks={
                stain: StainConfig(  # type: ignore[dict-item]
                    architecture=spec.architectures[stain],
                    steps=steps,
                    learning_rate=LEARNING_RATE,
                    loss=_loss_of(self.start.spec, stain),
                )
            },
            init=str(self.start.path),
            seed=self.request.seed,
            device=self.device,  # type: ignore[arg-type]
            validate_every=validation_interval(steps, self.validations.get(stain, _VALIDATIONS)),
        )

    def pairs(self, stain: str) -> dict[str, list[Pair]]:
        """Return the parts that have a stain, as the start's weights read them."""
        return {
            name: [
                as_pair(part, self.spec.outputs[stain], stain, self.reverse)
                for part in self.parts[source]
                if stain in part.stains
            ]
            for name, source in (("train", "training"), ("validation", "validation"))
        }

    def plan(self, stain: str, later: Sequence[str], pairs: Pairs, stop: StopFlag) -> int:
        """Return the steps of a stain: as asked, as planned before, or as the time allows."""
        if stain not in self.steps:
            if self.request.steps is not None:
                self.steps[stain] = self.request.steps
            else:
                share = _SHARE[stain] / (_SHARE[stain] + sum(_SHARE[other] for other in later))
                ends = time.monotonic() + share * (self.deadline - time.monotonic())
                self.steps[stain] = self._steps_until(ends, stain, pairs, stop)
            plan = {
                "steps": self.steps,
                "validations": self.validations,
                "run": self.identity,
            }
            with atomic_path(self.work / "plan.json", overwrite=True) as path:
                path.write_text(json.dumps(plan, indent=2), encoding="utf-8")
        return self.steps[stain]

    def _steps_until(self, ends: float, stain: str, pairs: Pairs, stop: StopFlag) -> int:
        """Time the first steps and one validation; count how many fit until `ends`."""
        moments: list[float] = []

        def note(state: TrainProgress) -> None:
            if state.validation is None:
                moments.append(time.monotonic())

        steps = _WARM_STEPS + _TIMED_STEPS
        train_networks(
            # One validation, at the end: it is timed apart.
            self.config(stain, steps).model_copy(update={"validate_every": steps}),
            self.work / "timing",
            progress=note,
            should_stop=stop,
            pairs=pairs,
            stains=(stain,),
        )
        shutil.rmtree(self.work / "timing", ignore_errors=True)
        validation = time.monotonic() - moments[-1]
        step = (moments[-1] - moments[_WARM_STEPS - 1]) / _TIMED_STEPS
        left = ends - time.monotonic()
        # Where validations are slow, fewer of them: most of the time is for learning.
        looks = int(_LOOKING * left / max(validation, 1e-6))
        looks = self.validations[stain] = max(1, min(_VALIDATIONS, looks))
        return max(1, int((left - looks * validation) / max(step, 1e-6)))


@dataclass
class StopFlag:
    """Asks whether to stop and remembers a yes, so that it is not asked about again."""

    should_stop: Callable[[], bool] | None
    stopped: bool = False

    def __call__(self) -> bool:
        """Return whether to stop."""
        if not self.stopped and self.should_stop is not None:
            self.stopped = bool(self.should_stop())
        return self.stopped


@dataclass
class Learned:
    """What came out for one stain: its best network and the figure it was chosen by."""

    network: nn.Module
    figure: float
    steps: int


def learn(
    course: Course,
    stain: str,
    later: Sequence[str],
    *,
    progress: Progress | None,
    preview: Preview | None,
    stage: Callable[[str], None],
    stop: StopFlag,
) -> Learned | None:
    """Train the network of one stain and return the best of its validations.

    Returns
    -------
    Learned or None
        None where the user stopped before the first validation.
    """
    pairs = course.pairs(stain)
    done = 0

    def follow(state: TrainProgress) -> None:
        nonlocal done
        done = state.step
        if progress is not None:
            progress(state)

    best = _Best(course.work / stain / _BEST_FILE)

    def watch(name: str, network: nn.Module, figures: dict[str, float]) -> None:
        best.see(network, figure_of(figures))
        if preview is not None:
            _show(course, name, network, preview)

    try:
        if stain not in course.steps and course.request.steps is None:
            stage(f"Timing the first steps of {stain}.")
        steps = course.plan(stain, later, pairs, stop)
        stage(f"Training {stain}: {steps} step{'s' if steps > 1 else ''}.")
        network = train_networks(
            course.config(stain, steps),
            course.work,
            resume=course.request.resume,
            progress=follow,
            should_stop=stop,
            pairs=pairs,
            stains=(stain,),
            watch=watch,
        )[stain]
        done = steps
    except Cancelled:
        if not stop.stopped:  # a callback ends the run, not the user's wish for the best so far
            raise
        if best.figure is None:
            return None
        network = deepcopy(course.start.network(stain))
    figure = best.restore(network)
    return Learned(network.eval().requires_grad_(False), figure, done)


def figure_of(figures: Mapping[str, float]) -> float:
    """Return what a network is chosen by: correlation, of nuclei plus the overlap of masks."""
    values = [figures[name] for name in ("pearson", "dice") if name in figures]
    return sum(value if math.isfinite(value) else -1.0 for value in values)


def validation_interval(steps: int, most: int = _VALIDATIONS) -> int:
    """Steps between validations: at most so many of them, the last after the last step."""
    return -(-steps // most)


def as_pair(part: TunedField, counts: StainRange, stain: str, reverse: bool) -> Pair:
    """Turn a part into a pair for training."""
    labels = part.labels
    if labels is None:
        labels = np.zeros(part.planes.shape[1:], np.uint32)
    return Pair(
        planes=part.planes[::-1] if reverse else part.planes,
        stains={stain: counts.from_counts(part.stains[stain])},
        labels=labels,
        name=part.name,
    )


class _Best:
    """Keeps the best network on disk, so that a resumed run knows it as well."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.figure = float(read_metadata(path)["figure"]) if path.is_file() else None

    def see(self, network: nn.Module, figure: float) -> None:
        """Keep the network where it is the best so far; of equal ones the later counts."""
        if self.figure is not None and figure < self.figure:
            return
        self.figure = figure
        save_weights(network, self.path, {"figure": repr(figure)})

    def restore(self, network: nn.Module) -> float:
        """Give `network` the best weights; return their figure."""
        if self.figure is None:
            return float("-inf")
        load_weights(network, self.path)
        return self.figure


def _loss_of(spec: ModelSpec, stain: str) -> LossConfig:
    """Loss that the start was trained with, where its record tells; else that of the recipe."""
    config = spec.training.get("config")
    networks = config.get("networks") if isinstance(config, dict) else None
    record = networks.get(stain) if isinstance(networks, dict) else None
    if record is None:
        return _LOSSES[stain]
    try:
        return StainConfig.model_validate(record).course[0].loss
    except ValidationError:
        return _LOSSES[stain]


def _show(course: Course, stain: str, network: nn.Module, preview: Preview) -> None:
    part = next(p for p in course.parts["validation"] if stain in p.stains)
    truth = part.stains[stain]
    y, x = (max(0, (n - _PREVIEW_PX) // 2) for n in truth.shape)
    window = slice(y, y + _PREVIEW_PX), slice(x, x + _PREVIEW_PX)
    planes = part.planes[(slice(None, None, -1 if course.reverse else 1), *window)]
    with torch.inference_mode():
        image = predict({stain: network}, np.ascontiguousarray(planes), course.spec)[stain]
    counts: Any = course.spec.outputs[stain].to_counts(image)
    preview(stain, counts.astype(np.float32), np.ascontiguousarray(truth[window]))
