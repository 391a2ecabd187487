"""Building blocks of the dense U-Nets."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_fluorgen.networks.icnr import icnr_


class DenseLayer(nn.Module):
    """Batch norm, ReLU, 3x3 convolution, dropout: adds `growth_rate` features.

    Parameters
    ----------
    in_channels : int
        Features that the layer sees.
    growth_rate : int
        Features that it adds.
    dropout : float
        Probability of dropping an added value while training.
    """

    def __init__(self, in_channels: int, growth_rate: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.conv = nn.Conv2d(in_channels, growth_rate, 3, padding=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return the added features, (B, growth_rate, Y, X)."""
        # The normalised tensor is this layer's own, so ReLU may overwrite it.
        return self.dropout(self.conv(F.relu(self.norm(x), inplace=True)))


class DenseBlock(nn.Module):
    """Layers that each see the block's input and all features added before them [1]_.

    Parameters
    ----------
    in_channels, layers, growth_rate : int
        Width of the input, number of layers, features that each adds.
    dropout : float
        Passed to each layer.
    keep_input : bool
        Return input and added features, or the added ones only.

    References
    ----------
    .. [1] Jégou et al., "The One Hundred Layers Tiramisu", CVPR Workshops 2017.
    """

    def __init__(
        self, in_channels: int, layers: int, growth_rate: int, dropout: float, *, keep_input: bool
    ) -> None:
        super().__init__()
        self.keep_input = keep_input
        self.layers = nn.ModuleList(
            DenseLayer(in_channels + i * growth_rate, growth_rate, dropout) for i in range(layers)
        )
        self.out_channels = layers * growth_rate + (in_channels if keep_input else 0)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, out_channels, Y, X)."""
        added = [self.layers[0](x)]
        seen = x
        for layer in list(self.layers)[1:]:
            seen = torch.cat((seen, added[-1]), dim=1)
            added.append(layer(seen))
        if self.keep_input:
            return torch.cat((seen, added[-1]), dim=1)
        return torch.cat(added, dim=1)


class TransitionDown(nn.Module):
    """Batch norm, ReLU, 1x1 convolution, dropout, 2x2 max pooling; the width stays.

    Parameters
    ----------
    channels : int
        Features in and out.
    dropout : float
        Probability of dropping a value while training.
    """

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, channels, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Halve rows and columns."""
        x = self.conv(F.relu(self.norm(x), inplace=True))
        return F.max_pool2d(self.dropout(x), 2)


class TransitionUp(nn.Module):
    """Sub-pixel convolution followed by a 2x2 blur, which removes its checkerboard [1]_.

    Parameters
    ----------
    channels : int
        Features in and out.

    References
    ----------
    .. [1] Sugawara et al., "Super-resolution using convolutional neural networks without
       any checkerboard artifacts", ICIP 2018.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        icnr_(self.conv.weight)
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Double rows and columns."""
        x = F.pixel_shuffle(F.relu(self.conv(x), inplace=True), 2)
        return F.avg_pool2d(F.pad(x, (1, 0, 1, 0), mode="replicate"), 2, stride=1)


def unfolding_head(in_channels: int, out_channels: int, fold: int) -> nn.Conv2d:
    """Return the last 1x1 convolution; where pixels are unfolded after it, it starts smooth."""
    head = nn.Conv2d(in_channels, out_channels * fold**2, 1)
    if fold > 1:
        head.weight.data.copy_(head.weight[:: fold**2].repeat_interleave(fold**2, dim=0))
        nn.init.zeros_(head.bias)  # type: ignore[arg-type]
    return head


class Encoder(nn.Module):
    """First convolution, down blocks and bottleneck, shared by the networks.

    Parameters
    ----------
    in_channels, first_filters, blocks, layers, growth_rate : int
        Input planes, width of the first convolution, resolution steps, layers a block,
        features that each layer adds.
    dropout : float
        Passed to blocks and transitions.

    Attributes
    ----------
    skip_channels : tuple of int
        Width of each skip, finest first.
    out_channels : int
        Width of the bottleneck's output.
    """

    def __init__(
        self,
        in_channels: int,
        first_filters: int,
        blocks: int,
        layers: int,
        growth_rate: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, first_filters, 3, padding=1)
        settings: dict[str, Any] = {
            "layers": layers,
            "growth_rate": growth_rate,
            "dropout": dropout,
        }
        width = first_filters
        skips = []
        self.blocks = nn.ModuleList()
        self.transitions = nn.ModuleList()
        for _ in range(blocks):
            block = DenseBlock(width, **settings, keep_input=True)
            width = block.out_channels
            skips.append(width)
            self.blocks.append(block)
            self.transitions.append(TransitionDown(width, dropout))
        self.bottleneck = DenseBlock(width, **settings, keep_input=False)
        self.skip_channels = tuple(skips)
        self.out_channels = self.bottleneck.out_channels

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the bottleneck's features and the skips, finest first."""
        x = self.stem(x)
        skips = []
        for block, transition in zip(self.blocks, self.transitions, strict=True):
            x = block(x)
            skips.append(x)
            x = transition(x)
        return self.bottleneck(x), skips


class Decoder(nn.Module):
    """Transitions and dense blocks back to full resolution.

    Only the last block passes its input on. The decoder is driven level by level with
    `step`, so that another decoder can read or add to its features in between.

    Parameters
    ----------
    in_channels : int
        Width of the bottleneck's output.
    skip_channels : tuple of int
        Width of the skip joined at each level, coarsest first; 0 for none.
    layers, growth_rate : int
        Layers a block, features that each layer adds.
    dropout : float
        Passed to the blocks.
    """

    def __init__(
        self,
        in_channels: int,
        skip_channels: tuple[int, ...],
        layers: int,
        growth_rate: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.transitions = nn.ModuleList()
        self.blocks = nn.ModuleList()
        width = in_channels
        for level, skip in enumerate(skip_channels):
            self.transitions.append(TransitionUp(width))
            last = level == len(skip_channels) - 1
            block = DenseBlock(width + skip, layers, growth_rate, dropout, keep_input=last)
            self.blocks.append(block)
            width = block.out_channels
        self.out_channels = width

    def __len__(self) -> int:
        return len(self.blocks)

    def step(self, level: int, x: Tensor, skip: Tensor | None) -> Tensor:
        """Double the resolution of `x`, join `skip`, apply the dense block of `level`."""
        x = self.transitions[level](x)
        if skip is not None:
            x = torch.cat((skip, x), dim=1)
        return self.blocks[level](x)
