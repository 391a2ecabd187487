"""How strange a pixel is for a class, and the p-value of that.

The score is taken from the probability rounded to 16 bits, in calibration and in prediction alike.
A p-value is then one of 65,536, so that a map is one look-up, and still exactly conformal: any
fixed function of the probability may serve as score.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.errors import ConfigError, InputError

CLASSES: Final = ("nucleus", "background")
"""The two classes of a pixel."""

REGIONS: Final = {0: "strange", 1: "background", 2: "nucleus", 3: "uncertain"}
"""What a pixel may be: no class, background alone, nucleus alone, both."""

LEVELS: Final = 65536
GRID: Final[NDArray[np.float32]] = (np.arange(LEVELS) / (LEVELS - 1)).astype(np.float32)
"""The values that a score can take, ascending."""

# Blended tiles and half precision leave probabilities a hair outside [0, 1].
_TOLERANCE = 1e-3
_ROWS = 128


def check_probability(probability: ArrayLike, name: str = "nuclei probability") -> NDArray:
    """Return `probability` as an array of real numbers in [0, 1].

    Raises
    ------
    InputError
        When it holds NaN or values outside [0, 1], or is not numeric.
    """
    values = np.asarray(probability)
    if values.dtype.kind not in "fbiu":
        raise InputError(f"The {name} has type {values.dtype}: numbers in [0, 1] are needed.")
    if values.size:
        low, high = values.min(), values.max()
        # Written so that NaN fails as well.
        if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
            raise InputError(
                f"The {name} reaches from {low} to {high}: values in [0, 1] without NaN are needed."
            )
    return values


def to_levels(probability: ArrayLike) -> NDArray[np.uint16]:
    """Round probabilities to 16 bits, a band of rows at a time.

    Parameters
    ----------
    probability : array-like, any shape
        Values in [0, 1].

    Returns
    -------
    ndarray of uint16, same shape
        ``round(65535 * probability)``.

    Raises
    ------
    InputError
        When `probability` holds NaN or values outside [0, 1].
    """
    values = check_probability(probability)
    levels = np.empty(values.shape, np.uint16)
    rows, out = np.atleast_1d(values), np.atleast_1d(levels)
    for start in range(0, len(rows), _ROWS):
        band = rows[start : start + _ROWS].astype(np.float32)
        np.clip(band, 0, 1, out=band)
        band *= LEVELS - 1
        band += 0.5
        out[start : start + _ROWS] = band.astype(np.uint16)
    return levels


def nonconformity(probability: ArrayLike, label: str) -> NDArray[np.float32]:
    """Score of a pixel under the hypothesis that it belongs to a class: 1 - p(class).

    Parameters
    ----------
    probability : array-like, any shape
        Probability of nucleus in [0, 1].
    label : {"nucleus", "background"}
        The hypothesis.

    Returns
    -------
    ndarray of float32, same shape
        0 for a typical pixel of the class, 1 for the strangest; a multiple of 1/65535.

    Raises
    ------
    InputError
        When `probability` holds NaN or values outside [0, 1].
    ConfigError
        When `label` is no class.
    """
    return GRID[_score_levels(label)[to_levels(probability)]]


def _score_levels(label: str) -> NDArray[np.uint16]:
    """Level of the score for each level of the probability."""
    if label not in CLASSES:
        raise ConfigError(f"There is no class {label!r}: choose one of {', '.join(CLASSES)}.")
    levels = np.arange(LEVELS, dtype=np.uint16)
    return levels[::-1] if label == "nucleus" else levels


def p_values(
    scores: ArrayLike, calibration_scores: ArrayLike, theta: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Conformal p-values of scores against the calibration scores of one class.

    Without `theta`, ``(#{a >= s} + 1) / (n + 1)``: valid, a little too large where scores tie.
    With it, the smoothed ``(#{a > s} + theta (#{a = s} + 1)) / (n + 1)``, exactly uniform under
    exchangeability [1]_. Without any calibration score each p-value is 1: nothing is excluded.

    Parameters
    ----------
    scores : array-like, any shape
        Scores of the pixels to judge.
    calibration_scores : array-like, shape (n,)
        Ascending.
    theta : array-like, optional
        Random numbers in [0, 1), broadcast against `scores`.

    Returns
    -------
    ndarray of float64, shape of `scores`

    References
    ----------
    .. [1] Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005
       (smoothed and Mondrian conformal predictors).
    """
    scores, table = np.asarray(scores), np.asarray(calibration_scores)
    at_least = table.size - np.searchsorted(table, scores, side="left")
    if theta is None:
        return (at_least + 1) / (table.size + 1)
    above = table.size - np.searchsorted(table, scores, side="right")
    return (above + np.asarray(theta) * (at_least - above + 1)) / (table.size + 1)


def p_value_of_level(
    calibration_scores: NDArray[np.float32], label: str, theta: float | None = None
) -> NDArray[np.float64]:
    """P-value for each of the 65,536 levels of the probability of nucleus.

    The calibration scores are rounded to the grid as the pixels are, which keeps the p-values
    conformal for a table that was not made by `calibrate`.
    """
    table = GRID[to_levels(calibration_scores)]
    return p_values(GRID[_score_levels(label)], table, theta)
