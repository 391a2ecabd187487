"""Intervals of predicted intensities that hold a chosen share of the true pixels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.confidence.risk import risk_control_threshold
from napari_fluorgen.confidence.spread import SpreadTable
from napari_fluorgen.errors import ConfigError, InputError, ModelError

Unit = Literal["pixel", "field"]

SCALES: Final = np.geomspace(1e-3, 1e3, 2049)
"""Factors of the spread among which calibration chooses; neighbours differ by 0.7 %."""


@dataclass(frozen=True, eq=False)
class IntervalCalibration:
    """How far the truth of a stain may lie from its prediction.

    Attributes
    ----------
    scale : float
        The interval reaches so many spreads to each side; infinite where no finite one is valid.
    floor : float
        Smallest spread that is believed.
    coverage : float
        Share of the pixels that lie within.
    unit : {"pixel", "field"}
        What that share is counted over; see `calibrate_interval`.
    n_fields : int
        Number of calibration fields.
    table : SpreadTable, optional
        Where the spread comes from; None where the caller supplies it.
    """

    scale: float
    floor: float
    coverage: float
    unit: Unit
    n_fields: int
    table: SpreadTable | None = None

    def __post_init__(self) -> None:
        # Written so that NaN fails as well.
        if not (self.scale > 0 and self.floor > 0 and 0 < self.coverage < 1):
            raise ModelError(
                f"The interval has scale {self.scale}, floor {self.floor} and coverage "
                f"{self.coverage}: the calibration is damaged; calibrate the model again."
            )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays for an npz file."""
        numbers = [self.scale, self.floor, self.coverage, self.unit == "field", self.n_fields]
        return {"numbers": np.array(numbers, np.float64)} | (
            self.table.to_arrays() if self.table is not None else {}
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> IntervalCalibration:
        """From a mapping as made by `to_arrays`.

        Raises
        ------
        ModelError
            When arrays are missing or damaged.
        """
        numbers = np.asarray(arrays.get("numbers", ()), np.float64)
        if numbers.shape != (5,) or not np.isfinite(numbers[1:]).all():
            raise ModelError(
                f"The interval is described by an array of shape {numbers.shape}, expected five "
                "numbers: calibrate the model again."
            )
        scale, floor, coverage, field, n_fields = numbers.tolist()
        table = SpreadTable.from_arrays(arrays) if "residual" in arrays else None
        unit: Unit = "field" if field else "pixel"
        return cls(scale, floor, coverage, unit, int(n_fields), table)


def calibrate_interval(
    fields: Iterable[tuple[ArrayLike, ArrayLike, ArrayLike]],
    *,
    coverage: float = 0.9,
    unit: Unit = "pixel",
    floor: float = 1e-3,
    table: SpreadTable | None = None,
) -> IntervalCalibration:
    """Scale of the spread such that the intervals hold the true intensities.

    Parameters
    ----------
    fields : iterable of (prediction, spread, truth)
        Each (Y, X), in one scale, of fields that neither the network nor `table` has learned from.
    coverage : float
        Share of pixels that shall lie within, in (0, 1).
    unit : {"pixel", "field"}
        Pixels: that share of all pixels of the calibration fields, which new fields meet on
        average as far as the calibration fields are many. Fields: conformal risk control, where
        the expected share in a new field is at least `coverage`, however few the calibration
        fields are; the intervals are wider, and infinite for fewer than
        ``1 / (1 - coverage) - 1`` fields.
    floor : float
        Smallest spread that is believed, in the scale of the prediction.
    table : SpreadTable, optional
        Where the spreads come from, to be kept with the result.

    Returns
    -------
    IntervalCalibration

    Raises
    ------
    InputError
        When there is no field, shapes differ or a value is not finite.
    ConfigError
        When `coverage`, `unit` or `floor` is out of range.

    References
    ----------
    Angelopoulos, Kohli, Bates, Jordan, Malik, Alshaabi, Upadhyayula, Romano, "Image-to-Image
    Regression with Distribution-Free Uncertainty Quantification and Applications in Imaging",
    ICML 2022, arXiv:2202.05265 (a heuristic spread, scaled); Angelopoulos et al. 2024 (see
    `risk_control_threshold`).
    """
    if not 0 < coverage < 1:
        raise ConfigError(f"The coverage is {coverage}: give a number between 0 and 1.")
    if unit not in ("pixel", "field"):
        raise ConfigError(f"The unit is {unit!r}: choose pixel or field.")
    if not 0 < floor < np.inf:
        raise ConfigError(f"The smallest spread is {floor}: give a number above 0.")
    curves, weights = [], []
    for number, (prediction, spread, truth) in enumerate(fields):
        ratio = _ratio(prediction, spread, truth, floor, number)
        curves.append(share_outside(ratio))
        weights.append(ratio.size)
    if not curves:
        raise InputError("There is no field to calibrate on: give at least one with its truth.")
    scale = choose_scale(np.stack(curves), weights, coverage, unit)
    return IntervalCalibration(scale, float(floor), float(coverage), unit, len(curves), table)


def share_outside(ratio: NDArray[np.float32]) -> NDArray[np.float64]:
    """Share of the pixels of a field that lie outside at each of `SCALES`.

    `ratio` is the error of each pixel over its spread: a pixel lies outside at each scale below.
    """
    counts = np.bincount(
        np.searchsorted(SCALES, ratio.ravel(), side="left"), minlength=SCALES.size + 1
    )
    return np.clip(1 - np.cumsum(counts)[:-1] / ratio.size, 0, 1)


def choose_scale(
    outside: NDArray[np.float64], weights: Sequence[int], coverage: float, unit: Unit
) -> float:
    """Smallest of `SCALES` at which the intervals hold `coverage`; infinite where none does.

    `outside` holds a row of `share_outside` a field, `weights` its number of pixels; `unit` is
    that of `calibrate_interval`.
    """
    if unit == "field":
        # Risk control asks for losses that rise with the threshold, from none on.
        losses = np.pad(outside[:, ::-1], ((0, 0), (1, 0)))
        return -risk_control_threshold(losses, np.append(-np.inf, -SCALES[::-1]), 1 - coverage)
    allowed = np.average(outside, axis=0, weights=weights) <= 1 - coverage + 1e-12
    return float(SCALES[np.argmax(allowed)]) if allowed.any() else np.inf


def interval(
    prediction: ArrayLike,
    spread: ArrayLike | None,
    calibration: IntervalCalibration,
    *,
    limits: tuple[float, float] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lower and upper end for each pixel.

    Parameters
    ----------
    prediction : array-like, shape (Y, X)
        In the scale of the calibration.
    spread : array-like, shape (Y, X), or None
        Made as in the calibration; None where the calibration holds a table.
    calibration : IntervalCalibration
    limits : (float, float), optional
        Values that the truth cannot leave.

    Returns
    -------
    low, high : ndarray of float32, shape (Y, X)

    Raises
    ------
    InputError
        When the shapes differ, or there is no spread and no table.
    """
    values = np.asarray(prediction, np.float32)
    if spread is None:
        if calibration.table is None:
            raise InputError(
                "This interval needs the spread of the predictions: give it as it was calibrated."
            )
        spread = calibration.table.spread(values)
    width = np.maximum(np.asarray(spread, np.float32), np.float32(calibration.floor))
    if width.shape != values.shape:
        raise InputError(
            f"The prediction has shape {values.shape} and the spread has {width.shape}: they must "
            "be equal."
        )
    width *= np.float32(calibration.scale)
    low, high = values - width, values + width
    if limits is not None:
        np.clip(low, *limits, out=low)
        np.clip(high, *limits, out=high)
    return low, high


def _ratio(
    prediction: ArrayLike, spread: ArrayLike, truth: ArrayLike, floor: float, number: int
) -> NDArray[np.float32]:
    arrays = [np.asarray(one, np.float32) for one in (prediction, spread, truth)]
    if len({array.shape for array in arrays}) != 1 or not arrays[0].size:
        raise InputError(
            f"Calibration field {number + 1} has a prediction, spread and truth of shapes "
            f"{', '.join(str(array.shape) for array in arrays)}: they must be equal, and not empty."
        )
    predicted, width, true = arrays
    ratio = np.abs(true - predicted) / np.maximum(width, np.float32(floor))
    if not np.isfinite(ratio).all():
        raise InputError(
            f"Calibration field {number + 1} has values that are not finite: leave it out."
        )
    return ratio.ravel()
