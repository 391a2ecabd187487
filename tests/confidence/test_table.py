"""The table of nuclei: the same columns whatever the model knows."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fluorgen.confidence import Calibration, calibrate, nuclei_table, p_value_maps

COLUMNS = ["label", "probability_mean", "p_value", "confidence", "decision", "reviewed"]


@pytest.fixture
def field():
    truth = np.zeros((60, 60), np.uint32)
    truth[5:20, 5:20], truth[30:50, 30:50] = 1, 2
    probability = np.where(truth > 0, 0.9, 0.05).astype(np.float32)
    found = truth.copy()
    found[5:12, 40:48] = 3  # wrong, and faint
    probability[5:12, 40:48] = 0.55
    return probability, truth, found


def bare(calibration: Calibration) -> Calibration:
    return Calibration(calibration.nucleus, calibration.background)


def test_a_calibration_of_nuclei_decides(field):
    probability, truth, found = field
    calibration = calibrate([(probability, truth, found)] * 30)
    maps = p_value_maps(probability, calibration)
    table = nuclei_table(found, probability, maps, calibration.to_arrays())
    assert list(table) == COLUMNS
    assert table["label"].dtype == np.uint32
    assert table["label"].tolist() == [1, 2, 3]
    assert table["decision"].tolist() == ["accept", "accept", "reject"]
    np.testing.assert_allclose(table["probability_mean"], [0.9, 0.9, 0.55], atol=1e-6)
    assert table["p_value"][0] < 0.05 < table["p_value"][2]
    assert ((table["confidence"] >= 0) & (table["confidence"] <= 1)).all()
    assert set(table["reviewed"]) == {""}


def test_without_calibration_nothing_is_claimed(field):
    probability, _, found = field
    table = nuclei_table(found, probability, {}, None)
    assert list(table) == COLUMNS
    assert set(table["decision"]) == {"review"}
    assert np.isnan(table["p_value"]).all()
    assert np.isnan(table["confidence"]).all()


def test_pixels_alone_give_decisions_without_p_values(field):
    probability, truth, found = field
    calibration = bare(calibrate([(probability, truth)]))
    table = nuclei_table(found, probability, p_value_maps(probability, calibration), calibration)
    assert np.isnan(table["p_value"]).all()
    assert table["decision"][0] == "accept"


@pytest.mark.parametrize("known", [False, True])
def test_a_field_without_nuclei_has_no_rows(field, known):
    probability, truth, found = field
    calibration = calibrate([(probability, truth, found)] * 3) if known else None
    maps = p_value_maps(probability, calibration)
    table = nuclei_table(np.zeros_like(found), probability, maps, calibration)
    assert list(table) == COLUMNS
    assert {len(column) for column in table.values()} == {0}
