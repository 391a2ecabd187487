"""How close predicted stains come to true ones: the official score and plain correlation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import STAINS


@dataclass(frozen=True)
class ImageScore:
    """Scores of one stain in one field.

    Attributes
    ----------
    field : int
        Place of the field among those scored, from 0.
    pixel_error : float
        Mean absolute error of the field over the median of all true pixels of the SET: the mean
        over fields of one size is the official pixel error.
    mean_absolute_error : float
        In camera counts.
    pearson, ssim : float or None
        Of this field.
    """

    field: int
    pixel_error: float
    mean_absolute_error: float
    pearson: float
    ssim: float | None


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
    images : tuple of ImageScore
        The fields one by one.
    """

    pixel_error: float
    mean_absolute_error: float
    truth_median: float
    pearson: float
    ssim: float | None
    fields: int
    images: tuple[ImageScore, ...] = ()


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
    sums = _Sums("images", ssim=False)
    for prediction, truth in zip_longest(predictions, truths):
        if prediction is None or truth is None:
            raise InputError(
                "The numbers of predictions and truths differ: give one truth for each prediction."
            )
        sums.add(prediction, truth)
    if not sums.fields:
        raise InputError("There is no image to compare: give at least one.")
    return sums.score().pixel_error


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


def best_line(predictions: Sequence[NDArray], truths: Sequence[NDArray]) -> tuple[float, float]:
    """Fit the line from predicted to true counts by least squares, over all pixels.

    It is what a model that was made for another camera cannot know.

    Parameters
    ----------
    predictions, truths : sequences of ndarray, shape (Y, X)
        In the same order; at least one.

    Returns
    -------
    slope, offset : float
        A slope of 0 where the predictions are constant.
    """
    counts = np.concatenate([image.ravel() for image in predictions]).astype(np.float32)
    truth = np.concatenate([image.ravel() for image in truths]).astype(np.float32)
    middle, target = float(counts.mean(dtype=np.float64)), float(truth.mean(dtype=np.float64))
    spread = float(np.var(counts, dtype=np.float64))
    slope = 0.0
    if spread:
        slope = float(np.mean((counts - middle) * (truth - target), dtype=np.float64)) / spread
    return slope, target - slope * middle


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
    sums: dict[str, _Sums] = {}
    number = 0
    for prediction, truth in pairs:
        number += 1
        for stain in STAINS:
            if stain in prediction and stain in truth:
                score = sums.setdefault(stain, _Sums(stain, ssim))
                score.add(prediction[stain], truth[stain], field=number - 1)
    if not sums:
        raise InputError(
            f"None of the {number} fields has a prediction and a truth of the same stain: "
            f"give at least one of {', '.join(STAINS)}."
        )
    scores = {stain: sums[stain].score() for stain in STAINS if stain in sums}
    return FieldScores(scores, float(np.mean([score.pixel_error for score in scores.values()])))


class _Sums:
    """What one stain's score needs from each field; the images themselves are not kept."""

    def __init__(self, stain: str, ssim: bool) -> None:
        self.stain = stain
        self.ssim = ssim
        self.fields = 0
        self.pixels = 0
        self.error = 0.0
        self.numbers: list[int] = []
        self.errors: list[float] = []
        self.correlations: list[float] = []
        self.similarities: list[float | None] = []
        # camera counts go into a histogram, so that the median of a whole plate needs no memory
        self.histogram = np.zeros(1 << 16, np.int64)
        self.other_truths: list[NDArray] = []

    def add(self, prediction: NDArray, truth: NDArray, field: int = 0) -> None:
        """Add the images of one field."""
        prediction, truth = _checked(prediction, truth)
        error = float(np.abs(prediction.astype(np.float64) - truth).sum())
        if not np.isfinite(error):
            raise InputError(f"An image of {self.stain} holds NaN or infinity: give finite counts.")
        self.error += error
        self.errors.append(error / truth.size)
        self.numbers.append(field)
        self.fields += 1
        self.pixels += truth.size
        if truth.dtype in (np.uint8, np.uint16):
            self.histogram += np.bincount(truth.ravel(), minlength=self.histogram.size)
        else:
            self.other_truths.append(truth.ravel())
        self.correlations.append(pearson(prediction, truth))
        self.similarities.append(structural_similarity(prediction, truth) if self.ssim else None)

    def _median(self) -> float:
        if self.other_truths:
            counted = np.repeat(np.arange(self.histogram.size), self.histogram)
            return float(np.median(np.concatenate([counted, *self.other_truths])))
        below = np.cumsum(self.histogram)
        middle = np.searchsorted(below, [(self.pixels - 1) // 2, self.pixels // 2], side="right")
        return float(middle.mean())

    def score(self) -> StainScore:
        """Return the scores of all fields so far."""
        median = self._median()
        if median == 0:
            raise InputError(
                f"The median of the true {self.stain} pixels is 0: the official pixel error "
                "divides by it, give images in camera counts."
            )
        return StainScore(
            pixel_error=self.error / self.pixels / median,
            mean_absolute_error=self.error / self.pixels,
            truth_median=median,
            pearson=float(np.mean(self.correlations)),
            ssim=float(np.mean(np.array(self.similarities, float))) if self.ssim else None,
            fields=self.fields,
            images=tuple(
                ImageScore(field, error / median, error, r, similarity)
                for field, error, r, similarity in zip(
                    self.numbers,
                    self.errors,
                    self.correlations,
                    self.similarities,
                    strict=True,
                )
            ),
        )
