"""Intervals whose spread is learned from how far a model erred, field by field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.confidence.intervals import IntervalCalibration, Unit, calibrate_interval
from napari_fluorgen.confidence.spread import fit_spread
from napari_fluorgen.errors import InputError

INTERVAL_STAINS: Final = ("lipids", "cytoplasm")
"""Stains that have intervals: of nuclei the masks matter, which have their own confidence."""

COVERAGE: Final = 0.9
"""Share of the true intensities within the intervals that packages carry."""

_LEARN_EVERY = 4  # fields: the table is small, the scale needs the others

Pairs = Sequence[tuple[ArrayLike, ArrayLike]]


def calibrate_by_residual(
    fields: Pairs, *, coverage: float = COVERAGE, unit: Unit = "pixel"
) -> IntervalCalibration:
    """Calibrate the intervals of a stain with a table of its errors as spread.

    Every fourth field teaches where the model errs (`fit_spread`), the others set the scale
    (`calibrate_interval`), so that neither sees what the other has used. A single field is cut in
    two.

    Parameters
    ----------
    fields : sequence of (prediction, truth)
        Each (Y, X), in one scale, of fields that the network has not learned from.
    coverage : float
        Share of pixels that shall lie within, in (0, 1).
    unit : {"pixel", "field"}
        What the share is counted over; see `calibrate_interval`.

    Returns
    -------
    IntervalCalibration
        With its table.

    Raises
    ------
    InputError
        When there is no field, shapes differ or a value is not finite.
    ConfigError
        When `coverage` or `unit` is out of range.
    """
    images = [(np.asarray(p, np.float32), np.asarray(t, np.float32)) for p, t in fields]
    if not images:
        raise InputError("There is no field to calibrate on: give at least one with its truth.")
    if len(images) == 1:
        images = _halves(*images[0])
    table = fit_spread(images[::_LEARN_EVERY])
    rest = [pair for number, pair in enumerate(images) if number % _LEARN_EVERY]
    return calibrate_interval(
        ((p, table.spread(p), t) for p, t in rest), coverage=coverage, unit=unit, table=table
    )


def calibrate_intervals(
    stains: Mapping[str, Pairs], *, coverage: float = COVERAGE
) -> dict[str, IntervalCalibration]:
    """Intervals of each stain that has at least one field; see `calibrate_by_residual`."""
    return {
        stain: calibrate_by_residual(fields, coverage=coverage)
        for stain, fields in stains.items()
        if fields
    }


def _halves(
    prediction: NDArray[np.float32], truth: NDArray[np.float32]
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    axis = int(np.argmax(prediction.shape))
    parts = zip(
        np.array_split(prediction, 2, axis), np.array_split(truth, 2, axis), strict=True
    )  # fmt: skip
    return list(parts)
