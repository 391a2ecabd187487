"""What a fine-tuning run is asked for and what it gives: plain frozen data, no torch.

The run itself is ``fine_tune(request, *, pairs=None, progress=None, preview=None, stage=None,
should_stop=None) -> FineTuneResult`` in `napari_fluorgen.workflow.fine_tuning`:

- ``pairs``: stacks with ``truth`` in memory (layers of a viewer) instead of ``request.pairs``;
- ``progress(TrainProgress)`` after steps, ``stage(sentence)`` when another part of the work
  begins, ``preview(stain, predicted, truth)`` with float32 images (Y, X) in camera counts of a
  held-out part after each validation, all called in the thread that runs it;
- ``should_stop()`` is asked after each step. Stopped with something learned it still calibrates
  and packs the best so far (``result.stopped``); stopped with nothing it raises `Cancelled`;
- other trouble is one sentence in an `InputError`, `ModelError`, `ConfigError`, `OutputError` or
  `DeviceError`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from napari_fluorgen.errors import ConfigError, FluorgenError
from napari_fluorgen.models.spec import NAME_LENGTH, check_model_name
from napari_fluorgen.stack import STAINS
from napari_fluorgen.workflow.request import DEFAULT_MODEL, describe_validation_error

DEFAULT_MINUTES = 10.0


class FineTuneRequest(BaseModel):
    """Settings of one fine-tuning run.

    The command line, Python and the Train dock build the same; the package that comes out
    carries it in its record of training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    init: str = Field(DEFAULT_MODEL, description="Installed model or package folder to start from.")
    pairs: Path | None = Field(
        None, description="Folder of fields with brightfield and true stains."
    )
    name: str | None = Field(
        None, description="Name of the new model; by default that of the start with '-tuned'."
    )
    output: Path | None = Field(None, description="Folder of the new package.")
    install: bool = Field(False, description="Also install the package for this user.")
    minutes: float | None = Field(
        None, gt=0, le=10080, description="Time to train; 10 where no steps are given either."
    )
    steps: int | None = Field(None, ge=1, description="Steps of each network, instead of minutes.")
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    registration: Literal["report", "correct", "off"] = Field(
        "report", description="What to do about a shift between brightfield and stains."
    )
    stains: tuple[str, ...] | None = Field(
        None, description="Which networks to train; by default all that the pairs have stains of."
    )
    simulated: bool = Field(False, description="The pairs are simulated; the card says so.")
    seed: int = Field(42, ge=0, lt=2**32, description="Of the split and of all draws.")
    work: Path | None = Field(
        None, description="Keeps checkpoints and logs; a temporary folder where not given."
    )
    resume: bool = Field(False, description="Go on from the checkpoints in `work`.")
    overwrite: bool = Field(False, description="Replace an older package, model or run.")

    @field_validator("name")
    @classmethod
    def _nameable(cls, name: str | None) -> str | None:
        if name is not None:
            check_model_name(name)
        return name

    @field_validator("stains")
    @classmethod
    def _known_stains(cls, stains: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if stains is not None and (not stains or not set(stains) <= set(STAINS)):
            raise ValueError(f"name some of {', '.join(STAINS)}")
        return None if stains is None else tuple(stain for stain in STAINS if stain in stains)

    @model_validator(mode="after")
    def _consistent(self) -> FineTuneRequest:
        if self.minutes is not None and self.steps is not None:
            raise ValueError("give minutes or steps, not both")
        if self.output is None and not self.install:
            raise ValueError("give an output folder for the new model, or install it")
        if self.resume and self.work is None:
            raise ValueError("only a run whose work folder was kept can be resumed")
        return self

    @classmethod
    def build(cls, **settings: Any) -> FineTuneRequest:
        """Return a request, or say in one sentence which setting is wrong.

        Raises
        ------
        ConfigError
            When a setting is unknown, out of range or contradicts another.
        ModelError
            When no model can be called so.
        """
        try:
            return cls(**settings)
        except ValidationError as error:
            raise ConfigError(describe_validation_error(error)) from None

    def to_record(self) -> dict[str, Any]:
        """Return the request as JSON-ready values."""
        return self.model_dump(mode="json")


def default_name(init: str) -> str:
    """Return the name of a model that is fine-tuned from `init`, a name or folder."""
    end = "-tuned"
    return f"{Path(init).name[: NAME_LENGTH - len(end)]}{end}"


def may_replace(request: FineTuneRequest, name: str) -> bool:
    """Whether what lies where the new model goes now may be replaced.

    Either that was asked for, or all of it is what the run that is resumed wrote when it was
    stopped.
    """
    from napari_fluorgen.models import load_model

    if request.overwrite or not request.resume:
        return request.overwrite
    asked = request.to_record()
    own: list[bool] = []
    for place in (request.output, name if request.install else None):
        if place is None:
            continue
        try:
            record = load_model(place).spec.training
        except FluorgenError:  # nothing there, or no model, which the writing refuses
            continue
        before = record.get("request", {})
        same = all(before.get(key) == asked[key] for key in ("init", "pairs", "work"))
        own.append(bool(record.get("stopped")) and same)
    return bool(own) and all(own)


@dataclass(frozen=True)
class FineTuneScores:
    """How a model does on the held-out fields.

    Attributes
    ----------
    pearson : mapping of str to float
        Mean correlation with the true stain, by stain.
    pixel_error : mapping of str to float
        Official pixel error by stain: mean absolute error over the median of the truth.
    f1 : mapping of float to float
        F1 of the nuclei by IoU threshold (0.5 and 0.7), pooled; empty without nuclei labels.
    """

    pearson: Mapping[str, float]
    pixel_error: Mapping[str, float]
    f1: Mapping[float, float] = field(default_factory=dict)

    def to_record(self) -> dict[str, Any]:
        """Return JSON-ready values; what is undefined is None."""
        return {
            name: {str(key): value if value == value else None for key, value in table.items()}
            for name, table in asdict(self).items()
        }


@dataclass(frozen=True)
class FineTuneResult:
    """The new model and what it gained.

    Attributes
    ----------
    name : str
        Of the new model: the one asked for, with a number where that was taken meanwhile.
    path : Path
        Its package: the output folder, or the installed one where only that was asked for.
    installed : bool
        Whether it stands in the list of models now.
    before, after : FineTuneScores
        Of the start model, as `fluorgen stain` runs it, and of the new one, on held-out parts.
    fields : mapping of str to tuple of str
        Names of the parts used for ``"training"``, ``"validation"`` and ``"calibration"``.
    stains : tuple of str
        Networks that were trained; the others are those of the start model.
    steps : mapping of str to int
        Steps taken by each of them.
    minutes : float
        Duration of the training.
    stopped : bool
        Whether the user stopped it; the model is then the best until there.
    notes : tuple of str
        What was assumed, left out or should be known, in sentences.
    """

    name: str
    path: Path
    installed: bool
    before: FineTuneScores
    after: FineTuneScores
    fields: Mapping[str, tuple[str, ...]]
    stains: tuple[str, ...]
    steps: Mapping[str, int]
    minutes: float
    stopped: bool
    notes: tuple[str, ...]

    def figures(self) -> list[tuple[str, str, str]]:
        """Return rows of (figure, before, after) as text, for tables."""
        return figures(self.before, self.after)

    def to_record(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        record = dict(vars(self))
        record |= {"path": str(self.path), "minutes": round(self.minutes, 2)}
        return record | {"before": self.before.to_record(), "after": self.after.to_record()}


def figures(before: FineTuneScores, after: FineTuneScores) -> list[tuple[str, str, str]]:
    """Return rows of (figure, before, after) as text; a dash stands for what is not defined."""
    rows = []
    kinds: tuple[tuple[str, Mapping[Any, float], Mapping[Any, float]], ...] = (
        ("Pearson r, {}", before.pearson, after.pearson),
        ("pixel error, {}", before.pixel_error, after.pixel_error),
        ("nuclei F1 at IoU {:g}", before.f1, after.f1),
    )
    for title, one, two in kinds:
        rows += [(title.format(key), _text(one.get(key)), _text(two[key])) for key in two]
    return rows


def _text(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.3f}"
