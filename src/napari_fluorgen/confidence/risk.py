"""Conformal risk control: a threshold whose expected loss on a new field is bounded.

Pixels of a field resemble each other, so that the field is what may be called exchangeable. Here
each calibration field counts as one observation.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.confidence.scores import check_probability
from napari_fluorgen.errors import ConfigError, InputError

_FINEST = 9.0
THRESHOLDS: Final[NDArray[np.float32]] = np.concatenate(
    [[0], 1 / (1 + np.exp(-np.linspace(-_FINEST, _FINEST, 255))), [1]]
).astype(np.float32)
"""Thresholds of the probability, ascending: 0, 255 equally spaced on the logit scale, 1."""


def missed_share(
    probability: ArrayLike, truth: ArrayLike, thresholds: ArrayLike = THRESHOLDS
) -> NDArray[np.float64]:
    """Share of the true nucleus pixels of a field that lie below each threshold.

    Parameters
    ----------
    probability : array-like, shape (Y, X)
        Probability of nucleus in [0, 1].
    truth : array-like, shape (Y, X)
        True nuclei, a mask or labels.
    thresholds : array-like, shape (m,)
        Ascending. A pixel is shown as nucleus where its probability is at least the threshold.

    Returns
    -------
    ndarray of float64, shape (m,)
        Ascending, in [0, 1]; zero for a field without nuclei, which has none to miss.

    Raises
    ------
    InputError
        When the shapes differ, or a probability is NaN or outside [0, 1].
    """
    values, nucleus = check_probability(probability), np.asarray(truth) != 0
    if values.shape != nucleus.shape:
        raise InputError(
            f"The probability has shape {values.shape} and the truth has {nucleus.shape}: "
            "they must be equal."
        )
    inside = np.sort(values[nucleus].astype(np.float32).clip(0, 1))
    if not inside.size:
        return np.zeros(np.shape(thresholds))
    return np.searchsorted(inside, np.asarray(thresholds), side="left") / inside.size


def risk_control_threshold(
    losses: ArrayLike, thresholds: ArrayLike, alpha: float, *, bound: float = 1.0
) -> float:
    """Largest threshold whose expected loss on a new field is at most `alpha`.

    With n fields, the threshold is the largest one where ``(sum of losses + bound) / (n + 1)`` is
    at most `alpha` [1]_. The loss must not fall as the threshold rises, and the lowest threshold
    must have no loss on any field: it is the answer where no other will do, as it is for each
    `alpha` below ``bound / (n + 1)``.

    Parameters
    ----------
    losses : array-like, shape (fields, m)
        Loss of each calibration field at each threshold, in [0, bound]; for example from
        `missed_share`.
    thresholds : array-like, shape (m,)
        Ascending, chosen without looking at the losses.
    alpha : float
        Tolerated expected loss, in (0, bound).
    bound : float
        Largest loss that a field can have.

    Returns
    -------
    float
        One of `thresholds`.

    Raises
    ------
    InputError
        When there is no field, or the losses are no such curves.
    ConfigError
        When `alpha` is out of range.

    References
    ----------
    .. [1] Angelopoulos, Bates, Fisch, Lei, Schuster, "Conformal Risk Control", ICLR 2024,
       arXiv:2208.02814, theorem 1.
    """
    if not 0 < alpha < bound:
        raise ConfigError(f"The risk is {alpha}: give a number between 0 and {bound:g}.")
    curves, grid = np.asarray(losses, np.float64), np.asarray(thresholds)
    if curves.ndim != 2 or not len(curves) or curves.shape[1] != grid.size or not grid.size:
        raise InputError(
            f"The losses have shape {curves.shape} for {grid.size} thresholds: one row a field and "
            "one column a threshold are needed."
        )
    # Written so that NaN fails as well.
    if not (np.all(np.diff(curves) >= 0) and curves.min() >= 0 and curves.max() <= bound):
        raise InputError(
            f"The losses fall as the threshold rises, or leave 0 to {bound:g}: risk control needs "
            "curves that rise."
        )
    if curves[:, 0].any():
        raise InputError(
            "The lowest threshold has a loss already: begin with one that loses nothing."
        )
    allowed = (curves.sum(0) + bound) / (len(curves) + 1) <= alpha
    return float(grid[np.flatnonzero(allowed)[-1]] if allowed.any() else grid[0])
