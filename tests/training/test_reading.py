"""Pairs of a configuration, and what the finished model remembers of their planes."""

import numpy as np
import pytest
import tifffile
import torch

from napari_fluorgen.confidence import Calibration, calibrate_intervals
from napari_fluorgen.io import read_stack
from napari_fluorgen.models import load_model
from napari_fluorgen.networks import build_network
from napari_fluorgen.staining import match_stack
from napari_fluorgen.training.config import TrainingConfig
from napari_fluorgen.training.package import predicted_stains, write_package
from napari_fluorgen.training.reading import load_part

SEVEN = (-6, -4, -2, 0, 2, 4, 6)


def write_field(folder, z_um=SEVEN, *, sign=1):
    """Cells whose centres grow brighter along the planes (`sign` 1) or against them."""
    rng = np.random.default_rng(1)
    rows, columns = np.indices((128, 128))
    scene = np.zeros((128, 128))
    for _ in range(8):
        y, x = rng.uniform(10, 118, 2)
        scene += np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 40)
    planes = np.array([3000 * (1 + sign * 0.02 * z * scene) for z in z_um])
    planes += rng.normal(0, 5, planes.shape)
    settings = {"imagej": True, "resolution": (1 / 0.325, 1 / 0.325)}
    folder.mkdir(parents=True)
    path = folder / "a_brightfield.tif"
    metadata = {"axes": "ZYX", "unit": "um", "spacing": float(z_um[1] - z_um[0])}
    tifffile.imwrite(path, planes.astype(np.uint16), metadata=metadata, **settings)
    for stain in ("nuclei", "lipids"):
        tifffile.imwrite(folder / f"a_{stain}.tif", (100 + 2000 * scene).astype(np.uint16))
    return path


@pytest.fixture
def config_of(settings, tmp_path):
    """Makes the configuration of a model of real pairs in `tmp_path`, of some of the stains."""

    def make(*stains, **changes):
        for part in ("train", "validation", "calibration"):
            settings["data"][part] = str(tmp_path / part)
        settings["data"] |= changes.pop("data", {})
        for section in ("networks", "outputs"):
            settings[section] = {stain: settings[section][stain] for stain in stains}
        return TrainingConfig.model_validate(settings | {"simulated": False} | changes)

    return make


def networks_of(config):
    torch.manual_seed(0)
    return {
        stain: build_network(network.architecture).eval()
        for stain, network in config.networks.items()
    }


@pytest.mark.parametrize("sign", [1, -1])
def test_a_model_of_real_pairs_is_given_planes_in_the_order_of_its_pairs(config_of, tmp_path, sign):
    for part in ("train", "validation"):
        path = write_field(tmp_path / part, sign=sign)
    config = config_of("lipids", data={"calibration": None})
    model = load_model(write_package(config, networks_of(config), tmp_path / "own"))
    assert model.spec.training["focus_order"] == sign
    assert match_stack(read_stack(path), model.spec).plane_indices == tuple(range(7))
    from_below = read_stack(write_field(tmp_path / "other", sign=-sign))
    assert match_stack(from_below, model.spec).plane_indices == tuple(range(6, -1, -1))


def test_a_model_of_simulated_pairs_runs_as_all_of_them(config_of, tmp_path):
    for part in ("train", "validation"):
        write_field(tmp_path / part, sign=-1)
    config = config_of("lipids", data={"calibration": None}, simulated=True)
    model = load_model(write_package(config, networks_of(config), tmp_path / "own"))
    assert "focus_order" not in model.spec.training


def test_a_model_of_varied_planes_is_judged_on_those_that_staining_takes(config_of, tmp_path):
    deep = tuple(range(-15, 18, 3))
    for part in ("train", "validation", "calibration"):
        path = write_field(tmp_path / part, deep)
    config = config_of("lipids", data={"augment": {"planes": "random"}})  # wants planes by 2 µm
    model = load_model(write_package(config, networks_of(config), tmp_path / "own"))
    assert model.spec.training["plane_range_um"] == [9, 30]
    indices = match_stack(read_stack(path), model.spec).plane_indices
    assert indices == (0, 2, 3, 5, 7, 8, 10)
    every = load_part(config, "train")[0].planes
    assert len(every) == 11
    for part in ("validation", "calibration"):
        np.testing.assert_array_equal(load_part(config, part)[0].planes, every[list(indices)])


def test_intervals_are_calibrated_on_a_truth_that_is_not_cut_off(config_of, tmp_path):
    for part in ("train", "validation", "calibration"):
        write_field(tmp_path / part)
    outputs = {stain: {"minimum": 0, "maximum": 400} for stain in ("nuclei", "lipids")}
    config = config_of("nuclei", "lipids", outputs=outputs)
    networks, notes = networks_of(config), []
    package = write_package(config, networks, tmp_path / "own")
    held = load_part(config, "calibration", notes.append)
    assert held[0].stains["lipids"].max() > 5
    assert load_part(config, "train")[0].stains["lipids"].max() == 1
    assert any("true lipids pixels of a field lie outside the range 0 to 400" in n for n in notes)
    found = Calibration.from_arrays(load_model(package).calibration).intervals["lipids"]
    pairs = predicted_stains(networks["lipids"], held, "lipids", 16)
    assert found.scale == pytest.approx(calibrate_intervals({"lipids": pairs})["lipids"].scale)
    cut = [(predicted, true.clip(0, 1)) for predicted, true in pairs]
    assert found.scale != calibrate_intervals({"lipids": cut})["lipids"].scale
