"""The networks, as torch modules, and descriptions to build them from.

Names are loaded on first use: an `Architecture` can be read without importing torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_fluorgen.networks.architecture import Architecture, build_network
    from napari_fluorgen.networks.combined import CombinedNetwork
    from napari_fluorgen.networks.dense_unet import DenseUNet
    from napari_fluorgen.networks.discriminator import PatchDiscriminator
    from napari_fluorgen.networks.finer import for_finer_pixels
    from napari_fluorgen.networks.icnr import icnr_
    from napari_fluorgen.networks.nuclei_net import NucleiNet, NucleiOutput

__all__ = [
    "Architecture",
    "CombinedNetwork",
    "DenseUNet",
    "NucleiNet",
    "NucleiOutput",
    "PatchDiscriminator",
    "build_network",
    "for_finer_pixels",
    "icnr_",
]

_MODULES = {
    "Architecture": "architecture",
    "CombinedNetwork": "combined",
    "DenseUNet": "dense_unet",
    "NucleiNet": "nuclei_net",
    "NucleiOutput": "nuclei_net",
    "PatchDiscriminator": "discriminator",
    "build_network": "architecture",
    "for_finer_pixels": "finer",
    "icnr_": "icnr",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
