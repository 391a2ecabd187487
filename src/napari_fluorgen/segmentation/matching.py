"""Compare instances with the truth: overlaps, one-to-one matching, precision and recall."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.errors import ConfigError, InputError
from napari_fluorgen.overlap import Overlaps, find_overlaps
from napari_fluorgen.segmentation.labels import check_labels


@dataclass(frozen=True)
class MatchScores:
    """Counts of a one-to-one matching, and what follows from them.

    Attributes
    ----------
    tp, fp, fn : int
        Matched objects, predicted ones without truth, true ones without prediction.
    iou : float
        Least intersection over union of a match.
    """

    tp: int
    fp: int
    fn: int
    iou: float = 0.5

    @property
    def precision(self) -> float:
        """Share of the predicted objects that are true; 1 where nothing was predicted or true."""
        return _ratio(self.tp, self.tp + self.fp, self.fn)

    @property
    def recall(self) -> float:
        """Share of the true objects that were found; 1 where nothing was predicted or true."""
        return _ratio(self.tp, self.tp + self.fn, self.fp)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where nothing was predicted or true."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn, 0)


def _ratio(part: int, whole: int, otherwise: int) -> float:
    if whole:
        return part / whole
    return 0.0 if otherwise else 1.0


def iou_matrix(truth: ArrayLike, predicted: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of each true with each predicted object.

    Parameters
    ----------
    truth, predicted : array-like of int, same shape
        0 is background; labels need not be sequential.

    Returns
    -------
    ndarray of float64, shape (true objects, predicted objects)
        In the order of the labels. It holds all pairs: `napari_fluorgen.overlap.find_overlaps`
        gives those that touch, for images of many objects.

    Raises
    ------
    InputError
        When the shapes differ or an image is no label image.
    """
    pairs = _pairs(truth, predicted)
    matrix = np.zeros((pairs.n_true, pairs.n_found))
    matrix[pairs.true, pairs.found] = pairs.iou
    return matrix


def _pairs(truth: ArrayLike, predicted: ArrayLike) -> Overlaps:
    return find_overlaps(check_labels(truth, "truth"), check_labels(predicted, "predicted"))


def match_instances(truth: ArrayLike, predicted: ArrayLike, iou: float = 0.5) -> MatchScores:
    """Match objects one to one where their intersection over union is at least `iou`.

    As many objects as possible are matched.

    Parameters
    ----------
    truth, predicted : array-like of int, same shape
        0 is background.
    iou : float
        In (0, 1].

    Returns
    -------
    MatchScores

    Raises
    ------
    InputError
        When the shapes differ or an image is no label image.
    ConfigError
        When `iou` is out of range.

    References
    ----------
    Caicedo et al. 2019, doi:10.1038/s41592-019-0612-7 (F1 of nuclei over IoU thresholds).
    """
    return score_thresholds(truth, predicted, (iou,))[0]


def score_thresholds(
    truth: ArrayLike, predicted: ArrayLike, ious: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9)
) -> tuple[MatchScores, ...]:
    """`match_instances` at several thresholds from one overlap table.

    Parameters
    ----------
    truth, predicted : array-like of int, same shape
        0 is background.
    ious : sequence of float
        Each in (0, 1].

    Returns
    -------
    tuple of MatchScores
        In the order of `ious`.

    Raises
    ------
    InputError, ConfigError
        As `match_instances`.
    """
    wrong = [iou for iou in ious if not 0 < iou <= 1]
    if wrong:
        raise ConfigError(f"The IoU threshold is {wrong[0]}: give a number above 0 and up to 1.")
    pairs = _pairs(truth, predicted)
    scores = []
    for iou in ious:
        matched = _count_matches(pairs, pairs.iou >= iou)
        missed, invented = pairs.n_true - matched, pairs.n_found - matched
        scores.append(MatchScores(matched, invented, missed, float(iou)))
    return tuple(scores)


def _count_matches(pairs: Overlaps, allowed: NDArray[np.bool_]) -> int:
    """Size of a largest one-to-one matching of the allowed pairs."""
    true, found = pairs.true[allowed], pairs.found[allowed]
    # Above IoU 0.5 a partner is unique, so that the general case is rare.
    if np.unique(true).size == np.unique(found).size == true.size:
        return int(true.size)
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    edges = csr_array((np.ones(true.size, bool), (true, found)), (pairs.n_true, pairs.n_found))
    return int((maximum_bipartite_matching(edges) >= 0).sum())


def pool_scores(scores: Iterable[MatchScores]) -> MatchScores:
    """Add up the counts of several fields at one threshold.

    Raises
    ------
    InputError
        When there are none or their thresholds differ.
    """
    fields = tuple(scores)
    if len({field.iou for field in fields}) != 1:
        raise InputError("Scores of at least one field, all at the same IoU threshold, are needed.")
    return MatchScores(
        sum(field.tp for field in fields),
        sum(field.fp for field in fields),
        sum(field.fn for field in fields),
        fields[0].iou,
    )
