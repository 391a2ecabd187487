"""What a training run does, read from a YAML file and checked before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from napari_fluorgen.errors import ConfigError, ModelError, first_problem
from napari_fluorgen.models import InputScaling, NucleiSettings, StainRange
from napari_fluorgen.models.spec import PlanePositions, check_model_name
from napari_fluorgen.stack import STAINS
from napari_fluorgen.training.augment import AugmentSettings
from napari_fluorgen.training.course import LossConfig, Phase, StainConfig

__all__ = [
    "DataConfig", "EarlyStopping", "LossConfig", "Phase", "StainConfig", "TrainingConfig",
    "read_config",
]  # fmt: skip


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(_Section):
    """Pairs of brightfield and true stains, and the crops that are drawn from them."""

    train: Path = Field(description="Folder of the pairs that the networks learn from.")
    validation: Path = Field(description="Folder of the pairs whose figures are watched.")
    calibration: Path | None = Field(
        default=None, description="Folder of pairs that only the conformal calibration sees."
    )
    registration: Literal["report", "correct", "off"] = Field(
        default="report", description="What to do about shifts between brightfield and stains."
    )
    cache: Path | None = Field(
        default=None, description="Folder that keeps each field as one array for the next run."
    )
    crop: int = Field(default=192, ge=32, description="Side of the training crops in pixels.")
    batch: int = Field(default=4, ge=1, description="Crops a step, on each device.")
    centred: float = Field(
        default=0.5, ge=0, le=1, description="Share of crops centred on a nucleus."
    )
    augment: AugmentSettings = Field(
        default=AugmentSettings(), description="How crops are varied each time they are drawn."
    )
    workers: int = Field(
        default=0, ge=0, description="Processes that prepare crops; 0: the training itself does."
    )


class EarlyStopping(_Section):
    """End a network's training when a validation figure no longer improves; keep the best."""

    figure: Literal["pearson", "dice", "pixel_error"] = Field(
        default="pearson", description="Figure that is watched; dice is of the nuclei only."
    )
    patience: int = Field(
        default=10, ge=1, description="Validations without a better figure before the end."
    )


class TrainingConfig(_Section):
    """A model package to be: its name, data and networks."""

    name: str
    version: str = "0.1.0"
    description: str
    magnification: str
    pixel_size_um: float = Field(gt=0)
    z_um: PlanePositions
    simulated: bool = Field(description="Whether the pairs are simulated; the card says so.")
    general: bool = Field(
        default=False,
        description="Whether it is for any cells: others are suggested before such a model.",
    )
    input: InputScaling
    outputs: dict[str, StainRange]
    overlap_px: int = Field(ge=0)
    nuclei: NucleiSettings = NucleiSettings()
    data: DataConfig
    networks: dict[Literal["nuclei", "lipids", "cytoplasm"], StainConfig]
    init: str | None = Field(
        default=None, description="Installed model or package folder whose weights are the start."
    )
    seed: int = Field(default=42, ge=0, lt=2**32, description="Of weights, crops and dropout.")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = Field(default=1, ge=1, description="Devices that share the work.")
    strategy: str = Field(
        default="auto", description="How several devices share it: a strategy of Lightning."
    )
    validate_every: int = Field(
        default=100, ge=1, description="Steps between validations, each followed by a checkpoint."
    )
    early_stopping: EarlyStopping | None = None
    half_weights: bool = Field(
        default=False, description="Store the package's weights in half precision."
    )

    @field_validator("name")
    @classmethod
    def _nameable(cls, name: str) -> str:
        try:
            check_model_name(name)
        except ModelError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return name

    @model_validator(mode="after")
    def _consistent(self) -> TrainingConfig:
        if not self.networks or set(self.networks) != set(self.outputs):
            raise ValueError(f"networks and outputs must both name the same of {', '.join(STAINS)}")
        for stain, network in self.networks.items():
            kind = "nuclei" if stain == "nuclei" else "dense-unet"
            if network.architecture.kind != kind:
                raise ValueError(f"networks.{stain}.architecture.kind must be {kind!r}")
            if self.data.crop % network.architecture.divisor:
                raise ValueError(
                    f"data.crop {self.data.crop} must be a multiple of "
                    f"{network.architecture.divisor}, the divisor of networks.{stain}"
                )
            if self.input.kind == "range" and len(self.input.minimum) != len(self.z_um):
                raise ValueError("input must have a minimum and maximum for each of z_um")
            if network.architecture.in_channels != len(self.z_um):
                raise ValueError(f"networks.{stain} must take as many planes as z_um has")
            if network.adversarial and self.data.crop < network.discriminator.smallest_crop:
                raise ValueError(
                    f"data.crop {self.data.crop} must be at least "
                    f"{network.discriminator.smallest_crop} for the discriminator of "
                    f"networks.{stain}"
                )
        if len({self.data_for(stain).augment.planes for stain in self.networks}) > 1:
            raise ValueError("augment.planes must be the same for all networks")
        watched = self.early_stopping
        if watched is not None and any(n.averaged_phases > 1 for n in self.networks.values()):
            raise ValueError("averaged_phases needs training to the end: leave early_stopping out")
        if watched is not None and watched.figure == "dice" and set(self.networks) != {"nuclei"}:
            raise ValueError("early_stopping.figure dice is a figure of the nuclei only")
        return self

    def data_for(self, stain: str) -> DataConfig:
        """The data section, with what the network of a stain has instead."""
        network = self.networks[stain]  # type: ignore[index]
        own = {name: getattr(network, name) for name in ("batch", "centred", "augment")}
        return self.data.model_copy(update={k: v for k, v in own.items() if v is not None})


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
        where, found, said = first_problem(error)
        found = found and f" (found {found})"
        raise ConfigError(f"{path}: {where or 'settings'}: {said}{found}.") from None
