from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.errors import InputError
from napari_fluorgen.measurement import feature_error
from napari_fluorgen.measurement.feature_error import columns_of

NAN = float("nan")


def test_worked_out_by_hand():
    truth = {
        "ImageNumber": [1, 2, 3],
        "Metadata_FoV": ["F1", "F2", "F3"],
        "Count_nuclei": [10, 20, 40],
        "Mean_nuclei_AreaShape_Area": [100.0, 300.0, 200.0],
    }
    predicted = {
        "ImageNumber": [4, 5, 6],
        "Metadata_FoV": ["F1", "F2", "F3"],
        "Count_nuclei": [12, 20, 31],
        "Mean_nuclei_AreaShape_Area": [150.0, 250.0, 300.0],
    }
    scores = feature_error(predicted, truth)
    # medians 20 and 200: (2 + 0 + 9) / 3 / 20 and (50 + 50 + 100) / 3 / 200
    assert scores.columns == pytest.approx(
        {"Count_nuclei": 11 / 60, "Mean_nuclei_AreaShape_Area": 1 / 3}
    )
    assert scores.error == pytest.approx((11 / 60 + 1 / 3) / 2)
    assert scores.images == 3
    assert scores.excluded == scores.incomplete == {}


def test_zero_medians_and_missing_values_are_listed():
    truth = {
        "good": [2.0, 4.0],
        "zero": [0.0, 0.0],
        "unknown": [NAN, NAN],
        "half": [NAN, 5.0],
        "lost": [1.0, 2.0],
    }
    predicted = {
        "good": [3.0, 4.0],
        "zero": [7.0, 7.0],
        "unknown": [1.0, 1.0],
        "half": [9.0, 10.0],
        "lost": [NAN, NAN],
    }
    scores = feature_error(predicted, truth)
    assert scores.columns == pytest.approx({"good": 1 / 6, "half": 1.0})
    assert set(scores.excluded) == {"zero", "unknown", "lost"}
    assert "median is 0" in scores.excluded["zero"]
    assert scores.incomplete == {"half": 1}


def test_a_median_that_is_rounding_noise_counts_as_0():
    truth = {"angle": [8.9e-16, 8.9e-16, -1.2], "small": [1e-12, 2e-12, 3e-12]}
    predicted = {"angle": [0.7, 0.1, -1.2], "small": [1e-12, 2e-12, 4e-12]}
    scores = feature_error(predicted, truth)
    assert set(scores.columns) == {"small"}
    assert scores.excluded == {"angle": "the true median is 0 but for rounding (9e-16)"}
    one_sided = feature_error({"angle": [0.7]}, {"angle": [8.9e-16]})
    assert set(one_sided.excluded) == {"angle"}


def test_a_negative_median_scales_by_its_size():
    scores = feature_error({"a": [-3.0]}, {"a": [-2.0]})
    assert scores.error == pytest.approx(0.5)


@given(
    st.lists(st.tuples(st.floats(1, 1e6), st.floats(1, 1e6)), min_size=1, max_size=8),
    st.floats(0.01, 100),
)
def test_the_unit_of_a_feature_does_not_count(rows, scale):
    predicted, truth = np.array(rows).T
    once = feature_error({"a": predicted}, {"a": truth}).error
    again = feature_error({"a": predicted * scale}, {"a": truth * scale}).error
    assert once == pytest.approx(again)
    assert feature_error({"a": truth}, {"a": truth}).error == 0


@pytest.mark.parametrize(
    ("predicted", "truth", "words"),
    [
        ({"a": [1.0]}, {"a": [1.0], "b": [1.0]}, "same pipeline"),
        ({"a": [1.0]}, {"a": [1.0, 2.0]}, "row for each image"),
        ({"a": ["x"]}, {"a": ["y"]}, "text"),
        ({"ImageNumber": [1]}, {"ImageNumber": [1]}, "no feature"),
    ],
)
def test_tables_that_do_not_agree(predicted, truth, words):
    with pytest.raises(InputError, match=words):
        feature_error(predicted, truth)


def test_only_measurements_are_read_from_a_file():
    rows = [
        {
            "ImageNumber": "1",
            "FileName_DNA": "a.tif",
            "Count_n": "3.0",
            "Mean_a": "nan",
            "Note": "x",
        },
        {"ImageNumber": "2", "FileName_DNA": "b.tif", "Count_n": "4.0", "Mean_a": "", "Note": "y"},
    ]
    table = columns_of(rows)
    assert set(table) == {"Count_n", "Mean_a"}
    assert table["Count_n"].tolist() == [3.0, 4.0]
    assert np.isnan(table["Mean_a"]).all()
    assert columns_of([]) == {}
