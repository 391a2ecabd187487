from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from napari_fluorgen.models import Architecture, Model, ModelSpec, save_package
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity

SMALL = {"first_filters": 6, "blocks": 2, "layers": 2, "growth_rate": 4}
# Half-width of the receptive field of networks of this size, counted by hand: 36 pixels.
REACH_PX = 40


@pytest.fixture(scope="session", autouse=True)
def _private_cache(tmp_path_factory):
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


def make_spec(**changes) -> ModelSpec:
    dense = Architecture(kind="dense-unet", **SMALL)
    values = {
        "name": "tiny",
        "pixel_size_um": 0.325,
        "z_um": (-6, -4, -2, 0, 2, 4, 6),
        "input": {"kind": "background", "gain": 4.0},
        "outputs": {
            "nuclei": {"minimum": 100, "maximum": 60000},
            "lipids": {"minimum": 0, "maximum": 60000},
            "cytoplasm": {"minimum": 45, "maximum": 65535},
        },
        "architectures": {
            "nuclei": Architecture(kind="nuclei", **SMALL),
            "lipids": dense,
            "cytoplasm": dense,
        },
        "overlap_px": REACH_PX,
        "divisor": 4,
    }
    return ModelSpec.model_validate(values | changes)


def make_model(folder: Path, spec: ModelSpec) -> Model:
    import torch

    from napari_fluorgen.networks import build_network

    torch.manual_seed(1)
    networks = {}
    for stain, architecture in spec.architectures.items():
        network = build_network(architecture).eval()
        for name, tensor in network.state_dict().items():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.2)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
        networks[stain] = network
    sample = np.random.default_rng(2).normal(0, 0.3, (1, 7, 64, 64)).astype(np.float32)
    return Model(save_package(folder, spec, networks, test_input=sample, card="# Tiny\n"))


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Model:
    return make_model(tmp_path_factory.mktemp("models") / "tiny", make_spec())


@pytest.fixture(scope="session")
def views_model(tmp_path_factory) -> Model:
    nuclei = Architecture(kind="nuclei", **SMALL, views=4)
    architectures = make_spec().architectures | {"nuclei": nuclei}
    folder = tmp_path_factory.mktemp("models") / "views"
    return make_model(folder, make_spec(name="views", architectures=architectures))


@pytest.fixture(scope="session")
def ranged_model(tmp_path_factory) -> Model:
    ranges = {"kind": "range", "minimum": (200,) * 7, "maximum": (2000,) * 7}
    folder = tmp_path_factory.mktemp("models") / "ranged"
    return make_model(folder, make_spec(name="ranged", input=ranges))


def make_stack(data, *, pixel=0.325, z_um=(-6, -4, -2, 0, 2, 4, 6), name="field"):
    size = None if pixel is None else (pixel, pixel)
    return BrightfieldStack(data, FieldIdentity(name), size, z_um)


def structured(height: int, width: int, planes: int = 7, seed: int = 0) -> np.ndarray:
    """Counts with edges, blobs, noise and uneven light, so that a seam would show."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    light = 1000 + 200 * np.sin(x / 150) + 100 * np.cos(y / 90)
    blobs = np.zeros((height, width))
    for _ in range(max(3, height * width // 2500)):
        cy, cx, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(2, 9)
        blobs += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / r**2)
    blobs += ((x // 17 + y // 23) % 2) * 0.5
    contrast = np.linspace(-0.4, 0.4, planes)[:, None, None]
    counts = light * (1 + contrast * blobs) + rng.normal(0, 20, (planes, height, width))
    return np.clip(counts, 1, 65535).astype(np.uint16)


def drain(generator):
    """Events and result of a run."""
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as stop:
            return events, stop.value


def focus_series(z_um, *, size=256, pixel=0.325, seed=0, absorption=0.0) -> np.ndarray:
    """Propagate light behind a thin layer of cells and droplets (angular spectrum, scalar).

    Positive z lies behind the layer, where the light goes.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] * pixel
    phase, shade = np.zeros((size, size)), np.zeros((size, size))
    for _ in range(12):
        cy, cx, r = [*rng.uniform(0, size * pixel, 2), rng.uniform(6, 12)]
        inside = np.clip(1 - ((y - cy) ** 2 + (x - cx) ** 2) / r**2, 0, None)
        phase += 2 * np.pi / 0.55 * 0.03 * 5 * inside
        shade += absorption * inside
    for _ in range(60):
        cy, cx, r = [*rng.uniform(0, size * pixel, 2), rng.uniform(0.6, 2)]
        inside = np.sqrt(np.clip(1 - ((y - cy) ** 2 + (x - cx) ** 2) / r**2, 0, None))
        phase += 2 * np.pi / 0.55 * 0.1 * 2 * r * inside
    field = np.fft.fft2(np.exp(1j * phase - shade))
    f = np.fft.fftfreq(size, pixel)
    f2 = f[:, None] ** 2 + f[None, :] ** 2
    k = np.sqrt(np.clip((1.337 / 0.55) ** 2 - f2, 0, None)) - 1.337 / 0.55
    passed = f2 < (0.75 / 0.55) ** 2
    envelope = passed * np.exp(-f2 * 0.3)
    planes = [
        np.abs(np.fft.ifft2(field * envelope * np.exp(2j * np.pi * k * z))) ** 2 for z in z_um
    ]
    counts = 3000 * np.stack(planes)
    return rng.poisson(counts).clip(0, 65535).astype(np.uint16)


@pytest.fixture(scope="session")
def series_of():
    return focus_series


@pytest.fixture(scope="session")
def stack_of():
    return make_stack


@pytest.fixture(scope="session")
def image_of():
    return structured


@pytest.fixture(scope="session")
def run():
    return drain


@pytest.fixture(scope="session")
def spec_of():
    return make_spec
