"""Initialisation of sub-pixel convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def icnr_(weight: Tensor, scale: int = 2) -> Tensor:
    """Fill the weight of a convolution before a pixel shuffle so that it starts smooth.

    All ``scale**2`` filters that make one output pixel block get the same values, so that
    the untrained layer equals nearest-neighbour upsampling and shows no checkerboard [1]_.

    Parameters
    ----------
    weight : Tensor, shape (C * scale**2, C_in, kY, kX)
        Changed in place.
    scale : int
        Factor of the pixel shuffle.

    Returns
    -------
    Tensor
        `weight`.

    References
    ----------
    .. [1] Aitken et al., "Checkerboard artifact free sub-pixel convolution",
       arXiv:1707.02937.
    """
    if weight.is_meta:  # no values; torch would load its compiler to draw none
        return weight
    small = weight.new_empty(weight.shape[0] // scale**2, *weight.shape[1:])
    nn.init.kaiming_normal_(small, nonlinearity="relu")
    weight.copy_(small.repeat_interleave(scale**2, dim=0))
    return weight
