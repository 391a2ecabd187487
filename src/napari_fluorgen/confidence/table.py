"""The table of nuclei that every result carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.confidence.calibration import Calibration
from napari_fluorgen.confidence.maps import PValues
from napari_fluorgen.confidence.objects import object_confidence

_DECIMALS = 6  # as the files of results have them


def nuclei_table(
    labels: ArrayLike,
    probability: ArrayLike,
    p_values: PValues,
    calibration: Calibration | Mapping[str, Any] | None,
    *,
    significance: float = 0.05,
    fdr: float = 0.1,
) -> dict[str, NDArray[Any]]:
    """Columns of `StainedField.nuclei`.

    Parameters
    ----------
    labels : array-like of int, shape (Y, X)
        Nuclei; 0 is background.
    probability : array-like, shape (Y, X)
        Probability of nucleus in [0, 1].
    p_values : mapping of str to ndarray of float32, shape (Y, X)
        From `p_value_maps`; may be empty.
    calibration : Calibration, mapping of its arrays, or None
        Of the model.
    significance : float
        Of the regions by which a nucleus is judged where the model knows no nuclei, in (0, 1).
    fdr : float
        Tolerated share of wrong nuclei among the accepted ones, in (0, 1).

    Returns
    -------
    dict of str to ndarray, shape (n,)
        In the order of the labels: ``label`` (uint32); ``probability_mean``; ``p_value`` (NaN
        where the calibration holds no nuclei); ``confidence`` (NaN without p-values);
        ``decision`` (text; ``"review"`` throughout without any calibration); ``reviewed`` (empty
        text, for a person to fill). Numbers are float64 with six decimals.

    Raises
    ------
    InputError, ConfigError, ModelError
        As `object_confidence` and `Calibration.from_arrays`.
    """
    if calibration is not None and not isinstance(calibration, Calibration):
        calibration = Calibration.from_arrays(calibration)
    found = object_confidence(
        labels,
        p_values,
        probability=probability,
        significance=significance,
        calibration=None if calibration is None else calibration.objects,
        fdr=fdr,
    )
    return as_nuclei(found)


def as_nuclei(found: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Columns of `StainedField.nuclei` from those of `object_confidence`."""
    number = found["label"].size

    def column(name: str) -> NDArray[np.float64]:
        return np.round(found.get(name, np.full(number, np.nan)), _DECIMALS)

    return {
        "label": found["label"].astype(np.uint32),
        "probability_mean": column("probability"),
        "p_value": column("p_value"),
        "confidence": column("confidence"),
        "decision": np.asarray(found.get("decision", np.full(number, "review")), np.str_),
        "reviewed": np.full(number, "", "<U6"),
    }
