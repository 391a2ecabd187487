"""The networks of a model as one module."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from napari_fluorgen.networks.nuclei_net import NucleiNet


class CombinedNetwork(nn.Module):
    """Runs the network of each stain on the same planes.

    Parameters
    ----------
    networks : mapping of str to Module
        Stain to its network, in the order of the output.

    Attributes
    ----------
    output_names : tuple of str
        The stains; last ``"nuclei_probability"`` where a `NucleiNet` is among them.
    """

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleDict(networks)
        segments = any(isinstance(network, NucleiNet) for network in networks.values())
        self.output_names = (*networks, *(("nuclei_probability",) if segments else ()))

    def forward(self, brightfield: Tensor) -> tuple[Tensor, ...]:
        """Stain the planes.

        Parameters
        ----------
        brightfield : Tensor, shape (B, planes, Y, X)
            Scaled brightfield.

        Returns
        -------
        tuple of Tensor, each (B, 1, Y, X), float32
            In the order of `output_names`, all in [0, 1].
        """
        stains = []
        probability = []
        for network in self.networks.values():
            output = network(brightfield)
            if isinstance(network, NucleiNet):
                stains.append(output.stain)
                probability.append(torch.softmax(output.logits, dim=1)[:, 1:2])
            else:
                stains.append(output)
        return (*stains, *probability)
