"""A plate and a configuration small enough to train on in seconds."""

import pytest
import yaml

from napari_fluorgen.simulation.plate import simulate_fields, write_plate
from napari_fluorgen.simulation.presets import get_preset


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs") / "plate"
    fields = simulate_fields(get_preset("20x"), 2, seed=21, shape=(96, 96))
    return write_plate(fields, folder, plate="Pairs")


@pytest.fixture
def settings(pairs_folder):
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
            "train": str(pairs_folder),
            "validation": str(pairs_folder),
            "calibration": str(pairs_folder),
            "crop": 32,
            "batch": 2,
        },
        "networks": {"nuclei": nuclei, "lipids": network, "cytoplasm": network},
    }


@pytest.fixture
def config_file(settings, tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path
