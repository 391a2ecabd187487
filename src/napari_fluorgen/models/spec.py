"""What a model package says about its model; imports no torch."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from napari_fluorgen.errors import ModelError
from napari_fluorgen.networks.architecture import Architecture
from napari_fluorgen.stack import STAINS

PROBABILITY = "nuclei_probability"
"""Name of the output that the nuclei network's segmentation gives."""

NAME_LENGTH = 64
"""Characters that the name of a model may have."""

MODEL_NAME = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{NAME_LENGTH - 1}}}"
"""What a model may be called: it also names a folder."""


def check_model_name(name: str) -> None:
    """Raise `ModelError` where a model cannot be called so."""
    if not re.fullmatch(MODEL_NAME, name):
        raise ModelError(
            f"'{name}' cannot name a model: use up to {NAME_LENGTH} letters, digits, dots, "
            "dashes and underscores, a letter or digit first."
        )


def _ascending(z_um: tuple[float, ...]) -> tuple[float, ...]:
    if list(z_um) != sorted(set(z_um)):
        raise ValueError(f"positions must ascend, each given once, not {z_um}")
    return z_um


PlanePositions = Annotated[tuple[float, ...], AfterValidator(_ascending)]
"""Positions of planes in micrometres, from below focus to above."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BackgroundScaling(_Frozen):
    """Brightfield relative to its own illumination: ``(plane / background - 1) * gain``."""

    kind: Literal["background"] = "background"
    gain: float = Field(default=1.0, gt=0)


class RangeScaling(_Frozen):
    """Fixed range of each plane: ``(plane - minimum) / (maximum - minimum)``, clipped to [0, 1]."""

    kind: Literal["range"] = "range"
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]

    @model_validator(mode="after")
    def _check(self) -> RangeScaling:
        if len(self.minimum) != len(self.maximum) or any(
            high <= low for low, high in zip(self.minimum, self.maximum, strict=False)
        ):
            raise ValueError("minimum and maximum need one rising pair a plane")
        return self


InputScaling = Annotated[BackgroundScaling | RangeScaling, Field(discriminator="kind")]


class StainRange(_Frozen):
    """Camera counts of a stain where the network says 0 and 1."""

    minimum: float
    maximum: float

    @model_validator(mode="after")
    def _check(self) -> StainRange:
        if self.maximum <= self.minimum:
            raise ValueError(f"maximum {self.maximum} must exceed minimum {self.minimum}")
        return self

    def to_counts(self, stain: ArrayLike) -> NDArray[np.uint16]:
        """Camera counts of a network output in [0, 1], rounded, clipped to 0..65535."""
        counts = np.asarray(stain, np.float32) * np.float32(self.maximum - self.minimum)
        counts += np.float32(self.minimum)
        return np.clip(np.rint(counts), 0, 65535).astype(np.uint16)

    def from_counts(self, counts: ArrayLike) -> NDArray[np.float32]:
        """Network scale of camera counts, clipped to [0, 1]."""
        return np.clip(self.unclipped(counts), np.float32(0), np.float32(1))

    def unclipped(self, counts: ArrayLike) -> NDArray[np.float32]:
        """Network scale of camera counts; what networks cannot predict lies outside [0, 1]."""
        span = np.float32(self.maximum - self.minimum)
        return (np.asarray(counts, np.float32) - np.float32(self.minimum)) / span


class NucleiSettings(_Frozen):
    """How nuclei are cut out of their probability; sizes in micrometres."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    min_area_um2: float = Field(default=20.0, ge=0)
    max_area_um2: float = Field(default=600.0, gt=0)
    seed_distance_um: float = Field(default=4.0, gt=0)

    @model_validator(mode="after")
    def _check(self) -> NucleiSettings:
        if self.min_area_um2 > self.max_area_um2:
            raise ValueError(
                f"min_area_um2 {self.min_area_um2:g} must not exceed max_area_um2 "
                f"{self.max_area_um2:g}"
            )
        return self


class ModelSpec(_Frozen):
    """Description of a model: what it was trained on and how its numbers are read.

    Attributes
    ----------
    name, version, description, magnification : str
        For people; `name` is also how the model is asked for.
    pixel_size_um : float
        Micrometres a pixel of the training data.
    z_um : tuple of float
        Positions of the planes in micrometres, ascending: from below focus to above.
    planes : int
        Number of planes.
    input : BackgroundScaling or RangeScaling
        From camera counts to the network's input.
    outputs : dict of str to StainRange
        Stain to the counts that its network's 0 and 1 stand for.
    overlap_px : int
        Overlap of tiles that covers the effective receptive field.
    divisor : int
        Rows and columns of a tile are multiples of it.
    nuclei : NucleiSettings
        For the segmentation.
    architectures : dict of str to Architecture
        Network of each stain; same keys as `outputs`.
    training : dict
        Free record of how it was trained.
    simulated : bool
        Whether it was trained on simulated data.
    general : bool
        Whether it is meant for any cells; models for particular cells are suggested before it.
    """

    name: str = Field(pattern=f"^{MODEL_NAME}$")
    version: str = "0.1.0"
    description: str = ""
    magnification: str = ""
    pixel_size_um: float = Field(gt=0)
    z_um: PlanePositions
    planes: int = 7
    input: InputScaling
    outputs: dict[str, StainRange]
    overlap_px: int = Field(default=64, ge=0)
    divisor: int = Field(default=16, ge=1)
    nuclei: NucleiSettings = NucleiSettings()
    architectures: dict[str, Architecture]
    training: dict[str, Any] = Field(default_factory=dict)
    simulated: bool = False
    general: bool = False

    @model_validator(mode="after")
    def _check(self) -> ModelSpec:
        if len(self.z_um) != self.planes:
            raise ValueError(f"z_um needs {self.planes} positions, not {self.z_um}")
        if isinstance(self.input, RangeScaling) and len(self.input.minimum) != self.planes:
            raise ValueError(f"the input range needs {self.planes} planes")
        if not self.architectures or not set(self.architectures) <= set(STAINS):
            raise ValueError(f"architectures must be of {', '.join(STAINS)}")
        if set(self.outputs) != set(self.architectures):
            raise ValueError("outputs and architectures must name the same stains")
        for stain, architecture in self.architectures.items():
            if architecture.in_channels != self.planes:
                raise ValueError(f"the {stain} network takes {architecture.in_channels} planes")
            if (architecture.kind == "nuclei") != (stain == "nuclei"):
                raise ValueError(f"{architecture.kind} is no network for {stain}")
            if self.divisor % architecture.divisor:
                raise ValueError(
                    f"divisor {self.divisor} is no multiple of {architecture.divisor}, "
                    f"which the {stain} network needs"
                )
        return self

    @property
    def stains(self) -> tuple[str, ...]:
        """The stains of this model, in the order of `napari_fluorgen.stack.STAINS`."""
        return tuple(stain for stain in STAINS if stain in self.architectures)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of what the combined network returns: the stains, then the probability."""
        return (*self.stains, *((PROBABILITY,) if "nuclei" in self.architectures else ()))
