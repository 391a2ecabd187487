"""A plate and a configuration small enough to train on in seconds."""

import numpy as np
import pytest
import yaml

from napari_fluorgen.simulation.plate import simulate_fields, write_plate
from napari_fluorgen.simulation.presets import get_preset


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "plate"
    fields = simulate_fields(get_preset("20x"), 2, seed=21, shape=(96, 96))
    return write_plate(fields, folder, plate="Pairs")


def make_pairs(count, seed, size=64):
    """Fields whose stains follow from their brightfield, in memory, made in no time."""
    from napari_fluorgen.training.data import Pair

    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(count):
        planes = rng.normal(size=(7, size, size)).astype(np.float32)
        labels = np.zeros((size, size), np.uint32)
        labels[10:20, 12:22], labels[40:52, 30:44] = 1, 2
        stain = np.clip(planes[0] * 0.1 + 0.3 * (labels > 0) + 0.2, 0, 1).astype(np.float32)
        stains = {"nuclei": stain, "lipids": stain, "cytoplasm": stain}
        pairs.append(Pair(planes, stains, labels, f"field {number}"))
    return pairs


@pytest.fixture(scope="session")
def memory_pairs():
    return {"train": make_pairs(3, seed=1), "validation": make_pairs(1, seed=2)}


@pytest.fixture
def settings():
    small = {"first_filters": 4, "blocks": 2, "layers": 2, "growth_rate": 2}
    network = {"architecture": {"kind": "dense-unet", **small}, "steps": 4}
    nuclei = {
        "architecture": {"kind": "nuclei", **small},
        "steps": 4,
        "loss": {"segmentation": 0.5, "loss_weight_modules": 0.1},
    }
    return {
        "name": "tiny-20x",
        "description": "a test",
        "magnification": "20x",
        "pixel_size_um": 0.325,
        "z_um": [-6, -4, -2, 0, 2, 4, 6],
        "simulated": True,
        "overlap_px": 16,
        "input": {"kind": "background", "gain": 4.0},
        "outputs": {
            stain: {"minimum": 0, "maximum": 20000} for stain in ("nuclei", "lipids", "cytoplasm")
        },
        "data": {
            "train": "train",
            "validation": "validation",
            "crop": 32,
            "batch": 2,
        },
        "networks": {"nuclei": nuclei, "lipids": network, "cytoplasm": network},
    }


@pytest.fixture
def config_file(settings, pairs_folder, tmp_path):
    for part in ("train", "validation", "calibration"):
        settings["data"][part] = str(pairs_folder)
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path
