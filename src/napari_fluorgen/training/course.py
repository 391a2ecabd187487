"""How one network is trained: losses, learning rates, and the phases that follow each other."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from napari_fluorgen.networks import Architecture
from napari_fluorgen.training.augment import AugmentSettings


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class LossConfig(_Section):
    """Parts of a loss and their weights, the alphas of the challenge report.

    Equation numbers are those of the report. What version 0.1 called `stain`, `gradient`,
    `segmentation` and `loss_weight_modules` is understood as well.
    """

    reconstruction: Literal["smooth-l1", "median-mae", "log-squared", "l1"] = Field(
        default="smooth-l1",
        description="Distance of stain and truth: smooth L1, median MAE (4), log squared (3), L1.",
    )
    alpha_reconstruction: float = Field(
        default=1.0,
        ge=0,
        validation_alias=AliasChoices("alpha_reconstruction", "stain"),
        description="Of the reconstruction (6, 9).",
    )
    alpha_gradient: float = Field(
        default=0.0,
        ge=0,
        validation_alias=AliasChoices("alpha_gradient", "gradient"),
        description="Of the difference of image gradients (5, 9).",
    )
    alpha_segmentation: float = Field(
        default=0.0,
        ge=0,
        validation_alias=AliasChoices("alpha_segmentation", "segmentation"),
        description="Of the cross entropy of the nuclei mask (6, 8).",
    )
    alpha_lwm: float = Field(
        default=0.0,
        ge=0,
        validation_alias=AliasChoices("alpha_lwm", "loss_weight_modules"),
        description="Of the loss weight modules at the coarser scales (6, 7).",
    )
    alpha_adversarial: float = Field(
        default=0.01, ge=0, description="Of the adversarial loss (9), in adversarial phases."
    )
    misclassified: float = Field(
        default=2.0, ge=1, description="Weight of misclassified pixels (7)."
    )


class OneCycle(_Section):
    """Up to the learning rate and down to almost nothing, along half cosines."""

    kind: Literal["one-cycle"] = "one-cycle"
    warm_up: float = Field(default=0.15, gt=0, lt=1, description="Share of the phase that rises.")


class WarmRestarts(_Section):
    """Cosine annealing to zero, again and again (SGDR)."""

    kind: Literal["warm-restarts"] = "warm-restarts"
    t_0: float = Field(default=2, gt=0, description="First period, in the unit of the phase.")
    t_mult: int = Field(default=2, ge=1, description="How much longer each next period is.")


class Constant(_Section):
    """The same learning rate throughout."""

    kind: Literal["constant"] = "constant"


def _by_name(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


Schedule = Annotated[
    Annotated[OneCycle | WarmRestarts | Constant, Field(discriminator="kind")],
    BeforeValidator(_by_name),
]
"""Course of a learning rate; its name alone stands for the default settings."""


class DiscriminatorConfig(_Section):
    """PatchGAN of adversarial phases; three layers see patches of 70 x 70 pixels."""

    ndf: int = Field(default=32, ge=1, description="Width of the first convolution.")
    layers: int = Field(default=3, ge=1, le=6, description="Further layers of convolution.")

    @property
    def smallest_crop(self) -> int:
        """Side of the smallest crop that it can judge."""
        return int(3 * 2**self.layers)


class Phase(_Section):
    """A stretch of training with one loss and one course of the learning rate."""

    kind: Literal["pretrain", "adversarial"] = "pretrain"
    steps: int | None = Field(default=None, ge=1, description="Optimiser steps.")
    epochs: float | None = Field(
        default=None,
        gt=0,
        description="Instead of steps: an epoch is a crop of each nucleus for the nuclei network, "
        "a crop of each field for the others.",
    )
    learning_rate: float = Field(default=3e-3, gt=0, description="Peak of the schedule.")
    schedule: Schedule = OneCycle()
    loss: LossConfig = LossConfig()
    discriminator_learning_rate: float = Field(default=1e-6, gt=0)
    pool: int = Field(
        default=50, ge=0, description="Earlier predictions that the discriminator is shown."
    )

    @model_validator(mode="after")
    def _one_length(self) -> Phase:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("a phase needs either steps or epochs")
        return self

    def count_steps(self, steps_per_epoch: float) -> int:
        """Steps of this phase."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return max(1, round(self.epochs * steps_per_epoch))

    @property
    def length(self) -> str:
        """Length in words, for cards."""
        size = f"{self.steps} steps" if self.steps is not None else f"{self.epochs:g} epochs"
        return f"{size} adversarial" if self.kind == "adversarial" else size


class StainConfig(_Section):
    """One network and how it is trained: in several `phases`, or in one that is given directly."""

    architecture: Architecture
    weight_decay: float = Field(default=1e-4, ge=0)
    batch: int | None = Field(default=None, ge=1, description="Instead of data.batch.")
    centred: float | None = Field(default=None, ge=0, le=1, description="Instead of data.centred.")
    augment: AugmentSettings | None = Field(default=None, description="Instead of data.augment.")
    discriminator: DiscriminatorConfig = DiscriminatorConfig()
    phases: tuple[Phase, ...] = Field(default=(), description="One after another.")
    averaged_phases: int = Field(
        default=1,
        ge=1,
        description="Of so many last phases the final weights are averaged; 1 takes the last.",
    )
    steps: int | None = Field(default=None, ge=1, description="Optimiser steps of a single phase.")
    epochs: float | None = Field(default=None, gt=0, description="Instead of steps.")
    learning_rate: float = Field(default=3e-3, gt=0, description="Peak of the schedule.")
    schedule: Schedule = OneCycle()
    loss: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _phases_or_one(self) -> StainConfig:
        single = {"steps", "epochs", "learning_rate", "schedule", "loss"}
        if self.phases and any(
            getattr(self, name) != type(self).model_fields[name].default for name in single
        ):
            raise ValueError(f"with phases, {', '.join(sorted(single))} belong into each phase")
        if not self.phases and (self.steps is None) == (self.epochs is None):
            raise ValueError("give steps, epochs or phases")
        if self.averaged_phases > len(self.course):
            raise ValueError(
                f"averaged_phases {self.averaged_phases} must not exceed the number of phases, "
                f"{len(self.course)}"
            )
        if self.architecture.kind != "nuclei" and any(
            phase.loss.alpha_segmentation or phase.loss.alpha_lwm for phase in self.course
        ):
            raise ValueError("alpha_segmentation and alpha_lwm are of the nuclei network only")
        return self

    @property
    def course(self) -> tuple[Phase, ...]:
        """The phases, also where a single one is given directly."""
        if self.phases:
            return self.phases
        return (
            Phase(
                steps=self.steps,
                epochs=self.epochs,
                learning_rate=self.learning_rate,
                schedule=self.schedule,
                loss=self.loss,
            ),
        )

    @property
    def adversarial(self) -> bool:
        """Whether a discriminator takes part."""
        return any(phase.kind == "adversarial" for phase in self.phases)

    @property
    def length(self) -> str:
        """Length in words, for cards: ``"200 epochs, then 1000 epochs adversarial"``."""
        return ", then ".join(phase.length for phase in self.course)
