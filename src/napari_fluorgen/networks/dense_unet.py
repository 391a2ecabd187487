"""Dense U-Net generator of one stain."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_fluorgen.networks.blocks import Decoder, Encoder, unfolding_head
from napari_fluorgen.networks.views import mean_over_views

_LEAK = 0.02


class DenseUNet(nn.Module):
    """Dense U-Net (tiramisu) from brightfield planes to a stain.

    Parameters
    ----------
    in_channels : int
        Brightfield planes.
    out_channels : int
        Stains, normally one.
    first_filters, blocks, layers, growth_rate : int
        Width of the first convolution, resolution steps, layers a dense block, features
        that each layer adds.
    dropout : float
        Probability of dropping a value while training.
    fold : int
        Blocks of ``fold`` x ``fold`` pixels become channels before the first convolution and
        pixels again after the last, so that the network works on a coarser grid and loses
        nothing that it was given. 1 for none.
    views : {1, 2, 4}
        Mirrored views whose outputs are averaged in eval mode, as `mean_over_views` has them.

    References
    ----------
    .. [1] Wieslander et al., "Learning to see colours: biologically
       relevant virtual staining for adipocyte cell images", PLOS ONE 2021,
       10.1371/journal.pone.0258546.
    """

    def __init__(
        self,
        in_channels: int = 7,
        out_channels: int = 1,
        first_filters: int = 48,
        blocks: int = 4,
        layers: int = 4,
        growth_rate: int = 12,
        dropout: float = 0.2,
        fold: int = 1,
        views: int = 1,
    ) -> None:
        super().__init__()
        self.fold, self.views = fold, views
        planes = in_channels * fold**2
        self.encoder = Encoder(planes, first_filters, blocks, layers, growth_rate, dropout)
        self.decoder = Decoder(
            self.encoder.out_channels,
            self.encoder.skip_channels[::-1],
            layers,
            growth_rate,
            dropout,
        )
        self.head = unfolding_head(self.decoder.out_channels, out_channels, fold)

    def forward(self, x: Tensor) -> Tensor:
        """Stain the planes.

        Parameters
        ----------
        x : Tensor, shape (B, in_channels, Y, X)
            Scaled brightfield; Y and X are multiples of ``fold * 2**blocks``.

        Returns
        -------
        Tensor, shape (B, out_channels, Y, X), float32
            Stain in [0, 1].
        """
        (stain,) = mean_over_views(self._stain, x, 1 if self.training else self.views)
        return stain

    def _stain(self, x: Tensor) -> tuple[Tensor]:
        x, skips = self.encoder(fold_pixels(x, self.fold))
        for level in range(len(self.decoder)):
            x = self.decoder.step(level, x, skips.pop())
        return (stain_from(unfold_pixels(self.head(x), self.fold)),)


def stain_from(x: Tensor) -> Tensor:
    """Map the last convolution to [0, 1] by (1 + tanh) / 2, in float32 under autocast too."""
    stain = (torch.tanh(x.float()) + 1) / 2
    if x.requires_grad:
        # Where tanh saturates no gradient is left, and an output once pushed there stays black
        # for good: this adds nothing to the value and a little to the gradient.
        stain = stain + _LEAK * (x - x.detach()).float()
    return stain


def fold_pixels(x: Tensor, fold: int) -> Tensor:
    """Turn blocks of pixels into channels; a fold of 1 leaves no trace in an exported graph."""
    return F.pixel_unshuffle(x, fold) if fold > 1 else x


def unfold_pixels(x: Tensor, fold: int) -> Tensor:
    """Turn channels back into blocks of pixels."""
    return F.pixel_shuffle(x, fold) if fold > 1 else x
