"""Curves of the calibration plot; no display is needed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from napari_fluorgen.confidence import calibrate, error_rates, p_value_maps
from napari_fluorgen.errors import InputError
from napari_fluorgen.models import NucleiSettings
from napari_fluorgen.widgets.presenters import error_curves
from napari_fluorgen.widgets.presenters.recalibrating import Recalibrated, done_text, free_name
from napari_fluorgen.widgets.presenters.results import Run


def made_up(seed):
    rng = np.random.default_rng(seed)
    truth = rng.random((40, 50)) < 0.3
    return rng.beta(np.where(truth, 6, 2), np.where(truth, 2, 6)).astype(np.float32), truth


def test_curves_of_a_truth_are_the_error_rates():
    probability, truth = made_up(1)
    maps = p_value_maps(probability, calibrate([made_up(2)]))
    curves = error_curves.curves_of_truth(maps, truth, "by hand")
    for row, significance in enumerate(error_curves.NOMINAL):
        expected = error_rates(maps, truth, float(significance))
        for name, line in curves.lines.items():
            assert line[row] == pytest.approx(expected[name])
    assert "by hand" in curves.caption


def test_curves_of_the_calibration_lie_about_the_diagonal():
    curves = error_curves.curves_of_calibration(calibrate(made_up(i) for i in range(8)))
    np.testing.assert_allclose(curves.lines["nucleus"], error_curves.NOMINAL, atol=0.03)
    assert (curves.low <= curves.lines["nucleus"] + 1e-9).all()
    assert (curves.high >= curves.lines["nucleus"] - 1e-9).all()
    assert "8 calibration fields" in curves.caption
    assert curves.at(0.05).startswith("At 0.05, ")


def test_calibrations_without_fields_have_no_curve():
    from napari_fluorgen.confidence import Calibration

    scores = np.linspace(0, 1, 9, dtype=np.float32)
    assert error_curves.curves_of_calibration(Calibration(scores, scores)) is None


@pytest.mark.parametrize("truth", [np.zeros((40, 50)), np.ones((40, 50)), np.ones((3, 3))])
def test_what_is_no_truth_is_refused(truth):
    maps = p_value_maps(made_up(1)[0], calibrate([made_up(2)]))
    with pytest.raises(InputError, match="mask"):
        error_curves.curves_of_truth(maps, truth, "mask")


def labels(shape=(4, 4), **record):
    return SimpleNamespace(data=np.zeros(shape), metadata={"fluorgen": record}, selected_label=1)


def test_true_nuclei_are_sought_in_a_stain_within_the_limits_of_the_model():
    stain = np.full((64, 80), 200, np.uint16)
    stain[10:30, 10:30] = stain[35:40, 45:50] = 3000
    layer = SimpleNamespace(name="stain", data=stain)
    for largest, pixels in ((600, 400), (30, 0)):
        settings = NucleiSettings(min_area_um2=15, max_area_um2=largest)
        found = error_curves.true_nuclei(layer, (0.325, 0.325), settings)
        assert (found > 0).sum() == pytest.approx(pixels, rel=0.1)


def test_labels_of_another_field_are_no_truth():
    run = Run("r", "r", {"nuclei labels": labels(run="r", role="nuclei labels", identity="a")})
    mine, other = (labels(role="true labels", identity=name) for name in "ab")
    assert error_curves.truth_layers([mine, other], run) == [mine]


def test_truth_is_sought_on_the_same_grid():
    own = labels(run="r", role="nuclei labels", identity="field")
    run = Run("r", "r", {"nuclei labels": own})
    hand, other = labels(), labels((5, 5))
    stain = SimpleNamespace(
        data=np.zeros((4, 4)), metadata={"fluorgen": {"role": "true nuclei", "identity": "field"}}
    )
    foreign = SimpleNamespace(data=np.zeros((4, 4)), metadata={})
    found = error_curves.truth_layers(
        [own, hand, other, stain, foreign, labels(regions_of="r")], run
    )
    assert found == [hand, stain]


def test_a_stain_without_pixel_size_is_no_truth():
    layer = SimpleNamespace(name="stain", data=np.zeros((4, 4)))
    with pytest.raises(InputError, match="stain"):
        error_curves.true_nuclei(layer, None, NucleiSettings())


def test_recalibrated_models_get_names_of_their_own():
    assert free_name("a", ["a"]) == "a-recalibrated"
    assert free_name("a-recalibrated-2", ["a-recalibrated"]) == "a-recalibrated-2"
    assert len(free_name("m" * 64, [])) <= 64


def test_few_fields_are_said_to_be_few():
    assert "fewer than 19" in done_text(Recalibrated("m", 3, ()))
    assert "fewer" not in done_text(Recalibrated("m", 30, ()))
