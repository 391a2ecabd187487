"""Losses of the challenge report, sections 3.3 and 4.1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate, smooth_l1_loss

# Where the smooth L1 turns from square to linear, in units of the stain's range.
_BETA = 0.1


def stain_loss(prediction: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Smooth L1 loss, averaged over pixels.

    Parameters
    ----------
    prediction, truth : Tensor, shape (B, 1, Y, X)
        Stains in [0, 1].
    weight : Tensor, shape (B, 1, Y, X), optional
        Weight of each pixel.
    """
    loss = smooth_l1_loss(prediction, truth, beta=_BETA, reduction="none")
    return (loss if weight is None else loss * weight).mean()


def gradient_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the image gradients, equation 5."""
    difference = prediction - truth
    down = difference[..., 1:, :] - difference[..., :-1, :]
    right = difference[..., 1:] - difference[..., :-1]
    return down.abs().mean() + right.abs().mean()


def misclassification_weights(logits: Tensor, mask: Tensor, misclassified: float) -> Tensor:
    """Weight map of the loss weight modules, equation 7.

    Parameters
    ----------
    logits : Tensor, shape (B, 2, Y, X)
        Segmentation output.
    mask : Tensor, shape (B, Y, X), int64
        1 in nuclei.
    misclassified : float
        Weight of a pixel whose class is wrong; others weigh 1.

    Returns
    -------
    Tensor, shape (B, 1, Y, X), without gradient
    """
    wrong = logits.detach().argmax(1) != mask
    return torch.where(wrong, misclassified, 1.0)[:, None]


def segmentation_loss(logits: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Cross entropy plus its weighted form, equations 6 and 8."""
    loss = cross_entropy(logits, mask, reduction="none")
    return loss.mean() + (loss * weight[:, 0]).mean()


def loss_weight_modules(side_outputs: Sequence[Tensor], truth: Tensor, weight: Tensor) -> Tensor:
    """Weighted stain loss of the coarser scales, equation 7.

    Parameters
    ----------
    side_outputs : sequence of Tensor, shape (B, 1, y, x)
        Reduced outputs of the regression decoder's blocks.
    truth, weight : Tensor, shape (B, 1, Y, X)
        True stain and misclassification weights at full size.
    """
    total = truth.new_zeros(())
    for side in side_outputs:
        size = side.shape[-2:]
        scaled = interpolate(truth, size=size, mode="area")
        weights = interpolate(weight, size=size, mode="area")
        total = total + stain_loss(side.float(), scaled, weights)
    return total
