"""What the calibration keeps of each field, and whether a new field looks like them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.confidence.risk import THRESHOLDS, missed_share, risk_control_threshold
from napari_fluorgen.confidence.scores import check_probability
from napari_fluorgen.errors import InputError, ModelError

EDGES: Final = THRESHOLDS[::4]
"""Limits of the bins in which the probabilities of a field are counted."""

# Bands of bins whose shares are compared, from sure background to sure nucleus.
_BANDS: Final = np.array([0, 8, 16, 24, 32, 40, 48, 56])
_RARE: Final = 1e-5


@dataclass(frozen=True, eq=False)
class FieldCalibration:
    """Summaries of the calibration fields.

    Attributes
    ----------
    missed : ndarray of float32, shape (fields, 257)
        Share of the true nucleus pixels below each of `THRESHOLDS`; see `missed_share`.
    histogram : ndarray of float32, shape (fields, 64)
        Share of all pixels with a probability in each bin of `EDGES`.
    """

    missed: NDArray[np.float32]
    histogram: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name, columns in (("missed", THRESHOLDS.size), ("histogram", EDGES.size - 1)):
            array = np.asarray(getattr(self, name), np.float32)
            # The comparison is written so that NaN fails as well.
            if (
                array.ndim != 2
                or array.shape[1] != columns
                or not np.all((array >= 0) & (array <= 1))
            ):
                raise ModelError(
                    f"The calibration by field has {name} shares of shape {array.shape}, or "
                    "outside [0, 1]: the table is damaged; calibrate the model again."
                )
            object.__setattr__(self, name, array)
        if len(self.missed) != len(self.histogram):
            raise ModelError(
                "The calibration by field has two tables of different length: calibrate the model "
                "again."
            )

    @property
    def n_fields(self) -> int:
        """Number of fields."""
        return len(self.missed)

    def nucleus_threshold(self, alpha: float) -> float:
        """Probability above which to show nucleus so that a share `alpha` is missed on average.

        Parameters
        ----------
        alpha : float
            Tolerated share of the true nucleus pixels of a new field, in expectation, in (0, 1).

        Returns
        -------
        float
            Show pixels with at least this probability; 0, which shows each pixel, for an `alpha`
            below ``1 / (n_fields + 1)``.

        Raises
        ------
        ConfigError
            When `alpha` is out of range.
        InputError
            Without a field.
        """
        return risk_control_threshold(self.missed, THRESHOLDS, alpha)


@dataclass(frozen=True)
class Verdict:
    """Whether a field looks like the calibration fields.

    Attributes
    ----------
    p_value : float
        Conformal p-value of the field; at most 0.05 for 5 % of the fields that are alike.
    statistic : float
        Distance from the mean of the calibration fields, in standard deviations.
    holds : bool
        Whether the guarantees may be relied on: the p-value exceeds the significance.
    message : str
        In words.
    can_tell : bool
        Whether there are enough calibration fields to call any field strange.
    """

    p_value: float
    statistic: float
    holds: bool
    message: str
    can_tell: bool = True


def summarise_field(
    probability: ArrayLike, truth: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Row of `FieldCalibration.missed` and of `FieldCalibration.histogram` for one field."""
    missed = missed_share(probability, truth).astype(np.float32)
    return missed, probability_histogram(probability)


def probability_histogram(probability: ArrayLike) -> NDArray[np.float32]:
    """Share of the pixels with a probability in each bin of `EDGES`.

    Parameters
    ----------
    probability : array-like, any shape
        In [0, 1].

    Returns
    -------
    ndarray of float32, shape (64,)

    Raises
    ------
    InputError
        When there is no pixel, or a probability is NaN or outside [0, 1].
    """
    values = check_probability(probability).ravel()
    if not values.size:
        raise InputError("The field has no pixel: give a probability map that has.")
    levels = np.bincount(
        np.searchsorted(EDGES[1:-1], values.astype(np.float32), side="right"),
        minlength=EDGES.size - 1,
    )
    return (levels / values.size).astype(np.float32)


def looks_like_calibration(
    probability: ArrayLike, calibration: FieldCalibration, significance: float = 0.05
) -> Verdict:
    """Test whether a field could be one of the calibration fields.

    Each field is a point: the logarithms of the shares of its pixels in eight bands of
    probability, from sure background over uncertain to sure nucleus. The statistic is the distance
    of a point from the mean of all points, the new one among them, in their standard deviations,
    which treats all fields alike. The p-value is the rank of the new field's distance [1]_: of
    fields that are exchangeable with the calibration fields, a share of `significance` at most is
    called strange, however many fields there are and whatever they look like. To call any strange
    takes ``1 / significance - 1`` calibration fields, 19 for 0.05.

    Parameters
    ----------
    probability : array-like, shape (Y, X)
        Probability of nucleus in [0, 1].
    calibration : FieldCalibration
    significance : float
        Tolerated share of false alarms, in (0, 1).

    Returns
    -------
    Verdict

    Raises
    ------
    InputError
        When there is no pixel, or a probability is NaN or outside [0, 1].

    References
    ----------
    .. [1] Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005 (transductive
       conformal p-values); Laxhammar and Falkman 2010, doi:10.1145/1833280.1833287 (for anomalies).
    """
    return compare_histogram(probability_histogram(probability), calibration, significance)


def compare_histogram(
    new: NDArray[np.float32], calibration: FieldCalibration, significance: float = 0.05
) -> Verdict:
    """`looks_like_calibration` of a field whose `probability_histogram` is known."""
    n = calibration.n_fields
    distances = _distances(np.vstack([calibration.histogram, new]))
    # A hair of tolerance makes equal fields tie.
    p_value = float(np.mean(distances >= distances[-1] * (1 - 1e-9)))
    statistic = float(distances[-1])
    holds = p_value > significance
    can_tell = 1 / (n + 1) <= significance
    if not can_tell:
        message = (
            f"The model was calibrated on {n} field{'' if n == 1 else 's'}, too few to tell "
            "whether this stack looks like them."
        )
    elif holds:
        message = "This stack looks like what the model was calibrated on."
    else:
        message = (
            "This stack does not look like what the model was calibrated on; the guarantees do "
            f"not hold. {_difference(new, calibration.histogram)}"
        )
    return Verdict(p_value, statistic, holds, message, can_tell)


def _distances(histograms: NDArray[np.float32]) -> NDArray[np.float64]:
    points = np.log(np.add.reduceat(histograms, _BANDS, axis=1).astype(np.float64) + _RARE)
    spread = points.std(0)
    away = points - points.mean(0)
    scaled = np.divide(away, spread, out=np.zeros_like(away), where=spread > 1e-9)
    return np.sqrt(np.mean(scaled**2, axis=1))


def _difference(new: NDArray[np.float32], known: NDArray[np.float32]) -> str:
    """Sentence about what is most unlike: the area of nuclei or that of uncertain pixels."""
    middle = (EDGES[:-1] + EDGES[1:]) / 2
    uncertain, nucleus = (middle > 0.1) & (middle < 0.9), middle > 0.5
    parts = []
    for name, chosen in (("undecided", uncertain), ("nucleus", nucleus)):
        share, usual = float(new[chosen].sum()), known[:, chosen].sum(1)
        low, high = float(usual.min()), float(usual.max())
        if not low <= share <= high:
            parts.append(
                f"{_percent(share)} of its pixels are {name}, against {_percent(low)} to "
                f"{_percent(high)} in the calibration fields"
            )
    return "; ".join(parts) + "." if parts else "Its probabilities are distributed otherwise."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
