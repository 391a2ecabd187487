"""A model calibrated on fields that are read as staining reads them."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from napari_fluorgen.confidence import Calibration, calibrate, calibrate_intervals
from napari_fluorgen.errors import Cancelled, InputError, ModelError, OutputError
from napari_fluorgen.io import read_stack
from napari_fluorgen.models import PROBABILITY, load_model
from napari_fluorgen.staining import match_stack
from napari_fluorgen.workflow.field import stain
from napari_fluorgen.workflow.recalibration import recalibrate


@pytest.fixture
def folder(tmp_path):
    """A plain folder: five planes that run against the model's, nuclei and lipids stains."""
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
    for stain_name in ("nuclei", "lipids"):
        tifffile.imwrite(
            pairs / f"a_{stain_name}.tif", (100 + 3000 * scene).astype(np.uint16),
            metadata={"axes": "YX", "unit": "um"}, **settings,
        )  # fmt: skip
    return pairs


def test_the_calibration_is_that_of_what_staining_gives(model, folder, tmp_path):
    path, meta, notes = recalibrate(model, folder, tmp_path / "new")
    assert meta["n_fields"] == 1
    assert any("no nuclei labels" in note for note in notes)
    new = load_model(path)
    assert new.digest == model.digest
    assert new.onnx.read_bytes() == model.onnx.read_bytes()
    assert "Calibrated again on 1 field of pairs." in new.card

    stack = read_stack(folder / "a_brightfield.tif")
    assert match_stack(stack, model.spec).flipped
    field = stain(stack, model, device="cpu", precision="float32")
    everything = calibrate([(field.nuclei_probability, np.zeros(field.shape))]).background
    found = np.sort(np.concatenate([1 - new.calibration["nucleus"], new.calibration["background"]]))
    np.testing.assert_allclose(found, everything, atol=2e-3)
    assert PROBABILITY in new.spec.output_names
    calibration = Calibration.from_arrays(new.calibration)
    assert calibration.objects.scores.size == field.nuclei_labels.max()
    true = tifffile.imread(folder / "a_lipids.tif")
    pair = [model.spec.outputs["lipids"].from_counts(np.float32(image))
            for image in (field.images["lipids"], true)]  # fmt: skip
    expected = calibrate_intervals({"lipids": [pair]})["lipids"]
    assert set(calibration.intervals) == {"lipids"}
    assert calibration.intervals["lipids"].scale == pytest.approx(expected.scale, rel=0.02)

    with pytest.raises(OutputError, match="exists already"):
        recalibrate(model, folder, path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "pairs"]


def test_a_name_that_cannot_be_one_is_refused_before_the_work(model, tmp_path):
    with pytest.raises(ModelError, match="'my model' cannot name a model"):
        recalibrate(model, tmp_path / "missing", tmp_path / "new", name="my model")


def write_shifted(folder, shift):
    """Pairs whose nuclei stain lies beside the brightfield by `shift` pixels."""
    rng = np.random.default_rng(5)
    scene = gaussian_filter(rng.normal(0, 1, (200, 200)), 2)
    scene /= scene.std()
    planes = np.array([3000 * (1 + 0.03 * z * scene) for z in (-6, -4, -2, 0, 2, 4, 6)])
    planes += rng.normal(0, 5, planes.shape)
    stain = np.roll(1000 + 300 * np.abs(scene), shift, (0, 1))
    labels = (np.indices((200, 200)).sum(0) // 40 + 1).astype(np.uint16)
    cut = (slice(20, -20),) * 2
    settings = {"imagej": True, "resolution": (1 / 0.325, 1 / 0.325)}
    folder.mkdir()
    for name, image, axes in (
        ("a_brightfield.tif", planes[:, *cut], "ZYX"),
        ("a_nuclei.tif", stain[cut], "YX"),
        ("a_labels.tif", labels[cut], "YX"),
    ):
        metadata = {"axes": axes, "unit": "um", "spacing": 2.0}
        tifffile.imwrite(folder / name, image.astype(np.uint16), metadata=metadata, **settings)
    return folder


@pytest.mark.parametrize(("shift", "told"), [((0, 0), False), ((3, -4), True)])
def test_a_shift_between_stains_and_brightfield_is_told(model, tmp_path, shift, told):
    pairs = write_shifted(tmp_path / "pairs", shift)
    _, _, notes = recalibrate(model, pairs, tmp_path / "new")
    said = [note for note in notes if "shifted" in note]
    assert len(said) == told
    if told:
        found = re.match(r"Brightfield and nuclei are shifted by (\S+), (\S+) px,", said[0])
        assert [float(number) for number in found.groups()] == pytest.approx(shift, abs=0.5)


def test_a_folder_that_cannot_be_written_is_told_before_the_work(model, folder, tmp_path):
    (tmp_path / "file").write_text("words")
    seen = []
    with pytest.raises(OutputError, match="a part of the path is a file"):
        recalibrate(
            model, folder, tmp_path / "file" / "new", progress=lambda *event: seen.append(event)
        )
    assert seen == []
    last = iter([False, True])  # asked before the one field, and before the writing
    for stop in (lambda: True, lambda: next(last)):
        with pytest.raises(Cancelled):
            recalibrate(model, folder, tmp_path / "deep" / "new", should_stop=stop)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pairs"]


@pytest.mark.parametrize(("name", "called"), [("new", "new-2"), ("other", "other")])
def test_a_folder_that_is_taken_meanwhile_gets_a_number(model, folder, tmp_path, name, called):
    path, _, notes = recalibrate(
        model, folder, tmp_path / "new", name=name, progress=lambda *_: (tmp_path / "new").touch()
    )
    assert path == tmp_path / "new-2"
    assert load_model(path).spec.name == called
    assert notes[-1].endswith(f"was taken during the calibration: the model lies in {path}.")


def test_only_stains_that_get_intervals_must_be_camera_counts(model, folder, tmp_path):
    for name in ("nuclei", "lipids"):
        image = tifffile.imread(folder / f"a_{name}.tif")
        tifffile.imwrite(folder / f"a_{name}.tif", image / np.float32(65535))
    with pytest.raises(InputError, match="the true lipids image holds values from"):
        recalibrate(model, folder, tmp_path / "new")
    (folder / "a_lipids.tif").unlink()
    assert recalibrate(model, folder, tmp_path / "new")[1]["n_fields"] == 1


def test_fields_without_nuclei_cannot_calibrate(model, folder, tmp_path):
    (folder / "a_nuclei.tif").rename(folder / "a_lipids.tif")
    with pytest.raises(InputError, match="neither nuclei labels nor a true nuclei stain"):
        recalibrate(model, folder, tmp_path / "new")
