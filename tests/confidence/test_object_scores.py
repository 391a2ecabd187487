"""Score of a nucleus: equal to a loop, high for sharp nuclei, independent of the numbering."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from napari_fluorgen.confidence.object_scores import object_scores
from napari_fluorgen.errors import InputError


def disc(y, x, radius, shape=(60, 60)):
    rows, columns = np.indices(shape)
    return np.hypot(rows - y, columns - x) <= radius


def test_score_equals_a_loop():
    rng = np.random.default_rng(0)
    labels = disc(15, 15, 7) * 7 + disc(40, 30, 9) * 900_000 + disc(40, 50, 6) * 3
    p = rng.random(labels.shape).astype(np.float32)
    ids = np.unique(labels)[1:]
    reach = 0.5 * np.sqrt(np.median([np.sum(labels == i) for i in ids]) / np.pi)
    away = np.stack([distance_transform_edt(labels != i) for i in ids])
    owner = np.where(away.min(0) <= reach, ids[away.argmin(0)], 0)
    expected = [
        p[labels == i].sum() / (np.sum(labels == i) + p[(owner == i) & (labels == 0)].sum())
        for i in ids
    ]
    # A pixel between two nuclei may go to either.
    np.testing.assert_allclose(object_scores(labels, p), expected, atol=0.02)


def test_faint_blurred_and_cut_nuclei_score_lower():
    labels = disc(30, 30, 10).astype(np.uint32)
    sharp = object_scores(labels, np.where(labels, 0.98, 0.01))[0]
    faint = object_scores(labels, np.where(labels, 0.6, 0.01))[0]
    blurred = object_scores(
        labels, np.clip(1.5 - distance_transform_edt(~disc(30, 30, 2)) / 12, 0, 1)
    )[0]
    cut = object_scores(labels * (np.indices(labels.shape)[1] < 30), np.where(labels, 0.98, 0.01))[
        0
    ]
    assert sharp > 0.9
    assert max(faint, blurred, cut) < 0.8


def test_a_perfect_map_scores_one_and_an_empty_one_gives_nothing():
    labels = np.where(disc(20, 20, 8), 2**32 - 1, 0).astype(np.uint32)
    assert object_scores(labels, labels > 0).tolist() == [1]
    assert object_scores(np.zeros((5, 5), int), np.zeros((5, 5))).shape == (0,)
    assert object_scores(np.ones((5, 5), int), np.full((5, 5), 0.5)).tolist() == [0.5]


def test_bad_input_is_named():
    with pytest.raises(InputError, match="must be equal"):
        object_scores(np.zeros((2, 2), int), np.zeros((2, 3)))
    with pytest.raises(InputError, match="NaN"):
        object_scores(np.ones((2, 2), int), np.full((2, 2), np.nan))
