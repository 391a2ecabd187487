from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from napari_fluorgen.models import Architecture, Model, ModelSpec, save_package
from napari_fluorgen.networks import build_network

CARD = "Trained on simulated data.\n\n# Validation\n\nNone.\n"


def make_spec(name: str = "tiny-20x", **changes) -> ModelSpec:
    small = {"first_filters": 8, "blocks": 3, "layers": 2, "growth_rate": 4}
    dense = Architecture(kind="dense-unet", **small)
    values = {
        "name": name,
        "magnification": "20x",
        "pixel_size_um": 0.325,
        "z_um": (-6, -4, -2, 0, 2, 4, 6),
        "input": {"kind": "background", "gain": 2.5},
        "outputs": {
            stain: {"minimum": 100, "maximum": 4100} for stain in ("nuclei", "lipids", "cytoplasm")
        },
        "architectures": {
            "nuclei": Architecture(kind="nuclei", **small),
            "lipids": dense,
            "cytoplasm": dense,
        },
        "training": {"seed": 1},
        "simulated": True,
    }
    return ModelSpec.model_validate(values | changes)


def make_networks(spec: ModelSpec) -> dict[str, torch.nn.Module]:
    """Networks with weights and batch norm statistics that leave no layer without effect."""
    torch.manual_seed(0)
    networks = {stain: build_network(spec.architectures[stain]) for stain in spec.stains}
    for network in networks.values():
        randomise(network)
    return networks


def randomise(network: torch.nn.Module) -> torch.nn.Module:
    for name, tensor in network.state_dict().items():
        if name.endswith("running_mean"):
            tensor.normal_(0, 0.2)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif name.endswith("bias"):
            tensor.normal_(0, 0.1)
    return network


def make_package(folder: Path, spec: ModelSpec, **options) -> Path:
    size = max(64, spec.divisor)
    x = np.random.default_rng(3).normal(0, 0.5, (1, 7, size, size)).astype(np.float32)
    return save_package(folder, spec, make_networks(spec), test_input=x, card=CARD, **options)


@pytest.fixture(scope="session")
def calibration() -> dict:
    rng = np.random.default_rng(0)
    return {
        "nucleus": np.sort(rng.random(50, dtype=np.float32)),
        "background": np.sort(rng.random(80, dtype=np.float32)),
        "meta": {"fields": 3, "seed": 7},
    }


@pytest.fixture(scope="session")
def package(tmp_path_factory, calibration) -> Path:
    """A small package; do not change it."""
    return make_package(
        tmp_path_factory.mktemp("models") / "tiny-20x", make_spec(), calibration=calibration
    )


@pytest.fixture(scope="session")
def model(package) -> Model:
    return Model(package)
