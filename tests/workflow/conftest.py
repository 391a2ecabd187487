"""A model with small random networks, and stacks as instruments write them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from napari_fluorgen.stack import BrightfieldStack, FieldIdentity

WELLS = (("D04", 1), ("D04", 2), ("D04", 3))
SHAPE = (96, 128)


@dataclass(frozen=True)
class Plate:
    """Folder in CellVoyager naming: `WELLS`, seven planes of C04, true stains C01 to C03."""

    folder: Path

    def files(self, well: str, site: int) -> list[Path]:
        return sorted(self.folder.glob(f"*_{well}_T0001F{site:03d}*.tif"))


def brightfield(seed: int, shape: tuple[int, int] = SHAPE) -> NDArray[np.uint16]:
    """Seven planes of round cells that turn from dark to bright through focus."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    cells = np.zeros(shape)
    for _ in range(10):
        y, x = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        cells += np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * rng.uniform(5, 9) ** 2))
    planes = [3000 * (1 + 0.08 * (z - 3) * cells) for z in range(7)]
    counts = np.array(planes) + rng.normal(0, 20, (7, *shape))
    return counts.clip(0, 65535).astype(np.uint16)


def write_plate(folder: Path) -> Plate:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(5)
    for number, (well, site) in enumerate(WELLS):
        stem = f"Assay_#1_{well}_T0001F{site:03d}L01"
        for z, plane in enumerate(brightfield(number), 1):
            tifffile.imwrite(folder / f"{stem}A04Z{z:02d}C04.tif", plane)
        for channel in (1, 2, 3):
            truth = rng.integers(100, 4000, SHAPE).astype(np.uint16)
            tifffile.imwrite(folder / f"{stem}A{channel:02d}Z01C{channel:02d}.tif", truth)
    return Plate(folder)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the installed model ``tiny``, whose random networks find many small nuclei."""
    import torch

    from napari_fluorgen.models import Architecture, ModelSpec, save_package
    from napari_fluorgen.networks import build_network

    small = {"first_filters": 8, "blocks": 3, "layers": 1, "growth_rate": 4}
    dense = Architecture(kind="dense-unet", **small)
    counts = {"minimum": 100, "maximum": 4100}
    spec = ModelSpec(
        name="tiny",
        magnification="20x",
        pixel_size_um=0.325,
        z_um=(-6, -4, -2, 0, 2, 4, 6),
        input={"kind": "background", "gain": 2.5},
        outputs={"nuclei": counts, "lipids": counts, "cytoplasm": counts},
        overlap_px=16,
        nuclei={"min_area_um2": 1, "max_area_um2": 1e4, "seed_distance_um": 2},
        architectures={
            "nuclei": Architecture(kind="nuclei", **small),
            "lipids": dense,
            "cytoplasm": dense,
        },
        simulated=True,
    )
    torch.manual_seed(0)
    networks = {stain: build_network(spec.architectures[stain]).eval() for stain in spec.stains}
    plane = brightfield(0).astype(np.float32)
    x = torch.from_numpy((plane / 3000 - 1) * 2.5)[None]
    nuclei = networks["nuclei"]
    head = nuclei.segmentation_head
    with torch.no_grad():
        head.weight.mul_(200)
        head.bias.zero_()
        background, nucleus = nuclei(x).logits[0]
        head.bias[1] = torch.quantile(background - nucleus, 0.4)
    rng = np.random.default_rng(0)
    calibration = {
        "nucleus": np.sort(rng.random(500, dtype=np.float32)),
        "background": np.sort(rng.random(500, dtype=np.float32)),
        "meta": {"fields": 2},
    }
    folder = tmp_path_factory.mktemp("models")
    save_package(
        folder / "tiny",
        spec,
        networks,
        calibration=calibration,
        test_input=x.numpy()[:, :, :64, :64],
        card="Trained on simulated data: on none at all, for tests.\n",
    )
    return folder


@pytest.fixture
def installed(tiny_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of models, found by name."""
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(tiny_models))
    return tiny_models


@pytest.fixture
def model(tiny_models: Path):
    from napari_fluorgen.models import load_model

    return load_model(tiny_models / "tiny")


@pytest.fixture
def stack_file(tmp_path: Path) -> Path:
    """A multi-page TIFF with its pixel size."""
    path = tmp_path / "field.tif"
    tifffile.imwrite(
        path,
        brightfield(1),
        imagej=True,
        resolution=(1 / 0.325, 1 / 0.325),
        metadata={"axes": "ZYX", "unit": "um", "spacing": 2.0},
    )
    return path


@pytest.fixture
def plate(tmp_path: Path) -> Plate:
    return write_plate(tmp_path / "plate")


@pytest.fixture(scope="session")
def field_of():
    """Makes the planes of a field from a seed and a shape."""
    return brightfield


def pair(seed: int, *, shape=(96, 112), gain=1.0, z_um=(-6, -4, -2, 0, 2, 4, 6), **changes):
    """Round cells that grow brighter with height, their nuclei stained in the middle."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    cells, nuclei = np.zeros(shape), np.zeros(shape)
    labels = np.zeros(shape, np.uint16)
    for number in range(1, 9):
        y, x = rng.uniform(8, shape[0] - 8), rng.uniform(8, shape[1] - 8)
        distance = (rows - y) ** 2 + (columns - x) ** 2
        cells += np.exp(-distance / 60)
        nuclei = np.maximum(nuclei, np.exp(-distance / 25))
        labels[distance < 20] = number
    planes = [3000 * (1 + 0.02 * z * cells) for z in np.asarray(z_um)]
    data = np.array(planes) + rng.normal(0, 15, (len(z_um), *shape))
    truth = {
        "nuclei": 100 + gain * 3000 * nuclei + rng.normal(0, 10, shape),
        "lipids": 100 + gain * 2500 * cells + rng.normal(0, 10, shape),
        "cytoplasm": 100 + gain * 2000 * cells**0.5 + rng.normal(0, 10, shape),
        "labels": labels,
    }
    stack = BrightfieldStack(
        data=data.astype(np.uint16),
        identity=FieldIdentity(f"field{seed}"),
        pixel_size_um=(0.325, 0.325),
        z_um=z_um,
        truth={name: image.clip(0).astype(np.uint16) for name, image in truth.items()},
    )
    return replace(stack, **changes)


@pytest.fixture(scope="session")
def five() -> list[BrightfieldStack]:
    return [pair(seed) for seed in range(5)]


@pytest.fixture
def request_(tiny_models, tmp_path):
    """Build a request for a few steps from the tiny model."""
    from napari_fluorgen.workflow.fine_tuning_request import FineTuneRequest

    def build(**settings):
        common = {
            "init": str(tiny_models / "tiny"),
            "name": "own",
            "output": tmp_path / "own",
            "device": "cpu",
            "registration": "off",
        }
        if "minutes" not in settings:
            common["steps"] = 4
        return FineTuneRequest.build(**(common | settings))

    return build
