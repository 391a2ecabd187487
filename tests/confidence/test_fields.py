"""Whether a field looks like the calibration fields: false alarms by construction, and power."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_fluorgen.confidence.fields import (
    EDGES,
    FieldCalibration,
    looks_like_calibration,
    probability_histogram,
    summarise_field,
)
from napari_fluorgen.confidence.risk import THRESHOLDS
from napari_fluorgen.errors import ConfigError, InputError, ModelError


def field(rng, uncertain=0.1):
    """A probability map with some nuclei and some pixels that are neither."""
    p = np.where(rng.random((40, 40)) < rng.uniform(0.1, 0.2), 0.98, 0.005)
    doubtful = rng.random(p.shape) < uncertain * rng.uniform(0.8, 1.2)
    return np.where(doubtful, rng.random(p.shape), p).astype(np.float32)


def calibration(fields):
    missed, histogram = zip(*(summarise_field(p, p > 0.5) for p in fields), strict=True)
    return FieldCalibration(np.stack(missed), np.stack(histogram))


@settings(deadline=None, max_examples=50)
@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(2, 12), st.just(6)), elements=st.integers(0, 3)),
    st.floats(0.05, 0.9),
)
def test_each_field_in_turn_as_the_new_one_gives_few_false_alarms(values, significance):
    """Exchangeability says that each order is as likely: the bound holds for any fields."""
    fields = [(row / 3)[None] for row in values]
    alarms = [
        not looks_like_calibration(
            new, calibration(fields[:i] + fields[i + 1 :]), significance
        ).holds
        for i, new in enumerate(fields)
    ]
    assert np.mean(alarms) <= significance + 1e-12


def test_other_field_raises_the_alarm_and_says_why():
    rng = np.random.default_rng(0)
    known = calibration([field(rng) for _ in range(19)])
    verdict = looks_like_calibration(field(rng, uncertain=0.6), known)
    assert not verdict.holds
    assert verdict.p_value == pytest.approx(0.05)
    assert "does not look like what the model was calibrated on" in verdict.message
    assert "undecided, against" in verdict.message
    same = looks_like_calibration(field(rng), known)
    assert same.holds
    assert same.statistic < verdict.statistic


def test_too_few_fields_say_so():
    rng = np.random.default_rng(0)
    one = calibration([field(rng)])
    verdict = looks_like_calibration(field(rng, uncertain=0.9), one)
    assert verdict.holds
    assert not verdict.can_tell
    assert verdict.p_value == 1
    assert "1 field, too few" in verdict.message


def test_equal_fields_are_not_strange():
    p = field(np.random.default_rng(0))
    verdict = looks_like_calibration(p, calibration([p] * 30))
    assert verdict.p_value == 1
    assert verdict.statistic == 0


def test_histogram_counts_each_pixel_once():
    p = np.random.default_rng(0).random((30, 30)).astype(np.float32)
    p[0, :3] = 0, 1, EDGES[5]
    found = probability_histogram(p)
    np.testing.assert_allclose(found * p.size, np.histogram(p, EDGES)[0], atol=1e-3)
    assert found.sum() == pytest.approx(1)


def test_threshold_of_the_fields_keeps_the_missed_share():
    rng = np.random.default_rng(1)
    table = calibration([field(rng) for _ in range(30)])
    threshold = table.nucleus_threshold(0.1)
    missed = table.missed[:, list(THRESHOLDS).index(np.float32(threshold))]
    assert (missed.sum() + 1) / 31 <= 0.1
    assert table.nucleus_threshold(0.01) == 0


def test_bad_input_is_named():
    good = calibration([field(np.random.default_rng(0))])
    with pytest.raises(ModelError, match="missed shares of shape"):
        FieldCalibration(good.missed[:, 1:], good.histogram)
    with pytest.raises(ModelError, match=r"outside \[0, 1\]"):
        FieldCalibration(good.missed, good.histogram * np.nan)
    with pytest.raises(ModelError, match="different length"):
        FieldCalibration(good.missed, good.histogram[:0])
    with pytest.raises(InputError, match="no pixel"):
        looks_like_calibration(np.zeros((0, 3)), good)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        good.nucleus_threshold(1)
