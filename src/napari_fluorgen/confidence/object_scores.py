"""How well a nucleus stands out of the probability map, as one number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.confidence.scores import check_probability
from napari_fluorgen.errors import InputError

_REACH = 0.5
"""Reach around a nucleus, in radii of the field's median nucleus."""


def object_scores(labels: ArrayLike, probability: ArrayLike) -> NDArray[np.float64]:
    """Expected overlap of each nucleus with a true one.

    The intersection over union that the nucleus would have with the truth if the probabilities
    were right: their sum within the nucleus, divided by its area plus the sum of those around it.
    Around are the background pixels that are nearer to it than to another nucleus, up to half the
    radius of the field's median nucleus. A faint nucleus scores low, and so does one with a
    blurred rim or with a part cut off; whether the probabilities are right does not matter to
    conformal selection.

    Parameters
    ----------
    labels : array-like of int, shape (Y, X)
        Nuclei; 0 is background. Labels need not be sequential.
    probability : array-like, shape (Y, X)
        Probability of nucleus in [0, 1].

    Returns
    -------
    ndarray of float64, shape (n,)
        In [0, 1], in the order of the labels.

    Raises
    ------
    InputError
        When the shapes differ, or a probability is NaN or outside [0, 1].
    """
    from skimage.segmentation import expand_labels

    objects, values = np.asarray(labels), check_probability(probability)
    if objects.shape != values.shape:
        raise InputError(
            f"The labels have shape {objects.shape} and the probability has {values.shape}: "
            "they must be equal."
        )
    inside = objects != 0
    ids, row, area = np.unique(objects[inside], return_inverse=True, return_counts=True)
    if not ids.size:
        return np.zeros(0)
    # Numbers from 1 in the order of the labels: large ones would not survive the expansion.
    numbers = np.zeros(objects.shape, np.int32)
    numbers[inside] = row + 1
    reach = max(1.0, _REACH * np.sqrt(np.median(area) / np.pi))
    around = expand_labels(numbers, reach)
    around[inside] = 0
    outside = around != 0

    def total(mask: NDArray[np.bool_], owner: NDArray[np.int32]) -> NDArray[np.float64]:
        weights = values[mask].astype(np.float64).clip(0, 1)
        return np.asarray(np.bincount(owner[mask], weights, len(ids) + 1)[1:], np.float64)

    return total(inside, numbers) / (area + total(outside, around))
