"""What a stained field says about its own trustworthiness."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import napari_fluorgen as fluorgen
from napari_fluorgen.confidence import Calibration, calibrate, calibrate_intervals
from napari_fluorgen.errors import ConfigError
from napari_fluorgen.io import read_stack, results
from napari_fluorgen.models import load_model, save_package


@pytest.fixture
def stack(stack_file):
    return read_stack(stack_file)


@pytest.fixture
def calibrated(model, stack, tmp_path):
    """Return a maker of the model with a calibration on the field itself, altered by a function."""
    plain = fluorgen.stain(stack, model, device="cpu", precision="float32")

    def make(change=lambda probability: probability, *, intervals=True, fields=25):
        probability, found = plain.nuclei_probability, plain.nuclei_labels
        truth = np.where(found % 3 == 0, 0, found)  # every third nucleus is wrong
        calibration = calibrate([(change(probability), truth, found)] * fields)
        if intervals:
            pairs = []
            for seed in range(4):
                scale = model.spec.outputs["lipids"]
                prediction = scale.from_counts(plain.images["lipids"])
                noise = np.random.default_rng(seed).normal(0, 0.05, prediction.shape)
                pairs.append((prediction, prediction + noise))
            calibration = calibration.with_intervals(calibrate_intervals({"lipids": pairs}))
        folder = save_package(
            tmp_path / "calibrated",
            model.spec,
            model.networks(),
            calibration=calibration.to_arrays(),
            test_input=model.test_tensors()[0],
            card=model.card,
            overwrite=True,
        )
        return load_model(folder)

    return make


def test_each_nucleus_has_a_row_and_the_field_no_warning(stack, calibrated, tmp_path) -> None:
    field = fluorgen.stain(stack, calibrated(), device="cpu", precision="float32")
    table = field.nuclei
    assert table["label"].tolist() == list(range(1, field.nuclei_labels.max() + 1))
    assert np.isfinite(table["p_value"]).all()
    assert ((table["confidence"] >= 0) & (table["confidence"] <= 1)).all()
    assert set(table["decision"]) <= {"accept", "review", "reject"}
    assert field.verdict is None
    assert field.widths == {}
    record = field.provenance["confidence"]
    assert record["decided_by"] == "conformal selection"
    assert record["exchangeability"]["holds"]
    assert sum(record["decisions"].values()) == table["label"].size
    assert field.provenance["request"]["fdr"] == 0.1
    json.dumps(field.provenance)
    results.write_field(field, tmp_path / "out")
    again = results.read_field(tmp_path / "out", field.identity.name)
    for name, column in table.items():
        np.testing.assert_array_equal(again.nuclei[name], column)


def test_more_wrong_nuclei_tolerated_never_lose_one(stack, calibrated) -> None:
    model = calibrated()
    strict, lax = (fluorgen.stain(stack, model, device="cpu", fdr=fdr) for fdr in (0.05, 0.6))
    assert not (strict.trusted & ~lax.trusted).any()
    with pytest.raises(ConfigError, match="'fdr' is 1"):
        fluorgen.stain(stack, model, fdr=1.0)


def test_a_stack_unlike_the_calibration_is_told(stack, calibrated) -> None:
    model = calibrated(lambda probability: probability**6)
    field = fluorgen.stain(stack, model, device="cpu", precision="float32")
    assert field.verdict is not None
    assert "does not look like what the model was calibrated on" in field.verdict
    assert field.verdict in field.provenance["messages"]


@pytest.mark.parametrize("fields", [18, 19])
def test_too_few_calibration_fields_are_told_without_an_alarm(stack, calibrated, fields) -> None:
    field = fluorgen.stain(stack, calibrated(fields=fields), device="cpu", precision="float32")
    assert field.verdict is None
    said = [line for line in field.provenance["messages"] if "too few to tell" in line]
    compared = field.provenance["confidence"]["exchangeability"]
    if fields < 19:
        assert said == [
            "The model was calibrated on 18 fields, too few to tell whether this stack looks like "
            "them."
        ]
        assert compared["holds"] is None
    else:
        assert said == []
        assert compared["holds"] is True


def test_intervals_are_given_when_asked_for(stack, calibrated) -> None:
    model = calibrated()
    field = fluorgen.stain(stack, model, device="cpu", precision="float32", intervals=True)
    assert list(field.widths) == ["lipids"]
    width = field.widths["lipids"]
    assert width.dtype == np.uint16
    assert width.shape == field.shape
    # Errors of 0.05 of a range of 4000 counts: 90 % lie within 2 * 1.645 of that.
    assert np.median(width) == pytest.approx(2 * 1.645 * 0.05 * 4000, rel=0.15)
    assert any("no intervals of cytoplasm" in line for line in field.provenance["messages"])


def test_intervals_on_other_pixels_are_those_of_the_models_pixels(stack, calibrated) -> None:
    model = calibrated()
    field = fluorgen.stain(stack, model, device="cpu", intervals=True, pixel_size_um=0.2)
    assert field.widths["lipids"].shape == field.shape
    assert 200 < np.median(field.widths["lipids"]) < 1500


def test_a_model_without_any_calibration_claims_nothing(stack, tiny_models, tmp_path) -> None:
    folder = shutil.copytree(tiny_models / "tiny", tmp_path / "bare")
    (folder / "calibration.npz").unlink()
    field = fluorgen.stain(stack, folder, device="cpu", intervals=True)
    assert set(field.nuclei["decision"]) == {"review"}
    assert not field.trusted.any()
    assert field.verdict is None
    assert field.widths == {}


def test_a_calibration_of_pixels_alone_decides_by_the_rule_of_thumb(stack, model) -> None:
    assert Calibration.from_arrays(model.calibration).objects is None
    field = fluorgen.stain(stack, model, device="cpu")
    assert np.isnan(field.nuclei["p_value"]).all()
    assert field.provenance["confidence"]["decided_by"] == "share of certain pixels"
