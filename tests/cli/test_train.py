"""``fluorgen train``: fine-tuning from the command line, and what it refuses."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_fluorgen.models import install_package, load_model

pytest.importorskip("lightning", reason="training needs the extra 'train'")


@pytest.fixture
def pairs(plate) -> Path:
    """The plate of three fields, with a nucleus stain that shows in brightfield."""
    for number, labels in enumerate(sorted(plate.folder.glob("*Z04C04.tif"))):
        image = tifffile.imread(labels).astype(np.float32)
        stem = labels.name.removesuffix("A04Z04C04.tif")
        rows, columns = np.indices(image.shape)
        spots = ((rows % 32 - 16) ** 2 + (columns % 32 - 16) ** 2 < 30) * 2000 + 100 + number
        tifffile.imwrite(plate.folder / f"{stem}A01Z01C01.tif", spots.astype(np.uint16))
    return plate.folder


def test_fine_tuning_prints_figures_before_and_after(fluorgen, pairs, installed, tmp_path):
    arguments = ["train", "--init", "tiny", pairs, "--steps", 2, "--stains", "lipids"]
    arguments += ["--device", "cpu", "--runs", tmp_path / "runs", "--name", "own"]
    ran = fluorgen(*arguments, "-o", tmp_path / "own", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["output"] == str(tmp_path / "own")
    assert ran.json["status"] == "done"
    assert set(ran.json["before"]["pearson"]) == set(ran.json["after"]["pearson"])
    assert "Training lipids: 2 steps." in ran.err
    assert load_model(tmp_path / "own").spec.name == "own"

    again = fluorgen(*arguments, "-o", tmp_path / "own")
    assert again.code == 1
    assert "exists already" in again.err
    again = fluorgen(*arguments, "-o", tmp_path / "second")
    assert again.code == 1
    assert "checkpoints of an earlier run" in again.err
    again = fluorgen(*arguments, "-o", tmp_path / "second", "--overwrite")
    assert again.code == 0, again.err
    assert "before   after" in again.out
    assert f"fluorgen models import {tmp_path / 'second'}" in again.out


def test_users_read_no_warnings_that_are_for_programmers(pairs, installed, tmp_path):
    # In a process of its own: pytest puts its filters of warnings before ours.
    command = [sys.executable, "-m", "napari_fluorgen.cli", "train", "--init", "tiny", pairs]
    command += ["--steps", "1", "--device", "cpu", "--runs", tmp_path / "runs"]
    ran = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "Training nuclei: 1 step." in ran.stderr
    assert "deprecated" not in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--init", "tiny", "{}/nowhere"], "is not a folder"),
        (["--init", "tiny", "{}/empty"], "{}/empty"),
        (["--init", "nothing", "{}/plate"], "No model or folder 'nothing'"),
        (["--init", "tiny", "{}/config.yaml"], "is a file"),
        (["{}/plate"], "name the model to start from"),
        (["--init", "tiny", "{}/plate", "--minutes", "2", "--steps", "3"], "Give minutes or steps"),
        (["--init", "tiny", "{}/plate", "--stains", "dapi"], "name some of nuclei"),
        (["--init", "tiny", "{}/plate", "--device", "mps"], "'mps' was not found"),
        (["--init", "tiny", "{}/plate", "--name", "my cells"], "'my cells' cannot name a model: "),
    ],
)
def test_what_cannot_be_trained_is_said_in_one_sentence(
    fluorgen, plate, installed, tmp_path, arguments, words
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "config.yaml").write_text("name: x")
    if arguments[-1] == "mps" and __import__("torch").backends.mps.is_available():
        pytest.skip("this machine has an Apple GPU")
    ran = fluorgen("train", *(a.format(tmp_path) for a in arguments), "--runs", tmp_path / "runs")
    assert ran.code == 1
    assert words.format(tmp_path) in " ".join(ran.err.split())
    assert ran.err.count("\n") <= 2
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").rglob("*.ckpt"))


def test_options_of_fine_tuning_do_not_go_with_a_configuration(fluorgen, tmp_path):
    (tmp_path / "config.yaml").write_text("name: x")
    ran = fluorgen("train", tmp_path / "config.yaml", "--minutes", 3)
    assert ran.code == 2
    assert "--minutes" in ran.err


def test_a_model_whose_name_is_taken_is_refused_before_training(
    fluorgen, plate, installed, tmp_path, monkeypatch
):
    shutil.copytree(installed, tmp_path / "models")
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(tmp_path / "models"))
    ran = fluorgen(
        "train", "--init", "tiny", plate.folder, "--name", "tiny", "--install",
        "--runs", tmp_path / "runs",
    )  # fmt: skip
    assert ran.code == 1
    assert "'tiny' is installed already" in " ".join(ran.err.split())


@pytest.fixture
def meanwhile(monkeypatch):
    """Let something happen when a function has done its work, before its caller goes on."""

    def after(name: str, act) -> None:
        module, _, function = name.rpartition(".")
        real = getattr(importlib.import_module(module), function)

        def both(*arguments, **options):
            value = real(*arguments, **options)
            act()
            return value

        monkeypatch.setattr(name, both)

    return after


def test_a_model_whose_name_is_taken_meanwhile_is_installed_under_another(
    fluorgen, pairs, installed, tmp_path, monkeypatch, meanwhile
):
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(tmp_path / "models"))
    tiny = load_model(installed / "tiny")
    meanwhile(
        "napari_fluorgen.workflow.fine_tuning_material.prepare",
        lambda: install_package(tiny.path, name="own"),
    )
    ran = fluorgen(
        "train", "--init", tiny.path, pairs, "--name", "own", "--steps", 2, "--stains", "lipids",
        "--device", "cpu", "--install", "--runs", tmp_path / "runs",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "The name 'own' was taken during the training" in " ".join(ran.err.split())
    assert "fluorgen stain --model own-2" in ran.out
    assert load_model("own").digest == tiny.digest
    assert load_model("own-2").digest == load_model(tmp_path / "runs/own/package").digest
