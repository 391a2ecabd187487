"""Networks that read their planes the other way round."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn


def reverse_planes(network: nn.Module) -> nn.Module:
    """Return a copy that gives for a stack what `network` gives for its planes reversed.

    Only the first convolution sees planes, so its weights are put in the opposite order; nothing
    else changes and nothing is lost.

    Parameters
    ----------
    network : DenseUNet or NucleiNet
        With `encoder.stem` as its first convolution and `fold` pixels folded into channels.

    Returns
    -------
    torch.nn.Module
        In the mode and on the device of `network`.
    """
    turned: Any = deepcopy(network)
    stem = turned.encoder.stem
    weight = stem.weight.detach()
    filters, _, height, width = weight.shape
    by_plane = weight.reshape(filters, -1, turned.fold**2, height, width)
    with torch.no_grad():
        stem.weight.copy_(by_plane.flip(1).reshape(weight.shape))
    return turned
