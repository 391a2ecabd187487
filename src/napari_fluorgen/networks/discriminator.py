"""Discriminator of the adversarial training."""

from __future__ import annotations

from torch import Tensor, nn


class PatchDiscriminator(nn.Sequential):
    """PatchGAN: judges overlapping patches of brightfield planes with a stain [1]_.

    Parameters
    ----------
    in_channels : int
        Brightfield planes plus one stain.
    ndf : int
        Width of the first convolution; it doubles at each layer up to eight times.
    layers : int
        Layers of stride 2.

    References
    ----------
    .. [1] Isola et al., "Image-to-image translation with conditional adversarial
       networks", CVPR 2017.
    """

    def __init__(self, in_channels: int = 8, ndf: int = 32, layers: int = 4) -> None:
        modules: list[nn.Module] = [nn.Conv2d(in_channels, ndf, 4, stride=2, padding=1)]
        width = ndf
        for layer in range(1, layers + 1):
            wider = ndf * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            modules += [
                nn.LeakyReLU(0.2, inplace=True),
                # The batch norm that follows has its own offset.
                nn.Conv2d(width, wider, 4, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(wider),
            ]
            width = wider
        modules += [nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(width, 1, 4, padding=1)]
        super().__init__(*modules)

    def forward(self, x: Tensor) -> Tensor:
        """Return a score a patch, (B, 1, Y', X'), without a sigmoid."""
        return super().forward(x)
