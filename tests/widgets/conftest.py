from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_fluorgen.stack import BrightfieldStack, FieldIdentity, StainedField

PLANES = 7
PIXEL_UM = 0.325
MODEL = "tiny-20x"
WAIT = 60_000


def make_planes(seed: int, shape: tuple[int, int] = (96, 128), planes: int = PLANES) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    light = 8000 + 500 * np.sin(y / 40) + 300 * np.cos(x / 50)
    return np.clip(light + rng.normal(0, 200, (planes, *shape)), 0, 65535).astype(np.uint16)


def write_site(
    folder: Path, well: str, site: int, seed: int, *, planes: int = PLANES, time: int = 1
) -> None:
    stem = f"Demo_#1_{well}_T{time:04d}F{site:03d}L01"
    for index, plane in enumerate(make_planes(seed)[:planes], start=1):
        tifffile.imwrite(folder / f"{stem}A04Z{index:02d}C04.tif", plane)
    for number in (1, 2, 3):
        truth = np.full((96, 128), 100 * number, np.uint16)
        tifffile.imwrite(folder / f"{stem}A{number:02d}Z01C{number:02d}.tif", truth)


def write_labels(folder: Path, well: str, site: int, labels: np.ndarray) -> Path:
    """Write the true nuclei of a field that `write_site` wrote."""
    path = folder / "labels" / f"Demo_#1_{well}_T0001F{site:03d}L01_nuclei.tif"
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, labels)
    return path


@pytest.fixture
def plate_folder(tmp_path: Path) -> Path:
    """Two wells, three fields, one of which lacks two planes."""
    folder = tmp_path / "plate"
    folder.mkdir()
    write_site(folder, "B03", 1, 1)
    write_site(folder, "B03", 2, 2)
    write_site(folder, "D04", 1, 3, planes=5)
    return folder


@pytest.fixture
def stack() -> BrightfieldStack:
    data = make_planes(5)
    return BrightfieldStack(
        data=data,
        identity=FieldIdentity("P_B03_F001", plate="P", well="B03", site=1),
        pixel_size_um=(0.3, 0.35),
        z_um=(-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0),
        truth={"nuclei": data[0], "lipids": data[1]},
        source="/data/plate",
        channel_files={"nuclei": "P_B03_F001A01Z01C01.tif"},
    )


def make_result(identity: FieldIdentity, shape: tuple[int, int] = (96, 128)) -> StainedField:
    """A result with three round nuclei and p-values that follow them."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.uint32)
    for number, (row, column) in enumerate([(25, 30), (60, 80), (70, 25)], start=1):
        labels[(y - row) ** 2 + (x - column) ** 2 < 120] = number
    inside = labels > 0
    rng = np.random.default_rng(0)
    images = {
        stain: (rng.poisson(200, shape) + level * inside).astype(np.uint16)
        for stain, level in (("nuclei", 2000), ("lipids", 100), ("cytoplasm", 400))
    }
    p_nucleus = np.where(inside, 0.6, 0.01).astype(np.float32)
    p_background = np.where(inside, 0.01, 0.7).astype(np.float32)
    p_background[labels == 2] = 0.3  # plausible as both: uncertain
    return StainedField(
        identity=identity,
        pixel_size_um=(0.3, 0.35),
        images=images,
        nuclei_probability=np.where(inside, 0.9, 0.1).astype(np.float32),
        nuclei_labels=labels,
        p_values={"nucleus": p_nucleus, "background": p_background},
        provenance={"model": {"name": MODEL}, "request": {"significance": 0.05}},
        channel_files={"nuclei": "P_B03_F001A01Z01C01.tif"},
    )


@pytest.fixture
def result(stack: BrightfieldStack) -> StainedField:
    return make_result(stack.identity)


def layer_of(spec):
    from napari.layers import Image, Labels

    made = {"image": Image, "labels": Labels}[spec.kind]
    return made(spec.data, **spec.kwargs)


@pytest.fixture
def loaded(stack):
    """Brightfield, true lipids, true nuclei, as *Load stacks* adds them."""
    from napari_fluorgen.widgets.presenters.layers import stack_layers

    return [layer_of(spec) for spec in stack_layers(stack)]


@pytest.fixture
def outlined(stack):
    """The stack with labels of its true nuclei, as a plate's field is read."""
    labels = np.zeros((96, 128), np.uint16)
    labels[15:36, 20:41] = 1
    return replace(stack, truth={**stack.truth, "labels": labels})


@pytest.fixture
def foreign():
    """A stack, a stain and outlines from somewhere else."""
    from napari.layers import Image, Labels

    rng = np.random.default_rng(1)
    return {
        "planes": Image(rng.random((5, 48, 64)), name="mine"),
        "stain": Image(rng.random((48, 64)), name="C=1 Hoechst"),
        "outlines": Labels(np.ones((48, 64), np.int32), name="by hand"),
    }


class OnDisk:
    """Stand for an array on disk: it is read where it is sliced; remembers by which threads."""

    def __init__(self, image: np.ndarray) -> None:
        self.image = image
        self.shape, self.ndim, self.dtype = image.shape, image.ndim, image.dtype
        self.readers: list[str] = []

    def __getitem__(self, key):
        self.readers.append(threading.current_thread().name)
        return self.image[key]

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[...], dtype)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with one tiny network of random weights."""
    import torch

    from napari_fluorgen.models import Architecture, ModelSpec, save_package
    from napari_fluorgen.networks import build_network

    small = {"first_filters": 8, "blocks": 2, "layers": 1, "growth_rate": 4}
    dense = Architecture(kind="dense-unet", **small)
    stains = {"nuclei": Architecture(kind="nuclei", **small), "lipids": dense, "cytoplasm": dense}
    spec = ModelSpec.model_validate(
        {
            "name": MODEL,
            "magnification": "20x",
            "pixel_size_um": PIXEL_UM,
            "z_um": (-6, -4, -2, 0, 2, 4, 6),
            "input": {"kind": "background", "gain": 2.5},
            "outputs": {stain: {"minimum": 100, "maximum": 4100} for stain in stains},
            "overlap_px": 16,
            "architectures": stains,
            "simulated": True,
        }
    )
    torch.manual_seed(0)
    networks = {stain: build_network(spec.architectures[stain]).eval() for stain in stains}
    rng = np.random.default_rng(0)
    calibration = {
        "nucleus": np.sort(rng.random(200, dtype=np.float32)),
        "background": np.sort(rng.random(200, dtype=np.float32)),
        "meta": {"fields": 3},
    }
    folder = tmp_path_factory.mktemp("models")
    save_package(
        folder / MODEL,
        spec,
        networks,
        calibration=calibration,
        test_input=rng.normal(0, 0.5, (1, 7, 64, 64)).astype(np.float32),
        card="Trained on simulated data.\n\nA test.\n",
    )
    return folder


@pytest.fixture
def models(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(model_folder))
    return model_folder


@pytest.fixture
def install_folder(model_folder, tmp_path, monkeypatch):
    """Take new models into a folder of their own; the tiny one is found there, too."""
    folder = tmp_path / "models"
    shutil.copytree(model_folder, folder)
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(folder))
    return folder


@pytest.fixture
def judged(result):
    """A result whose model knows nuclei: one trusted, one to review, one rejected."""
    nuclei = {
        "label": np.array([1, 2, 3], np.uint32),
        "probability_mean": np.array([0.9, 0.8, 0.7]),
        "p_value": np.array([0.01, 0.2, 0.9]),
        "confidence": np.array([0.99, 0.7, 0.4]),
        "decision": np.array(["accept", "review", "reject"]),
        "reviewed": np.array(["", "", ""]),
    }
    provenance = {**result.provenance, "request": {"significance": 0.05, "fdr": 0.2}}
    return replace(result, nuclei=nuclei, provenance=provenance)


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def dock(viewer, qtbot):
    """The Confidence dock; the tests of another dock have their own."""
    from napari_fluorgen.widgets.docks.confidence import ConfidenceDock

    dock = ConfidenceDock(viewer)
    qtbot.addWidget(dock)
    return dock


def add_result(viewer, result, stack, run="run"):
    from napari_fluorgen.widgets.docks import common
    from napari_fluorgen.widgets.presenters.layers import result_layers, stack_layers
    from napari_fluorgen.widgets.presenters.spatial import Spatial

    source = common.add_layer(viewer, stack_layers(stack)[0])
    specs = result_layers(
        result, Spatial.of_layer(source).plane(), run=run, source_id=str(source.unique_id)
    )
    return [common.add_layer(viewer, spec) for spec in specs]


def ready(qtbot, dock):
    qtbot.waitUntil(lambda: dock.review.nuclei is not None, timeout=WAIT)


@pytest.fixture
def stain_dock(viewer, qtbot, models):
    """*Virtual stain* in the `viewer` of a module, once it knows its devices."""
    from napari_fluorgen.widgets.docks.stain import StainDock

    dock = StainDock(viewer)
    qtbot.addWidget(dock)
    qtbot.waitUntil(lambda: dock.controls.devices.count() > 0, timeout=60_000)
    return dock
