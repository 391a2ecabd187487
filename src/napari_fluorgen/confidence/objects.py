"""Confidence of whole nuclei: summed up from their pixels, and which of them to trust."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.confidence.maps import PValues, prediction_regions
from napari_fluorgen.confidence.object_scores import object_scores
from napari_fluorgen.confidence.selection import (
    ObjectCalibration,
    object_p_values,
    rejected_objects,
    trusted_objects,
)
from napari_fluorgen.errors import ConfigError, InputError

DECISIONS: Final = ("accept", "review", "reject")
"""What to do with a nucleus."""


def object_confidence(
    labels: ArrayLike,
    p_values: PValues,
    *,
    probability: ArrayLike | None = None,
    significance: float = 0.05,
    share: float = 0.5,
    calibration: ObjectCalibration | None = None,
    fdr: float = 0.1,
) -> dict[str, NDArray]:
    """Columns of a table with one row a nucleus.

    With a `calibration` of nuclei the decision is conformal selection over the nuclei of the field:
    ``accept`` those of `trusted_objects`, of which at most a share `fdr` is wrong on average;
    ``reject`` those of `rejected_objects` that are not trusted; ``review`` the others. Where a
    model is wrong more rarely than `fdr` allows, all that resemble right nuclei are accepted.

    Without it, the decision is a rule of thumb over pixels, without a guarantee for objects:
    ``accept`` when at least `share` of the pixels are certain nucleus, ``reject`` when for at least
    `share` of them nucleus is excluded (certain background or strange), else ``review``.

    Parameters
    ----------
    labels : array-like of int, shape (Y, X)
        Nuclei; 0 is background. Labels need not be sequential.
    p_values : mapping of str to ndarray of float32, shape (Y, X)
        From `p_value_maps`. Empty without a calibration: the table then holds no p-values,
        shares, confidence or decision.
    probability : array-like, shape (Y, X), optional
        Probability of nucleus, for its mean and for `calibration`.
    significance : float
        Of the regions, in (0, 1).
    share : float
        See above, in [0.5, 1]; ``accept`` wins a tie at 0.5.
    calibration : ObjectCalibration, optional
        ``Calibration.objects`` of the model.
    fdr : float
        Tolerated share of wrong nuclei among the accepted ones, in (0, 1).

    Returns
    -------
    dict of str to ndarray, shape (n,)
        ``label`` (int64); ``probability`` (mean, with `probability`); ``p_nucleus``,
        ``p_background`` (means); ``certain_share``, ``uncertain_share``, ``strange_share``
        (shares of pixels that are certain nucleus, uncertain, strange); ``confidence``
        (1 - ``p_background``: how firmly background is excluded, on average); with `calibration`
        also ``score`` (`object_scores`) and ``p_value`` (`object_p_values`: small where a wrong
        nucleus is unlikely); ``decision`` (text). Numbers are float64; all are ordered by label.

    Raises
    ------
    InputError
        When shapes differ, only one class has p-values, or `calibration` comes without
        `probability`.
    ConfigError
        When `significance`, `share` or `fdr` is out of range.

    References
    ----------
    Jin and Candès 2023 (see `object_p_values`).
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
    decision: NDArray | None = None
    if calibration is not None:
        if probability is None:
            raise InputError("Trusted nuclei need the probability of nucleus: give its map.")
        scores = object_scores(labels, probability)
        table["score"], table["p_value"] = scores, object_p_values(scores, calibration)
        decision = decide(scores, calibration, fdr)
    if not p_values:
        return table if decision is None else table | {"decision": decision}
    regions = prediction_regions(
        {name: np.asarray(values)[inside] for name, values in p_values.items()}, significance
    )
    table["certain_share"] = mean(regions == 2)
    table["uncertain_share"] = mean(regions == 3)
    table["strange_share"] = mean(regions == 0)
    table["confidence"] = 1 - table["p_background"]
    if decision is None:
        accepted, rejected = table["certain_share"] >= share, mean(regions < 2) >= share
        decision = np.select([accepted, rejected], ["accept", "reject"], "review")
    return table | {"decision": decision}


def decide(
    scores: NDArray[np.float64], calibration: ObjectCalibration, fdr: float
) -> NDArray[np.str_]:
    """Decision about each nucleus of a field from the scores of all of them.

    Parameters
    ----------
    scores : ndarray, shape (n,)
        From `object_scores`.
    calibration : ObjectCalibration
        Of the model.
    fdr : float
        Tolerated share of wrong nuclei among the accepted ones, in (0, 1).
    """
    accepted = trusted_objects(scores, calibration, fdr)
    rejected = rejected_objects(scores, calibration, fdr)
    return np.select([accepted, rejected], ["accept", "reject"], "review")
