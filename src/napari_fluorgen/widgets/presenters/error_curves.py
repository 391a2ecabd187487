"""How often the prediction regions miss the truth, against how often they may."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.widgets.presenters.layers import TRUE_LABELS, record_of
from napari_fluorgen.widgets.presenters.results import Run

if TYPE_CHECKING:
    from napari_fluorgen.confidence import Calibration
    from napari_fluorgen.models import NucleiSettings

NOMINAL: NDArray[np.float64] = np.round(np.arange(1, 51) / 100, 2)
"""Significances at which the curves are drawn."""

_TRUE_ROLES = ("true nuclei", f"true {TRUE_LABELS}")

_OUTER = (10, 90)  # percentiles of the fields between which the band lies


@dataclass(frozen=True)
class ErrorCurves:
    """What the calibration plot shows.

    Attributes
    ----------
    lines : dict of str to ndarray, shape (50,)
        Share of the true pixels of a class (``"nucleus"``, ``"background"``) whose region misses
        it, at each of `NOMINAL`.
    low, high : ndarray, shape (50,), or None
        Between these lie four of five fields.
    caption : str
        What the lines were computed from.
    """

    lines: dict[str, NDArray[np.float64]]
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    caption: str = ""

    def at(self, significance: float) -> str:
        """Write the errors at one significance."""
        row = int(np.argmin(np.abs(NOMINAL - significance)))
        found = [f"{100 * line[row]:.1f} % of the {name}" for name, line in self.lines.items()]
        return f"At {NOMINAL[row]:.2f}, {' and '.join(found)} pixels are missed."


def curves_of_calibration(calibration: Calibration) -> ErrorCurves | None:
    """Errors of nucleus in each of the calibration fields of a model.

    Parameters
    ----------
    calibration : Calibration
        Of the model.

    Returns
    -------
    ErrorCurves or None
        None where the calibration keeps nothing by field.
    """
    from napari_fluorgen.confidence import THRESHOLDS, p_value_maps

    if calibration.fields is None or not calibration.fields.n_fields:
        return None
    p_values = p_value_maps(THRESHOLDS, calibration)["nucleus"].astype(np.float64)
    # A pixel is missed where its p-value is not above the significance, which is so below a
    # probability between two thresholds.
    above = np.searchsorted(p_values, NOMINAL, side="right").clip(1, THRESHOLDS.size - 1)
    step = p_values[above] - p_values[above - 1]
    way = np.divide(NOMINAL - p_values[above - 1], step, out=np.ones(NOMINAL.size), where=step > 0)
    by_threshold = calibration.fields.missed.astype(np.float64)
    low, high = by_threshold[:, above - 1], by_threshold[:, above]
    missed = low + way.clip(0, 1) * (high - low)
    n = calibration.fields.n_fields
    low, high = np.percentile(missed, _OUTER, axis=0) if n >= 5 else (missed.min(0), missed.max(0))
    between = "four of five fields lie in the band" if n >= 5 else "the band holds them all"
    fields = "1 calibration field" if n == 1 else f"{n} calibration fields"
    return ErrorCurves(
        {"nucleus": missed.mean(0)},
        low,
        high,
        f"The model's own {fields}: the line is their mean, {between}. A single field of yours may "
        "lie as far from the diagonal.",
    )


def curves_of_truth(p_values: dict[str, Any], truth: ArrayLike, name: str) -> ErrorCurves:
    """Errors of both classes in one field whose truth is known.

    Parameters
    ----------
    p_values : dict of str to ndarray, shape (Y, X)
        Of ``"nucleus"`` and ``"background"``.
    truth : array-like, shape (Y, X)
        True nuclei, a mask or labels.
    name : str
        Of the truth, for the caption.

    Raises
    ------
    InputError
        The shapes differ, or the truth has no nucleus.
    """
    nucleus = np.asarray(truth) != 0
    if nucleus.shape != p_values["nucleus"].shape:
        raise InputError(
            f"'{name}' has {nucleus.shape} pixels and the result {p_values['nucleus'].shape}: "
            "choose a truth of the same field."
        )
    if not nucleus.any() or nucleus.all():
        raise InputError(f"'{name}' does not tell nuclei from background: choose another truth.")
    lines = {}
    for label, mask in (("nucleus", nucleus), ("background", ~nucleus)):
        values = np.asarray(p_values[label])[mask]
        # Bin k holds the p-values from just above NOMINAL[k - 1] up to NOMINAL[k].
        bins = np.searchsorted(NOMINAL.astype(np.float32), values, side="left")
        counts = np.bincount(bins, minlength=NOMINAL.size + 1)[: NOMINAL.size]
        lines[label] = np.cumsum(counts) / values.size
    return ErrorCurves(
        lines,
        caption=f"This field against '{name}': one field scatters about the diagonal, more of "
        "them less.",
    )


def truth_layers(layers: Iterable[Any], run: Run) -> list[Any]:
    """Layers that may hold the true nuclei of a result: labels by hand, or a true nuclei stain."""
    from napari_fluorgen.widgets.presenters.results import LABELS

    own = run.layers[LABELS]
    shape, identity = own.data.shape, record_of(own.metadata).get("identity")
    found = []
    for layer in layers:
        record = record_of(layer.metadata)
        if getattr(layer.data, "shape", None) != shape:
            continue
        by_hand = hasattr(layer, "selected_label") and not record
        read = record.get("role") in _TRUE_ROLES and record.get("identity") == identity
        if by_hand or read:
            found.append(layer)
    return found


def true_nuclei(
    layer: Any, pixel_size_um: tuple[float, float] | None, settings: NucleiSettings
) -> NDArray[Any]:
    """Labels or a mask of the true nuclei in a layer; a stain is segmented.

    Parameters
    ----------
    layer : layer
        Labels, or a true nuclei stain.
    pixel_size_um : tuple of float (y, x) or None
        Micrometres a pixel.
    settings : NucleiSettings
        Of the model that made the result, whose limits of size hold for the truth, too.

    Raises
    ------
    InputError
        The pixel size of a stain is not known.
    """
    image = np.asarray(layer.data)
    if hasattr(layer, "selected_label"):
        return image
    from napari_fluorgen.segmentation.fluorescence import segment_fluorescence

    if pixel_size_um is None:
        raise InputError(
            f"'{layer.name}' does not say its pixel size, which its nuclei are found by: give the "
            "layer a scale in micrometres."
        )
    return segment_fluorescence(
        image,
        pixel_size_um=pixel_size_um,
        min_area_um2=settings.min_area_um2,
        max_area_um2=settings.max_area_um2,
    )
