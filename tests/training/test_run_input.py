"""What a training is refused for before it begins, and what makes it another one."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_fluorgen.errors import Cancelled, InputError
from napari_fluorgen.training.config import TrainingConfig

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from napari_fluorgen.training.checkpoints import recipe_of
from napari_fluorgen.training.run import train_networks


@pytest.fixture
def config(settings):
    return TrainingConfig.model_validate(settings)


def changed(config, **values):
    return TrainingConfig.model_validate(config.model_dump() | values)


@pytest.mark.parametrize(
    "other", [{"pixel_size_um": 0.65}, {"z_um": [0, 1, 2, 3, 4, 5, 6]}], ids=["pixels", "heights"]
)
def test_other_pixels_or_heights_are_another_recipe(config, other):
    assert recipe_of(changed(config, **other), "lipids") != recipe_of(config, "lipids")
    moved = config.data.model_copy(update={"train": Path("elsewhere")})
    assert recipe_of(changed(config, data=moved), "lipids") == recipe_of(config, "lipids")


@pytest.mark.parametrize(
    ("part", "stain", "told"),
    [("validation", "cytoplasm", "no true cytoplasm"), ("calibration", "nuclei", "no nuclei")],
)
def test_fields_that_cannot_judge_are_refused_before_training(
    config, memory_pairs, monkeypatch, tmp_path, part, stain, told
):
    def load(config, asked, on_note):
        pairs = memory_pairs["validation" if asked != "train" else "train"]
        if asked != part:
            return pairs
        return [
            replace(
                pair,
                stains={name: image for name, image in pair.stains.items() if name != stain},
                labels=np.zeros_like(pair.labels),
            )
            for pair in pairs
        ]

    monkeypatch.setattr("napari_fluorgen.training.run.load_part", load)
    parts = {name: Path(name) for name in ("train", "validation", "calibration")}
    with pytest.raises(InputError, match=told):
        train_networks(changed(config, data=config.data.model_copy(update=parts)), tmp_path)


def test_calibration_fields_of_a_model_without_nuclei_are_said_to_be_of_no_use(
    settings, memory_pairs, monkeypatch, tmp_path
):
    settings["data"]["calibration"] = "held"
    for section in ("networks", "outputs"):
        settings[section] = {"lipids": settings[section]["lipids"]}
    monkeypatch.setattr(
        "napari_fluorgen.training.run.load_part", lambda config, part, on_note: memory_pairs[part]
    )
    notes = []
    with pytest.raises(Cancelled):
        train_networks(
            TrainingConfig.model_validate(settings),
            tmp_path,
            on_note=notes.append,
            should_stop=lambda: True,
        )
    assert notes == [
        "held is not used: confidence is calibrated on nuclei, of which this model has no "
        "network; train one as well or leave data.calibration out."
    ]
