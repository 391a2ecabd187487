"""The feature part is optional: what hinders it is told beside the other scores."""

from __future__ import annotations

import errno
import os
import tempfile

import numpy as np
import pytest

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.results import write_field
from napari_fluorgen.measurement import FeatureRun
from napari_fluorgen.measurement.challenge import challenge_style_pipeline
from napari_fluorgen.stack import STAINS, FieldIdentity, StainedField
from napari_fluorgen.workflow.evaluate import evaluate_folders


@pytest.fixture
def evaluate(stand_in, plate, tmp_path):
    """Compare a plate with itself; CellProfiler is never really started."""

    def run():
        return evaluate_folders(plate.folder, plate.folder, tmp_path / "scores", features=True)

    return run


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (FeatureRun, "__init__"),
        (FeatureRun, "_write"),
        (FeatureRun, "measure"),
        (tempfile, "TemporaryDirectory"),
    ],
)
def test_a_full_temporary_disk_leaves_the_other_scores(evaluate, monkeypatch, owner, name):
    monkeypatch.setattr(owner, name, full)
    evaluation, files = evaluate()
    told = [note for note in evaluation.notes if "feature error" in note]
    assert len(told) == 1
    assert "cannot be written (No space left on device): free some space" in told[0]
    assert evaluation.features is None
    assert evaluation.stains.pixel_error == 0
    assert len(files) == 3


def test_tables_that_cannot_be_compared_leave_the_other_scores(evaluate, monkeypatch):
    def differ(*_, **__):
        raise InputError("The tables hold no feature.")

    monkeypatch.setattr(FeatureRun, "measure", differ)
    evaluation, files = evaluate()
    assert "There is no feature error: The tables hold no feature." in evaluation.notes
    assert len(files) == 3


def test_fields_of_other_pixel_sizes_are_told(stand_in, monkeypatch, tmp_path):
    image = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50)
    for name, pixel in (("coarse", 0.5), ("fine", 0.2)):
        empty = np.zeros(image.shape, np.float32), np.zeros(image.shape, np.uint32)
        images = dict.fromkeys(STAINS, image)
        field = StainedField(FieldIdentity(name), (pixel, pixel), images, *empty)
        write_field(field, tmp_path / "predicted")
    monkeypatch.setattr(FeatureRun, "measure", full)
    own = tmp_path / "own.cppipe"
    own.write_text(challenge_style_pipeline(0.3), encoding="utf-8")
    folders = tmp_path / "predicted", tmp_path / "predicted"
    for number, (options, words) in enumerate(
        [
            ({}, ["pixels of 0.2 to 0.5 µm"]),
            ({"pixel_size_um": 0.3}, []),
            ({"pipeline": own}, []),
        ]
    ):
        evaluation, _ = evaluate_folders(
            *folders, tmp_path / f"scores-{number}", features=True, **options
        )
        told = [note for note in evaluation.notes if "one pixel size" in note]
        assert len(told) == len(words)
        assert all(word in note for word, note in zip(words, told, strict=True))
