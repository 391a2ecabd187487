"""Heuristic spreads of a predicted stain: where its error is likely to be large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.errors import InputError, ModelError

_BINS = 24


@dataclass(frozen=True, eq=False)
class SpreadTable:
    """Mean absolute error by predicted intensity and its gradient.

    Attributes
    ----------
    intensity, gradient : ndarray of float32, shape (a,) and (b,)
        Limits between the bins, ascending.
    residual : ndarray of float32, shape (a + 1, b + 1)
        Mean absolute error in each bin.
    """

    intensity: NDArray[np.float32]
    gradient: NDArray[np.float32]
    residual: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name in ("intensity", "gradient", "residual"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float32))
        rows, columns = self.intensity, self.gradient
        fits = self.residual.shape == (rows.size + 1, columns.size + 1)
        finite = all(np.isfinite(one).all() for one in (rows, columns, self.residual))
        if not (fits and finite and (np.diff(rows) >= 0).all() and (np.diff(columns) >= 0).all()):
            raise ModelError(
                f"The table of errors has shape {self.residual.shape} for {rows.size} and "
                f"{columns.size} limits, or is not ascending: calibrate the model again."
            )

    def spread(self, prediction: ArrayLike) -> NDArray[np.float32]:
        """Expected absolute error of each pixel of a prediction (Y, X)."""
        values = np.asarray(prediction, np.float32)
        row = np.searchsorted(self.intensity, values, side="right")
        column = np.searchsorted(self.gradient, gradient_size(values), side="right")
        return self.residual[row, column]

    def to_arrays(self) -> dict[str, NDArray[np.float32]]:
        """Arrays for an npz file."""
        return {
            "intensity": self.intensity,
            "gradient": self.gradient,
            "residual": self.residual,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> SpreadTable:
        """From a mapping as made by `to_arrays`.

        Raises
        ------
        ModelError
            When arrays are missing or damaged.
        """
        missing = {"intensity", "gradient", "residual"} - set(arrays)
        if missing:
            raise ModelError(
                f"The table of errors lacks {', '.join(sorted(missing))}: calibrate the model "
                "again."
            )
        return cls(*(np.asarray(arrays[name]) for name in ("intensity", "gradient", "residual")))


def gradient_size(image: ArrayLike) -> NDArray[np.float32]:
    """Length of the gradient (Y, X), central differences a pixel apart, float32."""
    values = np.asarray(image, np.float32)
    if values.ndim != 2 or min(values.shape) < 2:
        raise InputError(
            f"The image has shape {values.shape}: two rows and columns at least are needed."
        )
    return np.hypot(*np.gradient(values)).astype(np.float32)


def fit_spread(fields: Iterable[tuple[ArrayLike, ArrayLike]], *, bins: int = _BINS) -> SpreadTable:
    """Learn where a stain errs from its predictions.

    Parameters
    ----------
    fields : iterable of (prediction, truth)
        Each (Y, X), in one scale. They must not be those that `calibrate_interval` is given.
    bins : int
        Bins by intensity, and by gradient; they hold the same number of pixels of the first field.

    Returns
    -------
    SpreadTable
        A bin without pixels has the mean of its row of intensity, or else that of all pixels.

    Raises
    ------
    InputError
        When there is no field, shapes differ or a value is not finite.
    """
    edges: list[NDArray[np.float32]] = []
    total, count = np.zeros((bins, bins)), np.zeros((bins, bins))
    for prediction, truth in fields:
        values, true = np.asarray(prediction, np.float32), np.asarray(truth, np.float32)
        if values.shape != true.shape:
            raise InputError(
                f"The prediction has shape {values.shape} and the truth has {true.shape}: they "
                "must be equal."
            )
        error, slope = np.abs(true - values), gradient_size(values)
        if not np.isfinite(error).all():
            raise InputError("A field has values that are not finite: leave it out.")
        if not edges:
            levels = np.linspace(0, 1, bins + 1)[1:-1]
            edges = [np.quantile(one, levels).astype(np.float32) for one in (values, slope)]
        row = np.searchsorted(edges[0], values.ravel(), side="right")
        flat = row * bins + np.searchsorted(edges[1], slope.ravel(), side="right")
        total += np.bincount(flat, error.ravel(), bins * bins).reshape(bins, bins)
        count += np.bincount(flat, minlength=bins * bins).reshape(bins, bins)
    if not edges:
        raise InputError("There is no field to learn from: give at least one with its truth.")
    row_count = count.sum(1, keepdims=True)
    row_mean = np.where(
        row_count > 0,
        total.sum(1, keepdims=True) / np.maximum(row_count, 1),
        total.sum() / count.sum(),
    )
    residual = np.where(count > 0, total / np.maximum(count, 1), row_mean)
    return SpreadTable(edges[0], edges[1], residual.astype(np.float32))


def flip_spread(
    predict: Callable[[NDArray[Any]], NDArray[np.float32]], planes: NDArray[Any]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of the predictions for a stack and its mirror images.

    Parameters
    ----------
    predict : callable
        From planes (Z, Y, X) to a stain (Y, X).
    planes : ndarray, shape (Z, Y, X)
        Of a square field all eight flips and rotations are predicted, of another one the four that
        keep its shape.

    Returns
    -------
    mean, spread : ndarray of float32, shape (Y, X)

    References
    ----------
    Wang et al. 2019, doi:10.1016/j.neucom.2019.01.103 (test-time augmentation as uncertainty).
    """
    turns = (0, 1, 2, 3) if planes.shape[1] == planes.shape[2] else (0, 2)
    total = np.zeros(planes.shape[1:])
    squares = np.zeros(planes.shape[1:])
    for turn in turns:
        for mirrored in (False, True):
            view = np.rot90(planes, turn, axes=(1, 2))
            found = predict(np.ascontiguousarray(view[..., ::-1] if mirrored else view))
            back = np.rot90(found[..., ::-1] if mirrored else found, -turn)
            total += back
            squares += back.astype(np.float64) ** 2
    n = 2 * len(turns)
    mean = total / n
    variance = np.maximum(squares / n - mean**2, 0) * n / (n - 1)
    return mean.astype(np.float32), np.sqrt(variance).astype(np.float32)
