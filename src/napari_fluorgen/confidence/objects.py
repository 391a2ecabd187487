"""Confidence of whole nuclei, summed up from their pixels."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.confidence.maps import PValues, prediction_regions
from napari_fluorgen.errors import ConfigError, InputError

DECISIONS: Final = ("accept", "review", "reject")
"""What the pixels suggest to do with a nucleus."""


def object_confidence(
    labels: ArrayLike,
    p_values: PValues,
    *,
    probability: ArrayLike | None = None,
    significance: float = 0.05,
    share: float = 0.5,
) -> dict[str, NDArray]:
    """Columns of a table with one row a nucleus.

    The decision is a rule of thumb over pixels, without a guarantee for objects: ``accept`` when
    at least `share` of the pixels are certain nucleus, ``reject`` when for at least `share` of
    them nucleus is excluded (certain background or strange), else ``review``.

    Parameters
    ----------
    labels : array-like of int, shape (Y, X)
        Nuclei; 0 is background. Labels need not be sequential.
    p_values : mapping of str to ndarray of float32, shape (Y, X)
        From `p_value_maps`. Empty without a calibration: the table then holds no p-values,
        shares, confidence or decision.
    probability : array-like, shape (Y, X), optional
        Probability of nucleus, for its mean.
    significance : float
        Of the regions, in (0, 1).
    share : float
        See above, in [0.5, 1]; ``accept`` wins a tie at 0.5.

    Returns
    -------
    dict of str to ndarray, shape (n,)
        ``label`` (int64); ``probability`` (mean, with `probability`); ``p_nucleus``,
        ``p_background`` (means); ``certain_share``, ``uncertain_share``, ``strange_share``
        (shares of pixels that are certain nucleus, uncertain, strange); ``confidence``
        (1 - ``p_background``: how firmly background is excluded, on average); ``decision``
        (text). Numbers are float64; all are ordered by label.

    Raises
    ------
    InputError
        When shapes differ or only one class has p-values.
    ConfigError
        When `significance` or `share` is out of range.
    """
    if not 0.5 <= share <= 1:
        raise ConfigError(f"The share of pixels is {share}: give a number from 0.5 to 1.")
    labels = np.asarray(labels)
    maps: dict[str, ArrayLike] = {} if probability is None else {"probability": probability}
    maps |= {f"p_{name}": values for name, values in p_values.items()}
    for name, values in maps.items():
        if np.shape(values) != labels.shape:
            raise InputError(
                f"The {name} map has shape {np.shape(values)} and the labels have "
                f"{labels.shape}: they must be equal."
            )
    inside = labels != 0
    ids, row, area = np.unique(labels[inside], return_inverse=True, return_counts=True)

    def mean(values: NDArray) -> NDArray[np.float64]:
        return np.bincount(row, weights=values, minlength=len(ids)) / area

    table: dict[str, NDArray] = {"label": ids.astype(np.int64)}
    for name, values in maps.items():
        table[name] = mean(np.asarray(values)[inside])
    if not p_values:
        return table
    regions = prediction_regions(
        {name: np.asarray(values)[inside] for name, values in p_values.items()}, significance
    )
    table["certain_share"] = mean(regions == 2)
    table["uncertain_share"] = mean(regions == 3)
    table["strange_share"] = mean(regions == 0)
    table["confidence"] = 1 - table["p_background"]
    excluded = mean(regions < 2)
    accepted, rejected = table["certain_share"] >= share, excluded >= share
    table["decision"] = np.select([accepted, rejected], ["accept", "reject"], "review")
    return table
