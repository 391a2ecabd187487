"""A model calibrated on fields that are read as staining reads them."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_fluorgen.confidence import Calibration, calibrate
from napari_fluorgen.errors import InputError, OutputError
from napari_fluorgen.io import read_stack
from napari_fluorgen.models import PROBABILITY, load_model
from napari_fluorgen.staining import match_stack
from napari_fluorgen.workflow.field import stain
from napari_fluorgen.workflow.recalibration import recalibrate


@pytest.fixture
def folder(tmp_path):
    """A plain folder: five planes that run against the model's, and a nuclei stain."""
    rng = np.random.default_rng(3)
    rows, columns = np.indices((96, 96))
    scene = sum(
        np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 40)
        for y, x in ((20, 20), (30, 70), (70, 25), (75, 75))
    )
    planes = np.array([3000 * (1 + 0.03 * z * scene) for z in (-6, -3, 0, 3, 6)])
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    settings = {"imagej": True, "resolution": (1 / 0.325, 1 / 0.325)}
    tifffile.imwrite(
        pairs / "a_brightfield.tif",
        (planes + rng.normal(0, 10, planes.shape)).astype(np.uint16),
        metadata={"axes": "ZYX", "unit": "um", "spacing": 3.0},
        **settings,
    )
    tifffile.imwrite(
        pairs / "a_nuclei.tif", (100 + 3000 * scene).astype(np.uint16),
        metadata={"axes": "YX", "unit": "um"}, **settings,
    )  # fmt: skip
    return pairs


def test_the_calibration_is_that_of_what_staining_gives(model, folder, tmp_path):
    path, meta, notes = recalibrate(model, folder, tmp_path / "new")
    assert meta["n_fields"] == 1
    assert any("no nuclei labels" in note for note in notes)
    new = load_model(path)
    assert new.digest == model.digest
    assert "Calibrated again on 1 field of pairs." in new.card

    stack = read_stack(folder / "a_brightfield.tif")
    assert match_stack(stack, model.spec).flipped
    field = stain(stack, model, device="cpu", precision="float32")
    everything = calibrate([(field.nuclei_probability, np.zeros(field.shape))]).background
    found = np.sort(np.concatenate([1 - new.calibration["nucleus"], new.calibration["background"]]))
    np.testing.assert_allclose(found, everything, atol=2e-3)
    assert PROBABILITY in new.spec.output_names
    nuclei = Calibration.from_arrays(new.calibration).objects
    assert nuclei.scores.size == field.nuclei_labels.max()

    with pytest.raises(OutputError, match="exists already"):
        recalibrate(model, folder, path)


def test_fields_without_nuclei_cannot_calibrate(model, folder, tmp_path):
    (folder / "a_nuclei.tif").rename(folder / "a_lipids.tif")
    with pytest.raises(InputError, match="neither nuclei labels nor a true nuclei stain"):
        recalibrate(model, folder, tmp_path / "new")
