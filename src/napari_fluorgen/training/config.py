"""What a training run does, read from a YAML file and checked before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from napari_fluorgen.errors import ConfigError
from napari_fluorgen.models import BackgroundScaling, NucleiSettings, StainRange
from napari_fluorgen.networks import Architecture
from napari_fluorgen.stack import STAINS


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(_Section):
    """Pairs of brightfield and true stains."""

    train: Path = Field(description="Plate folder of the pairs that the networks learn from.")
    validation: Path = Field(description="Plate folder whose figures are watched while training.")
    calibration: Path | None = Field(
        default=None, description="Plate folder that only the conformal calibration sees."
    )
    crop: int = Field(default=192, ge=32, description="Side of the training crops in pixels.")
    batch: int = Field(default=4, ge=1, description="Crops a step.")
    centred: float = Field(
        default=0.5, ge=0, le=1, description="Share of crops centred on a nucleus."
    )


class LossConfig(_Section):
    """Weights of the parts of a loss; equation numbers are those of the challenge report."""

    stain: float = Field(default=1.0, ge=0, description="Smooth L1 between prediction and truth.")
    gradient: float = Field(default=0.0, ge=0, description="Difference of the image gradients (5).")
    segmentation: float = Field(
        default=0.0, ge=0, description="Cross entropy of the nuclei mask (8)."
    )
    loss_weight_modules: float = Field(default=0.0, ge=0, description="Coarser scales (7).")
    misclassified: float = Field(
        default=2.0, ge=1, description="Weight of misclassified pixels (7)."
    )


class StainConfig(_Section):
    """One network and how it is trained."""

    architecture: Architecture
    steps: int = Field(ge=1, description="Optimiser steps.")
    learning_rate: float = Field(default=3e-3, gt=0, description="Peak of the one-cycle schedule.")
    weight_decay: float = Field(default=1e-4, ge=0)
    loss: LossConfig = LossConfig()


class TrainingConfig(_Section):
    """A model package to be: its name, data and networks."""

    name: str
    version: str = "0.1.0"
    description: str
    magnification: str
    pixel_size_um: float = Field(gt=0)
    z_um: tuple[float, ...]
    simulated: bool = Field(description="Whether the pairs are simulated; the card says so.")
    input: BackgroundScaling
    outputs: dict[str, StainRange]
    overlap_px: int = Field(ge=0)
    nuclei: NucleiSettings = NucleiSettings()
    data: DataConfig
    networks: dict[Literal["nuclei", "lipids", "cytoplasm"], StainConfig]
    seed: int = 42
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"

    @model_validator(mode="after")
    def _consistent(self) -> TrainingConfig:
        if set(self.networks) != set(STAINS) or set(self.outputs) != set(STAINS):
            raise ValueError(f"networks and outputs must both name {', '.join(STAINS)}")
        for stain, network in self.networks.items():
            kind = "nuclei" if stain == "nuclei" else "dense-unet"
            if network.architecture.kind != kind:
                raise ValueError(f"networks.{stain}.architecture.kind must be {kind!r}")
            if self.data.crop % network.architecture.divisor:
                raise ValueError(
                    f"data.crop {self.data.crop} must be a multiple of "
                    f"{network.architecture.divisor}, the divisor of networks.{stain}"
                )
            if network.architecture.in_channels != len(self.z_um):
                raise ValueError(f"networks.{stain} must take as many planes as z_um has")
        return self


def read_config(path: str | Path) -> TrainingConfig:
    """Read and check a training configuration.

    Parameters
    ----------
    path : str or Path
        YAML file; relative folders in it are relative to the working directory.

    Raises
    ------
    ConfigError
        If the file is missing, not YAML, or a field is wrong; the message names the field.
    """
    path = Path(path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise ConfigError(
            f"{path} is not YAML; start from one of the files in training/configs."
        ) from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} holds no settings; expected a mapping of names to values.")
    try:
        return TrainingConfig.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise ConfigError(f"{path}: {where}: {first['msg']} (found {first['input']!r}).") from None
