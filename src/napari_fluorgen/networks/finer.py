"""A trained network carried over to images of finer pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_fluorgen.networks.architecture import Architecture, build_network

_HEADS = ("head.", "stain_head.", "segmentation_head.", "outline_head.")


def for_finer_pixels(
    network: nn.Module, architecture: Architecture, factor: int
) -> tuple[nn.Module, Architecture]:
    """Return a network that does on finer pixels what `network` does on coarse ones.

    Its first convolution averages blocks of ``factor`` x ``factor`` pixels and its last repeats
    each value over such a block, so that it starts as good as `network` on the binned image and
    training teaches it the finer detail. The idea is that of `icnr_`, at both ends.

    Parameters
    ----------
    network : torch.nn.Module
        A `DenseUNet` or `NucleiNet`.
    architecture : Architecture
        Its description.
    factor : int
        How many fine pixels make a coarse one, along an axis.

    Returns
    -------
    network : torch.nn.Module
        In eval mode.
    architecture : Architecture
        With ``factor`` times the fold.
    """
    finer = architecture.model_copy(update={"fold": architecture.fold * factor})
    weights = {
        name: _spread(name, weight, architecture.fold, factor)
        for name, weight in network.state_dict().items()
    }
    built = build_network(finer)
    built.load_state_dict(weights)
    return built.eval(), finer


def _spread(name: str, weight: Tensor, fold: int, factor: int) -> Tensor:
    if name == "encoder.stem.weight":
        return _repeat(weight.transpose(0, 1), fold, factor).transpose(0, 1) / factor**2
    if name.startswith(_HEADS):
        return _repeat(weight, fold, factor)
    return weight


def _repeat(weight: Tensor, fold: int, factor: int) -> Tensor:
    """Repeat sub-pixels, which stand as (channel, row, column) along the first axis."""
    blocks = weight.unflatten(0, (-1, fold, fold))
    for axis in (1, 2):
        blocks = torch.repeat_interleave(blocks, factor, dim=axis)
    return blocks.flatten(0, 2).contiguous()
