"""P-value maps of a field, and what they allow each pixel to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.confidence.calibration import Calibration
from napari_fluorgen.confidence.scores import CLASSES, p_value_of_level, to_levels
from napari_fluorgen.errors import ConfigError, InputError

PValues = Mapping[str, NDArray[np.float32]]


def p_value_maps(
    probability: ArrayLike,
    calibration: Calibration | Mapping[str, Any] | None,
    *,
    smoothing_seed: int | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Conformal p-values of both classes for each pixel.

    Parameters
    ----------
    probability : array-like, shape (Y, X)
        Probability of nucleus in [0, 1].
    calibration : Calibration, mapping of its arrays, or None
        None gives no p-values: they are never invented.
    smoothing_seed : int, optional
        Break ties at random with this seed, which makes the p-values exactly uniform instead of a
        little too large. By default nothing is random.

    Returns
    -------
    dict of str to ndarray of float32, shape (Y, X)
        ``"nucleus"`` and ``"background"``; empty without calibration.

    Raises
    ------
    InputError
        When `probability` holds NaN or values outside [0, 1].
    ModelError
        When the calibration is damaged.
    """
    if calibration is None:
        return {}
    if not isinstance(calibration, Calibration):
        calibration = Calibration.from_arrays(calibration)
    levels = to_levels(probability)
    maps = {}
    for number, name in enumerate(CLASSES):
        table = calibration.scores(name)
        if smoothing_seed is None:
            maps[name] = p_value_of_level(table, name).astype(np.float32)[levels]
            continue
        # The smoothed p-value is linear in theta between its values at 0 and at 1.
        low = p_value_of_level(table, name, 0.0).astype(np.float32)
        step = p_value_of_level(table, name, 1.0).astype(np.float32) - low
        generator = np.random.default_rng([smoothing_seed, number])
        smoothed = generator.random(levels.shape, np.float32)
        smoothed *= step[levels]
        smoothed += low[levels]
        maps[name] = smoothed
    return maps


def _checked(p_values: PValues) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    missing = [name for name in CLASSES if name not in p_values]
    if missing:
        raise InputError(
            f"There are no p-values of {' and '.join(missing)}: use a model with a calibration."
        )
    nucleus, background = (np.asarray(p_values[name]) for name in CLASSES)
    if nucleus.shape != background.shape:
        raise InputError(
            f"The p-values of nucleus have shape {nucleus.shape} and those of background "
            f"{background.shape}: they must be equal."
        )
    return nucleus, background


def check_significance(significance: float) -> np.float32:
    """Return `significance` in the precision of the maps.

    Raises
    ------
    ConfigError
        When it is not between 0 and 1.
    """
    if not 0 < significance < 1:
        raise ConfigError(f"The significance is {significance}: give a number between 0 and 1.")
    return np.float32(significance)


def prediction_regions(p_values: PValues, significance: float = 0.05) -> NDArray[np.uint8]:
    """Classes that a pixel may have at a significance: those with a p-value above it.

    Parameters
    ----------
    p_values : mapping of str to ndarray of float32, shape (Y, X)
        From `p_value_maps`.
    significance : float
        Tolerated share of pixels of a class whose region misses it, in (0, 1).

    Returns
    -------
    ndarray of uint8, shape (Y, X)
        0 strange (neither), 1 background, 2 nucleus, 3 uncertain (both); see `REGIONS`.

    Raises
    ------
    InputError
        Without p-values.
    ConfigError
        When `significance` is not between 0 and 1.
    """
    nucleus, background = _checked(p_values)
    threshold = check_significance(significance)
    regions: NDArray[np.uint8] = (nucleus > threshold).astype(np.uint8)
    regions *= 2
    regions += background > threshold
    return regions


def confidence_and_credibility(
    p_values: PValues,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Confidence and credibility of each pixel.

    Confidence is 1 minus the smaller p-value: how firmly the less likely class is excluded.
    Credibility is the larger p-value: small where the pixel resembles neither class.

    Parameters
    ----------
    p_values : mapping of str to ndarray of float32, shape (Y, X)
        From `p_value_maps`.

    Returns
    -------
    confidence, credibility : ndarray of float32, shape (Y, X)

    Raises
    ------
    InputError
        Without p-values.

    References
    ----------
    Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random World", 2005.
    """
    nucleus, background = _checked(p_values)
    return 1 - np.minimum(nucleus, background), np.maximum(nucleus, background)


def error_rates(p_values: PValues, truth: ArrayLike, significance: float) -> dict[str, float]:
    """Share of pixels of each true class whose region misses it.

    Over many unseen fields it should be at most the significance.

    Parameters
    ----------
    p_values : mapping of str to ndarray of float32, shape (Y, X)
        From `p_value_maps`.
    truth : array-like, shape (Y, X)
        True nuclei, a mask or labels.
    significance : float
        In (0, 1).

    Returns
    -------
    dict of str to float
        By class; NaN for a class that the field does not have.

    Raises
    ------
    InputError
        Without p-values, or when shapes differ.
    ConfigError
        When `significance` is not between 0 and 1.
    """
    nucleus, background = _checked(p_values)
    threshold = check_significance(significance)
    true_nucleus = np.asarray(truth) != 0
    if true_nucleus.shape != nucleus.shape:
        raise InputError(
            f"The truth has shape {true_nucleus.shape} and the p-values have {nucleus.shape}: "
            "they must be equal."
        )
    pixels = {"nucleus": nucleus[true_nucleus], "background": background[~true_nucleus]}
    return {
        name: float(np.mean(values <= threshold)) if values.size else float("nan")
        for name, values in pixels.items()
    }
