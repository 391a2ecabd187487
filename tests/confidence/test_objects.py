"""The table of nuclei."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_fluorgen.confidence import DECISIONS, object_confidence, prediction_regions
from napari_fluorgen.confidence.object_scores import object_scores
from napari_fluorgen.confidence.selection import ObjectCalibration, object_p_values
from napari_fluorgen.errors import ConfigError, InputError


def maps_for(labels, nucleus, background):
    """P-values by label."""
    return {
        "nucleus": np.asarray(nucleus, np.float32)[labels],
        "background": np.asarray(background, np.float32)[labels],
    }


def test_decisions_follow_the_rule():
    labels = np.repeat(np.arange(5), 6).reshape(5, 6)
    p_values = maps_for(labels, [0, 0.5, 0.01, 0.5, 0.02], [0, 0.01, 0.5, 0.5, 0.02])
    table = object_confidence(labels, p_values)
    assert table["label"].tolist() == [1, 2, 3, 4]
    assert table["decision"].tolist() == ["accept", "reject", "review", "reject"]
    assert table["certain_share"].tolist() == [1, 0, 0, 0]
    assert table["uncertain_share"].tolist() == [0, 0, 1, 0]
    assert table["strange_share"].tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(table["confidence"], [0.99, 0.5, 0.5, 0.98], atol=1e-6)


def test_a_nucleus_of_two_halves_needs_review_where_a_larger_share_is_asked():
    labels = np.ones((1, 4), int)
    p_values = {
        "nucleus": np.array([[0.5, 0.5, 0.5, 0.5]], np.float32),
        "background": np.array([[0.01, 0.01, 0.5, 0.5]], np.float32),
    }
    assert object_confidence(labels, p_values)["decision"].tolist() == ["accept"]
    assert object_confidence(labels, p_values, share=0.75)["decision"].tolist() == ["review"]


@settings(deadline=None)
@given(
    hnp.arrays(np.uint32, (6, 7), elements=st.sampled_from([0, 1, 2, 9, 70_000, 2**32 - 1])),
    st.integers(0, 2**32 - 1),
)
def test_means_and_shares_equal_a_loop(labels, seed):
    rng = np.random.default_rng(seed)
    p_values = {n: rng.random((6, 7), np.float32) for n in ("nucleus", "background")}
    probability = rng.random((6, 7), np.float32)
    table = object_confidence(labels, p_values, probability=probability, significance=0.3)
    regions = prediction_regions(p_values, 0.3)
    assert table["label"].tolist() == sorted(set(labels[labels > 0].tolist()))
    for i, label in enumerate(table["label"]):
        own = labels == label
        assert table["probability"][i] == pytest.approx(probability[own].mean(), abs=1e-6)
        assert table["p_nucleus"][i] == pytest.approx(p_values["nucleus"][own].mean(), abs=1e-6)
        assert table["certain_share"][i] == pytest.approx((regions[own] == 2).mean())
        assert table["decision"][i] in DECISIONS
    assert len({len(column) for column in table.values()}) == 1


def scene():
    """Three nuclei: sharp, faint, and one of noise."""
    rows, columns = np.indices((40, 90))
    labels = np.zeros((40, 90), np.uint32)
    p = np.full((40, 90), 0.02, np.float32)
    for label, x, inside, around in ((2, 15, 0.98, 0.02), (5, 45, 0.75, 0.3), (6, 75, 0.5, 0.45)):
        away = np.hypot(rows - 20, columns - x)
        labels[away < 8] = label
        p[away < 14] = around
        p[away < 8] = inside
    return labels, p


def test_calibration_of_nuclei_decides_and_keeps_the_other_columns():
    labels, p = scene()
    rng = np.random.default_rng(0)
    scores = np.append(rng.uniform(0.3, 0.7, 100), rng.uniform(0.45, 1, 300))
    calibration = ObjectCalibration(scores, np.arange(400) >= 100, np.arange(400) // 20, 20)
    p_values = {"nucleus": p, "background": 1 - p}
    table = object_confidence(labels, p_values, probability=p, calibration=calibration)
    assert table["label"].tolist() == [2, 5, 6]
    assert table["decision"].tolist() == ["accept", "review", "reject"]
    np.testing.assert_array_equal(table["score"], object_scores(labels, p))
    np.testing.assert_array_equal(table["p_value"], object_p_values(table["score"], calibration))
    plain = object_confidence(labels, p_values, probability=p)
    assert set(table) == set(plain) | {"score", "p_value"}
    for name in set(plain) - {"decision"}:
        np.testing.assert_array_equal(table[name], plain[name])
    without_maps = object_confidence(labels, {}, probability=p, calibration=calibration)
    assert without_maps["decision"].tolist() == table["decision"].tolist()


def test_calibration_of_nuclei_needs_the_probability():
    calibration = ObjectCalibration(np.ones(1), np.ones(1, bool), np.zeros(1, int), 1)
    with pytest.raises(InputError, match="probability of nucleus"):
        object_confidence(np.ones((2, 2), int), {}, calibration=calibration)
    empty = object_confidence(
        np.zeros((3, 3), int), {}, probability=np.zeros((3, 3)), calibration=calibration
    )
    assert all(len(column) == 0 for column in empty.values())


def test_without_calibration_nothing_is_invented():
    table = object_confidence(np.ones((2, 2), int), {}, probability=np.full((2, 2), 0.75))
    assert set(table) == {"label", "probability"}
    assert table["probability"].tolist() == [0.75]


def test_field_without_nuclei():
    empty = np.zeros((3, 3), np.uint32)
    p_values = {n: np.ones((3, 3), np.float32) for n in ("nucleus", "background")}
    table = object_confidence(empty, p_values)
    assert all(len(column) == 0 for column in table.values())
    assert table["decision"].dtype.kind == "U"


def test_bad_input_is_named():
    p_values = {n: np.ones((3, 3), np.float32) for n in ("nucleus", "background")}
    with pytest.raises(InputError, match="p_nucleus map has shape"):
        object_confidence(np.ones((2, 2), int), p_values)
    with pytest.raises(ConfigError, match=r"0\.5 to 1"):
        object_confidence(np.ones((3, 3), int), p_values, share=0.2)
    with pytest.raises(InputError, match="no p-values of background"):
        object_confidence(np.ones((3, 3), int), {"nucleus": p_values["nucleus"]})
