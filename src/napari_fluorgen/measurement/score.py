"""How close predicted stains come to true ones: the official score and plain correlation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import STAINS


@dataclass(frozen=True)
class StainScore:
    """Scores of one stain over a set of fields.

    Attributes
    ----------
    pixel_error : float
        Mean absolute error over the median of all true pixels of the set.
    mean_absolute_error, truth_median : float
        Its two parts, in camera counts.
    pearson : float
        Correlation of prediction and truth, mean over fields.
    ssim : float or None
        Structural similarity, mean over fields, where asked for.
    fields : int
        Number of fields.
    """

    pixel_error: float
    mean_absolute_error: float
    truth_median: float
    pearson: float
    ssim: float | None
    fields: int


@dataclass(frozen=True)
class FieldScores:
    """Scores by stain; `pixel_error` is the mean over them (the official pixel error)."""

    stains: dict[str, StainScore]
    pixel_error: float


def _checked(prediction: NDArray, truth: NDArray) -> tuple[NDArray, NDArray]:
    prediction, truth = np.asarray(prediction), np.asarray(truth)
    if prediction.shape != truth.shape:
        raise InputError(
            f"The prediction has the shape {prediction.shape}, its truth {truth.shape}: "
            "compare images of the same field."
        )
    if truth.size == 0:
        raise InputError("The images to compare are empty: give images with pixels.")
    return prediction, truth


def pixel_error(predictions: Iterable[NDArray], truths: Iterable[NDArray]) -> float:
    """Return the official pixel error of one stain over a set of fields.

    Parameters
    ----------
    predictions, truths : iterables of ndarray, shape (Y, X)
        In camera counts, in the same order.

    Returns
    -------
    float
        Mean |prediction - truth| over all pixels, divided by the median of all true pixels.

    Raises
    ------
    InputError
        Different shapes or numbers of images, none at all, or a truth whose median is zero.

    References
    ----------
    Adipocyte Cell Challenge (Chalmers, AI Sweden, AstraZeneca, 2020), definition of the score.
    """
    pairs = [({"stain": p}, {"stain": t}) for p, t in _zipped(predictions, truths)]
    return _score_stain(pairs, "stain", ssim=False).pixel_error


def _zipped(predictions: Iterable, truths: Iterable) -> list[tuple]:
    predictions, truths = list(predictions), list(truths)
    if len(predictions) != len(truths) or not truths:
        raise InputError(
            f"{len(predictions)} predictions and {len(truths)} truths cannot be compared: "
            "give one truth for each prediction, and at least one."
        )
    return list(zip(predictions, truths, strict=True))


def pearson(a: NDArray, b: NDArray) -> float:
    """Return the correlation of two images; NaN where one of them is constant.

    Parameters
    ----------
    a, b : ndarray, the same shape
    """
    a, b = _checked(a, b)
    first = a.astype(np.float64).ravel()
    second = b.astype(np.float64).ravel()
    first -= first.mean()
    second -= second.mean()
    scale = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / scale) if scale > 0 else float("nan")


def structural_similarity(prediction: NDArray, truth: NDArray) -> float:
    """Return the mean structural similarity, on the range of the truth.

    References
    ----------
    Wang et al., IEEE Transactions on Image Processing 13:600 (2004).
    """
    from skimage.metrics import structural_similarity as skimage_ssim

    prediction, truth = _checked(prediction, truth)
    extent = float(np.ptp(truth))
    if min(truth.shape) < 7 or extent == 0:
        return float("nan")
    first, second = prediction.astype(np.float64), truth.astype(np.float64)
    return float(skimage_ssim(first, second, data_range=extent))


def score_fields(
    pairs: Iterable[tuple[Mapping[str, NDArray], Mapping[str, NDArray]]], *, ssim: bool = False
) -> FieldScores:
    """Compare predicted stains with true ones over a set of fields.

    Parameters
    ----------
    pairs : iterable of (prediction, truth)
        Each a mapping of stain to image (Y, X) in camera counts; stains that a truth lacks are
        left out for that field.
    ssim : bool
        Also compute the structural similarity (slower).

    Raises
    ------
    InputError
        No field, no stain in common, or images of different shapes.
    """
    fields = list(pairs)
    scores = {}
    for stain in STAINS:
        present = [(p, t) for p, t in fields if stain in p and stain in t]
        if present:
            scores[stain] = _score_stain(present, stain, ssim)
    if not scores:
        raise InputError(
            f"None of the {len(fields)} fields has a prediction and a truth of the same stain: "
            f"give at least one of {', '.join(STAINS)}."
        )
    return FieldScores(scores, float(np.mean([score.pixel_error for score in scores.values()])))


def _score_stain(pairs: list[tuple], stain: str, ssim: bool) -> StainScore:
    total, pixels = 0.0, 0
    truths, correlations, similarities = [], [], []
    for predicted, true in pairs:
        prediction, truth = _checked(predicted[stain], true[stain])
        difference = prediction.astype(np.float64) - truth
        if not np.isfinite(difference).all():
            raise InputError(f"An image of {stain} holds NaN or infinity: give finite counts.")
        total += float(np.abs(difference).sum())
        pixels += truth.size
        truths.append(truth.ravel())
        correlations.append(pearson(prediction, truth))
        if ssim:
            similarities.append(structural_similarity(prediction, truth))
    median = float(np.median(np.concatenate(truths)))
    if median == 0:
        raise InputError(
            f"The median of the true {stain} pixels is 0: the official pixel error divides by it, "
            "give images in camera counts."
        )
    return StainScore(
        pixel_error=total / pixels / median,
        mean_absolute_error=total / pixels,
        truth_median=median,
        pearson=float(np.mean(correlations)),
        ssim=float(np.mean(similarities)) if ssim else None,
        fields=len(pairs),
    )
