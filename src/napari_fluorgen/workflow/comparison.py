"""One stained field against true stains that are in memory: scores and where they differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.segmentation import MatchScores, score_thresholds
from napari_fluorgen.stack import STAINS, StainedField
from napari_fluorgen.workflow.provenance import recorded_nuclei
from napari_fluorgen.workflow.stain_files import StainImages, outline_nuclei

IOUS = (0.5, 0.7)
"""Thresholds at which nuclei are matched."""


@dataclass(frozen=True)
class StainComparison:
    """One stain against its truth.

    Attributes
    ----------
    error : float
        Mean absolute error over the median of the truth; NaN where that is 0.
    matched_error : float
        The same after `line`.
    pearson : float
        NaN where one of the images is constant.
    line : tuple of float
        Slope and offset from predicted to true counts, least squares.
    difference : ndarray, shape (Y, X), float32
        Prediction after `line` minus truth, in the counts of the truth.
    """

    error: float
    matched_error: float
    pearson: float
    line: tuple[float, float]
    difference: NDArray[np.float32]


@dataclass(frozen=True)
class Comparison:
    """A field against its truth.

    Attributes
    ----------
    stains : dict of str to StainComparison
        Those that the truth has.
    nuclei : tuple of MatchScores
        Nuclei matched at each of `IOUS`; empty where the truth shows no nuclei.
    outlined : bool
        Whether the true nuclei were segmented in the true stain, for want of labels.
    """

    stains: dict[str, StainComparison]
    nuclei: tuple[MatchScores, ...]
    outlined: bool


def compare_field(field: StainedField, truth: StainImages) -> Comparison:
    """Compare a stained field with true stains, labels of true nuclei, or both.

    Parameters
    ----------
    field : StainedField
        The prediction.
    truth : StainImages
        On the same pixels.

    Raises
    ------
    InputError
        There is nothing to compare, shapes differ, a true stain holds NaN or infinity, or the
        record of the field is damaged.
    """
    known = [stain for stain in STAINS if stain in truth.images]
    if not known and truth.nuclei_labels is None:
        raise InputError(
            f"There is no true stain of {field.identity.name} to compare with: give at least one."
        )
    settings = recorded_nuclei(field.provenance, field.identity.name)
    outlined = outline_nuclei(truth, field.pixel_size_um, settings)
    labels = outlined.nuclei_labels
    if labels is not None and labels.shape != field.nuclei_labels.shape:
        raise InputError(
            f"The true nuclei have the shape {labels.shape}, those of {field.identity.name} "
            f"{field.nuclei_labels.shape}: compare images of the same field and size."
        )
    nuclei = () if labels is None else score_thresholds(labels, field.nuclei_labels, IOUS)
    return Comparison(
        {stain: _compare_stain(stain, field.images[stain], truth.images[stain]) for stain in known},
        tuple(nuclei),
        labels is not truth.nuclei_labels,
    )


def _compare_stain(stain: str, predicted: NDArray, truth: NDArray) -> StainComparison:
    from napari_fluorgen.measurement import best_line, pearson, pixel_error

    if not np.isfinite(truth).all():
        raise InputError(f"The true {stain} hold NaN or infinity: give finite counts.")
    correlation = pearson(predicted, truth)
    slope, offset = best_line([predicted], [truth])
    matched = predicted.astype(np.float32)
    matched *= slope
    matched += offset
    defined = bool(np.median(truth))
    return StainComparison(
        pixel_error([predicted], [truth]) if defined else float("nan"),
        pixel_error([matched], [truth]) if defined else float("nan"),
        correlation,
        (slope, offset),
        matched - truth.astype(np.float32),
    )
