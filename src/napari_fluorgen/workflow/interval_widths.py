"""Width maps of the intensity intervals of a stained field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from napari_fluorgen.confidence import Calibration
    from napari_fluorgen.models import ModelSpec

NO_INTERVALS = "carries no intervals of"
"""Part of the sentence that is said where intervals are missing."""
_COUNTS = 65535


def interval_widths(
    images: Mapping[str, NDArray[np.uint16]],
    spec: ModelSpec,
    calibration: Calibration | None,
    model_shape: tuple[int, int],
) -> tuple[dict[str, NDArray[np.uint16]], str | None]:
    """Width of the interval of each pixel, and what is missing in a sentence.

    Parameters
    ----------
    images : mapping of str to ndarray of uint16, shape (Y, X)
        Stains in counts.
    spec : ModelSpec
        For the ranges of the stains.
    calibration : Calibration or None
        Of the model.
    model_shape : (int, int)
        Rows and columns of the field in the model's pixels, in which slopes were calibrated.

    Returns
    -------
    widths : dict of str to ndarray of uint16, shape (Y, X)
        Upper minus lower end in counts, for the stains that have intervals.
    message : str or None
        Said where a stain could have intervals and has none.
    """
    from napari_fluorgen.confidence import INTERVAL_STAINS, interval
    from napari_fluorgen.staining import resample

    intervals = {} if calibration is None else calibration.intervals
    wanted = [stain for stain in INTERVAL_STAINS if stain in images]
    widths: dict[str, NDArray[np.uint16]] = {}
    for stain in wanted:
        if stain not in intervals or intervals[stain].table is None:
            continue
        scale, counts = spec.outputs[stain], images[stain]
        span = scale.maximum - scale.minimum
        predicted = scale.unclipped(counts)
        low, high = interval(
            resample.resize(predicted, model_shape),
            None,
            intervals[stain],
            limits=(float(scale.unclipped(0)), float(scale.unclipped(_COUNTS))),
        )
        high -= low
        width = resample.resize(high, counts.shape)
        width *= span
        np.clip(np.rint(width, out=width), 0, _COUNTS, out=width)
        widths[stain] = width.astype(np.uint16)
    missing = [stain for stain in wanted if stain not in widths]
    if not missing:
        return widths, None
    return widths, (
        f"{spec.name} {NO_INTERVALS} {' and '.join(missing)}: `fluorgen calibrate` makes "
        "them from fields with these stains."
    )
