import json
import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from napari_fluorgen.cli.app import app
from napari_fluorgen.confidence import Calibration
from napari_fluorgen.models import load_model
from napari_fluorgen.training.config import TrainingConfig, read_config
from napari_fluorgen.training.package import model_card

pytest.importorskip("lightning", reason="training needs the extra 'train'")


def test_training_ends_in_a_package_that_loads(config_file, tmp_path, monkeypatch):
    runs, package = tmp_path / "runs", tmp_path / "package"
    arguments = ["train", str(config_file), "-o", str(package), "--runs", str(runs), "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["output"] == str(package)
    model = load_model(package)
    assert model.card.splitlines()[0].startswith("Trained on simulated data")
    assert model.calibration is not None
    calibration = Calibration.from_arrays(model.calibration)
    assert calibration.fields.n_fields == calibration.objects.n_fields
    assert set(calibration.intervals) == {"lipids", "cytoplasm"}
    assert set(model.spec.training["validation_pearson"]) == {"nuclei", "lipids", "cytoplasm"}

    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 1
    assert "exists" in again.stderr

    calibrated = tmp_path / "calibrated"
    pairs = str(read_config(config_file).data.train)
    done = CliRunner().invoke(
        app, ["calibrate", str(package), "--pairs", pairs, "-o", str(calibrated)]
    )
    assert done.exit_code == 0, done.output
    assert load_model(calibrated).digest == model.digest
    assert load_model(calibrated).license_id == model.license_id == "BSD-3-Clause"
    assert load_model(calibrated).card.splitlines()[0] == model.card.splitlines()[0]
    assert "again on 2 fields of" in load_model(calibrated).card
    again = Calibration.from_arrays(load_model(calibrated).calibration)
    assert set(again.intervals) == {"lipids", "cytoplasm"}
    np.testing.assert_array_equal(load_model(calibrated).test_tensors()[0], model.test_tensors()[0])

    from napari_fluorgen.training.run import train_networks

    other = tmp_path / "other"

    def meanwhile_taken(*arguments, **options):
        networks = train_networks(*arguments, **options)
        shutil.copytree(calibrated, other)
        return networks

    monkeypatch.setattr("napari_fluorgen.training.run.train_networks", meanwhile_taken)
    arguments[arguments.index(str(package))] = str(other)
    done = CliRunner().invoke(app, [*arguments, "--resume"])
    assert done.exit_code == 0, done.output
    beside = tmp_path / "other-2"
    said = f"{other} was taken during the training: the model lies in {beside}."
    assert said in " ".join(done.stderr.split())
    assert json.loads(done.stdout.splitlines()[-1])["output"] == str(beside)
    assert load_model(beside).digest == model.digest
    assert load_model(other).card == load_model(calibrated).card


def test_the_card_says_how_many_views_are_averaged(settings):
    def output_line():
        card = model_card(TrainingConfig.model_validate(settings), {}, None)
        return next(line for line in card.splitlines() if line.startswith("- Output"))

    assert "nuclei, lipids, cytoplasm in" in output_line()
    settings["networks"]["nuclei"]["architecture"]["views"] = 4
    assert "nuclei (mean over 4 mirrored views), lipids, cytoplasm in" in output_line()
