"""Small tools on label images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.errors import InputError


def check_labels(labels: ArrayLike, name: str = "labels") -> NDArray:
    """Return `labels` as an array of whole numbers from 0 on.

    Raises
    ------
    InputError
        When they are not whole or negative.
    """
    array = np.asarray(labels)
    if array.dtype.kind not in "bui" or (
        array.dtype.kind == "i" and array.size and array.min() < 0
    ):
        raise InputError(
            f"The {name} image has type {array.dtype} or negative values: whole numbers from 0 on "
            "are needed."
        )
    return array


def relabel_sequential(labels: ArrayLike) -> NDArray[np.uint32]:
    """Number the objects 1, 2, ... in the order of their old labels.

    Parameters
    ----------
    labels : array-like of int, any shape
        0 is background.

    Returns
    -------
    ndarray of uint32, same shape

    Raises
    ------
    InputError
        When `labels` holds negative or fractional numbers.
    """
    array = check_labels(labels)
    result = np.zeros(array.shape, np.uint32)
    inside = array != 0
    result[inside] = np.unique(array[inside], return_inverse=True)[1] + 1
    return result


def object_probability(labels: ArrayLike, probability: ArrayLike) -> NDArray[np.float64]:
    """Mean probability within each object.

    Parameters
    ----------
    labels : array-like of int, shape (Y, X)
        0 is background.
    probability : array-like, shape (Y, X)
        Probability of nucleus.

    Returns
    -------
    ndarray of float64, shape (n,)
        In the order of the labels.

    Raises
    ------
    InputError
        When the shapes differ.
    """
    array, values = check_labels(labels), np.asarray(probability)
    if array.shape != values.shape:
        raise InputError(
            f"The labels have shape {array.shape} and the probability has {values.shape}: "
            "they must be equal."
        )
    inside = array != 0
    _, row, area = np.unique(array[inside], return_inverse=True, return_counts=True)
    return np.bincount(row, weights=values[inside], minlength=len(area)) / area
