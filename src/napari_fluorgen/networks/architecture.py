"""Description of a network, as it stands in a model package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from torch import nn


class Architecture(BaseModel):
    """Hyper-parameters from which a network is built.

    Does not import torch, so that model lists stay fast.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["dense-unet", "nuclei"]
    in_channels: int = Field(default=7, ge=1, description="Brightfield planes.")
    out_channels: int = Field(default=1, ge=1, description="Stains of a dense-unet.")
    classes: int = Field(default=2, ge=2, description="Segmentation classes of a nuclei network.")
    fold: int = Field(
        default=1, ge=1, description="Side of the pixel blocks folded into channels at the input."
    )
    first_filters: int = Field(default=48, ge=1, description="Width of the first convolution.")
    blocks: int = Field(default=4, ge=1, description="Resolution steps.")
    layers: int = Field(default=4, ge=1, description="Layers a dense block.")
    growth_rate: int = Field(default=12, ge=1, description="Features that a layer adds.")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="Dropout while training.")
    refine_layers: int = Field(default=2, ge=1, description="Layers of the nuclei's last block.")
    refine_growth_rate: int = Field(default=2, ge=1, description="Features that each of them adds.")
    outlined: bool = Field(
        default=False, description="Whether the nuclei's segmentation reads the stain's features."
    )
    views: Literal[1, 2, 4] = Field(
        default=1, description="Mirrored views whose outputs are averaged, except while training."
    )

    @property
    def divisor(self) -> int:
        """Number that rows and columns of the input are multiples of."""
        return int(self.fold * 2**self.blocks)


def build_network(architecture: Architecture) -> nn.Module:
    """Build an untrained network.

    Parameters
    ----------
    architecture : Architecture
        Its description.

    Returns
    -------
    torch.nn.Module
        A `DenseUNet` or `NucleiNet` in training mode, with random weights.
    """
    settings = architecture.model_dump(exclude={"kind"})
    if architecture.kind == "nuclei":
        from napari_fluorgen.networks.nuclei_net import NucleiNet

        del settings["out_channels"]
        return NucleiNet(**settings)
    from napari_fluorgen.networks.dense_unet import DenseUNet

    for name in ("classes", "refine_layers", "refine_growth_rate", "outlined"):
        del settings[name]
    return DenseUNet(**settings)
