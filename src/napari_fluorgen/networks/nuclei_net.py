"""Two-decoder network of the nuclei: the stain and a segmentation that guides it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from napari_fluorgen.networks.blocks import Decoder, DenseBlock, Encoder, unfolding_head
from napari_fluorgen.networks.dense_unet import fold_pixels, stain_from, unfold_pixels
from napari_fluorgen.networks.views import mean_over_views


class NucleiOutput(NamedTuple):
    """What the nuclei network returns.

    Attributes
    ----------
    stain : Tensor, shape (B, 1, Y, X), float32
        Nuclear stain in [0, 1].
    logits : Tensor, shape (B, classes, Y, X), float32
        Segmentation before the softmax; class 1 is nucleus.
    """

    stain: Tensor
    logits: Tensor


class NucleiNet(nn.Module):
    """Dense U-Net with a segmentation decoder that is added to the stain's decoder.

    The segmentation decoder has no skips. Before each transition up its features are added
    to those of the stain's decoder, which has skips and a last small dense block. Without skips
    it sees outlines no finer than the bottleneck; `outlined` gives it those of the stain.

    Parameters
    ----------
    in_channels : int
        Brightfield planes.
    classes : int
        Classes of the segmentation.
    first_filters, blocks, layers, growth_rate : int
        Width of the first convolution, resolution steps, layers a dense block, features
        that each layer adds.
    dropout : float
        Probability of dropping a value while training.
    refine_layers, refine_growth_rate : int
        Size of the last dense block of the stain's decoder.
    outlined : bool
        Whether a 1x1 convolution of that block's features is added to the logits.
    fold, views : int
        As in `DenseUNet`.
    """

    def __init__(
        self,
        in_channels: int = 7,
        classes: int = 2,
        first_filters: int = 32,
        blocks: int = 4,
        layers: int = 4,
        growth_rate: int = 12,
        dropout: float = 0.2,
        refine_layers: int = 2,
        refine_growth_rate: int = 2,
        outlined: bool = False,
        fold: int = 1,
        views: int = 1,
    ) -> None:
        super().__init__()
        self.fold, self.views = fold, views
        planes = in_channels * fold**2
        self.encoder = Encoder(planes, first_filters, blocks, layers, growth_rate, dropout)
        width = self.encoder.out_channels
        skips = self.encoder.skip_channels[::-1]
        self.segmentation = Decoder(width, (0,) * blocks, layers, growth_rate, dropout)
        self.segmentation_head = unfolding_head(self.segmentation.out_channels, classes, fold)
        self.stain = Decoder(width, skips, layers, growth_rate, dropout)
        self.refine = DenseBlock(
            self.stain.out_channels, refine_layers, refine_growth_rate, dropout, keep_input=True
        )
        self.stain_head = unfolding_head(self.refine.out_channels, 1, fold)
        self.outline_head = (
            unfolding_head(self.refine.out_channels, classes, fold) if outlined else None
        )
        self.side_heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in range(blocks - 1))

    def forward(self, x: Tensor) -> NucleiOutput:
        """Stain and segment the planes.

        Parameters
        ----------
        x : Tensor, shape (B, in_channels, Y, X)
            Scaled brightfield; Y and X are multiples of ``fold * 2**blocks``.

        Returns
        -------
        NucleiOutput
            Named tuple ``(stain, logits)``.
        """
        views = 1 if self.training else self.views
        return NucleiOutput(*mean_over_views(lambda x: self._decode(x)[0], x, views))

    def forward_train(self, x: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Stain and segment one view, with the side outputs that loss weight modules compare.

        Parameters
        ----------
        x : Tensor, shape (B, in_channels, Y, X)
            Scaled brightfield.

        Returns
        -------
        stain, logits : Tensor
            As from `forward`.
        side_outputs : tuple of Tensor, shape (B, 1, Y / f, X / f), float32
            Linear 1x1 convolutions of the stain decoder's features, coarsest first:
            f = fold * 2**k for k = blocks - 1, ..., 1.
        """
        output, features = self._decode(x)
        sides = tuple(
            head(feature).float() for head, feature in zip(self.side_heads, features, strict=True)
        )
        return output.stain, output.logits, sides

    def _decode(self, x: Tensor) -> tuple[NucleiOutput, list[Tensor]]:
        """Return the output and the stain decoder's features at all but the last block."""
        x, skips = self.encoder(fold_pixels(x, self.fold))
        segmentation = stain = x
        features = []
        for level in range(len(self.stain)):
            stain = self.stain.step(level, stain + segmentation, skips.pop())
            segmentation = self.segmentation.step(level, segmentation, None)
            features.append(stain)
        refined = self.refine(stain)
        scores = self.segmentation_head(segmentation)
        if self.outline_head is not None:
            scores = scores + self.outline_head(refined)
        logits = unfold_pixels(scores, self.fold).float()
        image = stain_from(unfold_pixels(self.stain_head(refined), self.fold))
        return NucleiOutput(image, logits), features[:-1]
