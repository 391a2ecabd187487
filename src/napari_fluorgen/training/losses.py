"""Losses of the challenge report, sections 3.3 and 4.

Sums over pixels are means here, so that weights do not depend on the size of a crop. Every loss
is finite for whatever prediction and truth in [0, 1], constant images and images of zeros too.

References
----------
.. [1] Gu et al., "Hard pixel mining for depth privileged semantic segmentation",
   arXiv:1906.11437 (loss weight modules).
.. [2] Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard
   GAN", arXiv:1807.00734 (relativistic average least squares).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, interpolate, smooth_l1_loss

EPSILON = 1e-8
"""Added to both images in the log squared loss, equation 3."""

SMALLEST_MEDIAN = 0.01
"""Least median that the median MAE divides by, in units of the stain's range."""

# Where the smooth L1 turns from square to linear, in units of the stain's range.
_BETA = 0.1


def reconstruction_loss(
    kind: str, prediction: Tensor, truth: Tensor, weight: Tensor | None = None
) -> Tensor:
    """Distance of a predicted stain from the true one.

    Parameters
    ----------
    kind : {"smooth-l1", "l1", "median-mae", "log-squared"}
        Which distance.
    prediction, truth : Tensor, shape (B, 1, Y, X)
        Stains in [0, 1].
    weight : Tensor, shape (B, 1, Y, X), optional
        Weight of each pixel.
    """
    if kind == "log-squared":
        return log_squared_loss(prediction, truth, weight)
    if kind == "median-mae":
        return median_mae(prediction, truth, weight)
    if kind == "l1":
        return _mean((prediction - truth).abs(), weight)
    return _mean(smooth_l1_loss(prediction, truth, beta=_BETA, reduction="none"), weight)


def log_squared_loss(prediction: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared logarithm of the ratio of truth and prediction, equation 3.

    A prediction below zero, which the reduced features of a coarser scale may have, counts as
    zero.
    """
    ratio = torch.log(truth + EPSILON) - torch.log(prediction.clamp(min=0) + EPSILON)
    return _mean(ratio.square(), weight)


def median_mae(prediction: Tensor, truth: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean absolute error over the median of the truth, equation 4 (weighted: 8).

    The median is that of all truth given, in practice of a batch. Where it is below
    `SMALLEST_MEDIAN`, as in crops that are mostly background, that is taken instead: such a batch
    would drown all others, or be infinite.
    """
    return _mean((prediction - truth).abs(), weight) / truth.median().clamp(min=SMALLEST_MEDIAN)


def gradient_loss(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of the image gradients, equation 5.

    Gradients are differences of neighbours, along rows and along columns; their means add up.
    """
    difference = prediction - truth
    down = difference[..., 1:, :] - difference[..., :-1, :]
    right = difference[..., 1:] - difference[..., :-1]
    return down.abs().mean() + right.abs().mean()


def misclassification_weights(logits: Tensor, mask: Tensor, misclassified: float) -> Tensor:
    """Weight map of the loss weight modules [1]_, w of equation 7.

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
    """Binary cross entropy plus its weighted form, equations 6 and 8."""
    loss = cross_entropy(logits, mask, reduction="none")
    return loss.mean() + (loss * weight[:, 0]).mean()


def loss_weight_modules(
    kind: str, side_outputs: Sequence[Tensor], truth: Tensor, weight: Tensor
) -> Tensor:
    """Weighted reconstruction loss of the coarser scales, added up; equation 7.

    Truth and weights are averaged down to each scale.

    Parameters
    ----------
    kind : str
        As in `reconstruction_loss`.
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
        total = total + reconstruction_loss(kind, side.float(), scaled, weights)
    return total


def relativistic_least_squares(better: Tensor, worse: Tensor) -> Tensor:
    """Relativistic average least squares (raLS) [2]_.

    ``mean((b - mean(w) - 1)²) + mean((w - mean(b) + 1)²)``: least where what is `better` is
    judged one more than what is `worse` on average. The discriminator's loss is
    ``raLS(real, fake)``, the generator's ``raLS(fake, real)``.

    Parameters
    ----------
    better, worse : Tensor
        Scores of the discriminator, a value a patch.
    """
    better, worse = better.float(), worse.float()
    return (better - worse.mean() - 1).square().mean() + (worse - better.mean() + 1).square().mean()


def _mean(loss: Tensor, weight: Tensor | None) -> Tensor:
    return (loss if weight is None else loss * weight).mean()
