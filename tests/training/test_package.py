import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from napari_fluorgen.cli.app import app
from napari_fluorgen.errors import Cancelled, InputError
from napari_fluorgen.models import load_model
from napari_fluorgen.training.config import TrainingConfig, read_config

pytest.importorskip("lightning", reason="training needs the extra 'train'")


def test_training_ends_in_a_package_that_loads(config_file, tmp_path):
    runs, package = tmp_path / "runs", tmp_path / "package"
    arguments = ["train", str(config_file), "-o", str(package), "--runs", str(runs), "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["output"] == str(package)
    model = load_model(package)
    assert model.card.splitlines()[0].startswith("Trained on simulated data")
    assert model.calibration is not None
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
    np.testing.assert_array_equal(load_model(calibrated).test_tensors()[0], model.test_tensors()[0])


def test_a_short_run_is_repeatable_bit_for_bit(config_file, tmp_path):
    from napari_fluorgen.training.run import train_networks

    config = read_config(config_file)
    first, second = (train_networks(config, tmp_path / name) for name in ("first", "second"))
    for stain in first:
        for name, value in first[stain].state_dict().items():
            assert torch.equal(value, second[stain].state_dict()[name]), (stain, name)


def test_training_can_be_stopped(config_file, tmp_path):
    from napari_fluorgen.training.run import train_networks

    steps = []
    with pytest.raises(Cancelled, match="step 2 of nuclei"):
        train_networks(
            read_config(config_file),
            tmp_path / "runs",
            progress=lambda state: steps.append(state.step),
            should_stop=lambda: len(steps) == 2,
        )


def test_a_finished_run_is_resumed_without_training_again(config_file, tmp_path):
    from napari_fluorgen.training.run import train_networks

    config = read_config(config_file)
    first = train_networks(config, tmp_path)
    steps = []
    second = train_networks(
        config, tmp_path, resume=True, progress=lambda state: steps.append(state.step)
    )
    assert steps == []
    for stain in first:
        for name, value in first[stain].state_dict().items():
            assert torch.equal(value, second[stain].state_dict()[name]), (stain, name)


def test_a_bad_calibration_folder_is_said_before_training(settings, tmp_path):
    from napari_fluorgen.training.run import train_networks

    settings["data"]["calibration"] = str(tmp_path / "nowhere")
    steps = []
    with pytest.raises(InputError, match="nowhere"):
        train_networks(
            TrainingConfig.model_validate(settings),
            tmp_path / "runs",
            progress=lambda state: steps.append(state.step),
        )
    assert not steps


def test_starting_again_forgets_the_checkpoints_of_an_older_run(config_file, tmp_path):
    from napari_fluorgen.training.run import train_networks

    older = tmp_path / "lipids" / "last.ckpt"
    older.parent.mkdir()
    older.write_bytes(b"of an older run")
    with pytest.raises(Cancelled):
        train_networks(read_config(config_file), tmp_path, should_stop=lambda: True)
    assert not older.exists()
