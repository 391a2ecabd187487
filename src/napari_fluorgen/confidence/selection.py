"""Trusted nuclei: conformal selection of objects with a bound on the share of wrong ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.errors import ConfigError, ModelError
from napari_fluorgen.overlap import find_overlaps

Unit = Literal["object", "field"]


@dataclass(frozen=True, eq=False)
class ObjectCalibration:
    """Scores of nuclei that were found in calibration fields, and whether they were right.

    Attributes
    ----------
    scores : ndarray of float32, shape (n,)
        A high score speaks for the object; see `object_scores`.
    correct : ndarray of bool, shape (n,)
        Whether a true nucleus overlaps with it at an intersection over union of 0.5 or more.
    field : ndarray of int32, shape (n,)
        Number of its calibration field, from 0.
    n_fields : int
        How many fields were looked at; some may hold no object.
    """

    scores: NDArray[np.float32]
    correct: NDArray[np.bool_]
    field: NDArray[np.int32]
    n_fields: int

    def __post_init__(self) -> None:
        scores = np.asarray(self.scores, np.float32)
        correct, field = np.asarray(self.correct, bool), np.asarray(self.field, np.int32)
        object.__setattr__(self, "scores", scores)
        object.__setattr__(self, "correct", correct)
        object.__setattr__(self, "field", field)
        if (
            scores.ndim != 1
            or not scores.shape == correct.shape == field.shape
            or not np.isfinite(scores).all()
            or (field.size and not 0 <= field.min() <= field.max() < self.n_fields)
        ):
            raise ModelError(
                "The calibration of nuclei is damaged: its scores, results and fields do not fit "
                "together; calibrate the model again."
            )


def best_overlap(truth: ArrayLike, found: ArrayLike) -> NDArray[np.float64]:
    """Largest intersection over union of each found object with a true one.

    Parameters
    ----------
    truth, found : array-like of int, same shape
        0 is background; labels need not be sequential.

    Returns
    -------
    ndarray of float64, shape (n,)
        In the order of the labels of `found`.

    Raises
    ------
    InputError
        When the shapes differ.
    """
    return find_overlaps(truth, found).best_of_found()


def object_p_values(scores: ArrayLike, calibration: ObjectCalibration) -> NDArray[np.float64]:
    """Conformal p-values against the hypothesis that an object is wrong.

    ``(#{calibration objects that are wrong and score at least as high} + 1) / (n + 1)`` with all n
    calibration objects below the line: [1]_ with the clipped score, ties counted in full. An
    object is wrong and has a p-value of at most t with a probability of at most t.

    Where wrong objects are rare, any score would earn a small p-value. An object that scores lower
    than 99 % of the right ones (than all of them, where there are fewer than a hundred) therefore
    gets 1, which makes the p-values larger and so leaves them valid: what resembles no nucleus of
    the calibration is not trusted because calibration nuclei were good.

    Parameters
    ----------
    scores : array-like, shape (m,)
        Of the objects to judge.
    calibration : ObjectCalibration

    Returns
    -------
    ndarray of float64, shape (m,)
        1 throughout without calibration objects.

    References
    ----------
    .. [1] Jin and Candès, "Selection by Prediction with Conformal p-values", Journal of Machine
       Learning Research 24 (2023), 244, arXiv:2210.01408.
    """
    wrong = np.sort(calibration.scores[~calibration.correct])
    at_least = wrong.size - np.searchsorted(wrong, np.asarray(scores, np.float32), side="left")
    p_values = (at_least + 1) / (calibration.scores.size + 1)
    return np.where(np.asarray(scores, np.float32) < lowest_right(calibration), 1.0, p_values)


def lowest_right(calibration: ObjectCalibration) -> float:
    """Score that all but 1 % of the right calibration objects reach; infinite without any."""
    right = np.sort(calibration.scores[calibration.correct])
    return float(right[right.size // 100]) if right.size else np.inf


def benjamini_hochberg(p_values: ArrayLike, fdr: float) -> NDArray[np.bool_]:
    """Which hypotheses are rejected at a false discovery rate.

    Parameters
    ----------
    p_values : array-like, shape (m,)
    fdr : float
        Nominal rate, in (0, 1).

    Returns
    -------
    ndarray of bool, shape (m,)

    Raises
    ------
    ConfigError
        When `fdr` is out of range.

    References
    ----------
    Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    _check_rate(fdr)
    p = np.asarray(p_values, np.float64)
    ordered = np.sort(p)
    # A hair of tolerance: k / m * fdr must not lose to rounding what it wins by arithmetic.
    below = ordered <= fdr * np.arange(1, p.size + 1) / max(p.size, 1) * (1 + 1e-12)
    if not below.any():
        return np.zeros(p.shape, bool)
    return p <= ordered[np.flatnonzero(below)[-1]]


def trusted_objects(
    scores: ArrayLike, calibration: ObjectCalibration, fdr: float = 0.1, *, unit: Unit = "object"
) -> NDArray[np.bool_]:
    """Objects of one field of which, on average, at most a share `fdr` is wrong.

    Parameters
    ----------
    scores : array-like, shape (m,)
        Of all objects that were found in the field.
    calibration : ObjectCalibration
    fdr : float
        Tolerated share, in (0, 1).
    unit : {"object", "field"}
        What is exchangeable. Objects: `object_p_values` and Benjamini-Hochberg, which selects more
        and is approximate where nuclei of a field are wrong together. Fields: conformal risk
        control of the share of wrong ones, exact for fields, which selects none where `fdr` is
        below ``1 / (n_fields + 1)``.

    Returns
    -------
    ndarray of bool, shape (m,)

    Raises
    ------
    ConfigError
        When `fdr` is out of range or `unit` is unknown.

    References
    ----------
    Jin and Candès 2023 (see `object_p_values`); Angelopoulos et al. 2024 (see
    `risk_control_threshold`).
    """
    _check_rate(fdr)
    if unit == "object":
        return benjamini_hochberg(object_p_values(scores, calibration), fdr)
    if unit != "field":
        raise ConfigError(f"The unit is {unit!r}: choose object or field.")
    values = np.asarray(scores, np.float32)
    above = values > _field_threshold(calibration, fdr)
    return above & (values >= lowest_right(calibration))


def rejected_objects(
    scores: ArrayLike, calibration: ObjectCalibration, fdr: float = 0.1
) -> NDArray[np.bool_]:
    """Objects of one field of which, on average, at most a share `fdr` is right after all.

    The mirror image of `trusted_objects` with the object as unit: p-values against the hypothesis
    that an object is right, ``(#{calibration objects that are right and score as low} + 1) /
    (n + 1)``, and Benjamini-Hochberg.

    Parameters
    ----------
    scores : array-like, shape (m,)
        Of all objects that were found in the field.
    calibration : ObjectCalibration
    fdr : float
        Tolerated share, in (0, 1).

    Returns
    -------
    ndarray of bool, shape (m,)

    Raises
    ------
    ConfigError
        When `fdr` is out of range.
    """
    right = np.sort(calibration.scores[calibration.correct])
    at_most = np.searchsorted(right, np.asarray(scores, np.float32), side="right")
    return benjamini_hochberg((at_most + 1) / (calibration.scores.size + 1), fdr)


def _field_threshold(calibration: ObjectCalibration, fdr: float) -> float:
    """Lowest score above which objects are selected, with the field as unit.

    The share of wrong ones among the objects above a score may fall and rise; its largest value
    from that score on falls only, and bounds it.
    """
    candidates = np.unique(calibration.scores)
    total = np.ones(candidates.size + 1)  # the bound that the new field adds
    for number in range(calibration.n_fields):
        own = calibration.field == number
        scores, wrong = calibration.scores[own], ~calibration.correct[own]
        order = np.argsort(-scores, kind="stable")
        scores, wrong = scores[order], wrong[order]
        share = np.cumsum(wrong) / np.arange(1, scores.size + 1)
        ends = np.append(scores[1:] != scores[:-1], True)[: scores.size]
        worst = np.append(0, np.maximum.accumulate(share[ends]))
        # How many distinct scores of this field lie above each candidate, then above all.
        levels = scores[ends][::-1]
        above = levels.size - np.searchsorted(levels, candidates, side="right")
        total += worst[np.append(levels.size, above)]
    allowed = total / (calibration.n_fields + 1) <= fdr
    if not allowed.any():
        return np.inf
    first = int(np.flatnonzero(allowed)[0])
    return -np.inf if first == 0 else float(candidates[first - 1])


def _check_rate(fdr: float) -> None:
    if not 0 < fdr < 1:
        raise ConfigError(f"The share of wrong nuclei is {fdr}: give a number between 0 and 1.")
