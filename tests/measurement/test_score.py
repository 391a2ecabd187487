from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.errors import InputError
from napari_fluorgen.measurement import pearson, pixel_error, score_fields


def test_pixel_error_divides_by_the_median_over_the_whole_set():
    truths = [np.full((4, 4), 100, np.uint16), np.full((2, 4), 400, np.uint16)]
    predictions = [np.full((4, 4), 90, np.uint16), np.full((2, 4), 430, np.uint16)]
    # 16 pixels off by 10 and 8 off by 30; the median of 16 hundreds and 8 four-hundreds is 100
    assert pixel_error(predictions, truths) == pytest.approx((16 * 10 + 8 * 30) / 24 / 100)


def test_a_prediction_below_the_truth_does_not_wrap_around():
    assert pixel_error([np.array([[0]], np.uint16)], [np.array([[10]], np.uint16)]) == 1


@given(st.lists(st.lists(st.integers(1, 65535), min_size=1, max_size=7), min_size=1, max_size=4))
def test_the_median_is_that_of_all_pixels(rows):
    truths = [np.array([row], np.uint16) for row in rows]
    predictions = [np.zeros_like(truth) for truth in truths]
    pixels = np.concatenate([truth.ravel() for truth in truths]).astype(float)
    expected = pixels.mean() / np.median(pixels)
    assert pixel_error(predictions, truths) == pytest.approx(expected)
    as_floats = [truth.astype(float) for truth in truths[1:]]
    assert pixel_error(predictions, truths[:1] + as_floats) == pytest.approx(expected)


def test_pearson_equals_numpy_and_is_nan_for_constants():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 65535, (30, 40)).astype(np.uint16)
    b = (a // 2 + rng.integers(0, 9000, a.shape)).astype(np.uint16)
    assert pearson(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    assert np.isnan(pearson(a, np.full_like(a, 7)))


def test_fields_are_scored_by_stain():
    rng = np.random.default_rng(0)
    truth = {s: rng.integers(100, 900, (16, 16)).astype(np.uint16) for s in ("nuclei", "lipids")}
    prediction = {s: (image + 50).astype(np.uint16) for s, image in truth.items()}
    prediction["cytoplasm"] = prediction["lipids"]
    scores = score_fields([(prediction, truth)] * 2, ssim=True)
    assert list(scores.stains) == ["nuclei", "lipids"]
    for stain, score in scores.stains.items():
        assert score.pixel_error == pytest.approx(50 / np.median(truth[stain]))
        assert score.pearson == pytest.approx(1)
        assert 0 < score.ssim <= 1
        assert score.fields == 2
    errors = [score.pixel_error for score in scores.stains.values()]
    assert scores.pixel_error == pytest.approx(np.mean(errors))


@pytest.mark.parametrize(
    ("predictions", "truths", "words"),
    [
        ([np.ones((2, 2))], [np.ones((2, 3))], "shape"),
        ([np.ones((2, 2))], [], "one truth for each"),
        ([np.ones((2, 2))], [np.zeros((2, 2))], "median"),
        ([np.full((2, 2), np.nan)], [np.ones((2, 2))], "NaN"),
        ([np.ones((0, 2))], [np.ones((0, 2))], "empty"),
        ([], [], "at least one"),
    ],
)
def test_what_cannot_be_compared_is_said(predictions, truths, words):
    with pytest.raises(InputError, match=words):
        pixel_error(predictions, truths)


def test_no_stain_in_common():
    with pytest.raises(InputError, match="same stain"):
        score_fields([({"nuclei": np.ones((2, 2))}, {"lipids": np.ones((2, 2))})])
