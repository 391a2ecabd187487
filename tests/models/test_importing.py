from __future__ import annotations

import pytest
import torch

from napari_fluorgen import models
from napari_fluorgen.errors import ModelError, OutputError
from napari_fluorgen.models import REFERENCE_RANGES, import_reference, load_model
from napari_fluorgen.networks import DenseUNet, NucleiNet

from .test_reference import write_checkpoint

SMALL = {"first_filters": 4, "layers": 2, "growth_rate": 2}


@pytest.fixture
def checkpoints(tmp_path):
    torch.manual_seed(0)
    return {
        "nuclei": write_checkpoint(tmp_path / "C1.pth", NucleiNet(blocks=5, **SMALL)),
        "lipids": write_checkpoint(tmp_path / "C2.pth", DenseUNet(blocks=4, **SMALL), ""),
        "cytoplasm": write_checkpoint(tmp_path / "C3.pth", DenseUNet(blocks=3, **SMALL)),
    }


def test_imports_all_stains(tmp_path, checkpoints):
    folder = import_reference(tmp_path / "package", checkpoints, magnification="40x")
    model = load_model(folder)
    spec = model.spec
    assert models.test_model(model).passed
    assert spec.name == "reference-40x"
    assert spec.divisor == 32
    assert spec.architectures["nuclei"].blocks == 5
    assert spec.input.kind == "range"
    assert spec.input.minimum[0] == 1
    assert spec.input.maximum[6] == 4794
    assert (spec.outputs["cytoplasm"].minimum, spec.outputs["cytoplasm"].maximum) == (30, 32504)
    assert not spec.simulated
    with pytest.raises(OutputError, match="exists"):
        import_reference(folder, checkpoints, magnification="40x")


def test_imports_one_stain(tmp_path, checkpoints):
    folder = import_reference(
        tmp_path / "package",
        {"lipids": checkpoints["lipids"]},
        magnification="20x",
        name="mine",
        pixel_size_um=0.5,
    )
    spec = load_model(folder).spec
    assert (spec.name, spec.pixel_size_um, spec.stains) == ("mine", 0.5, ("lipids",))


def test_refuses_what_does_not_fit(tmp_path, checkpoints):
    target = tmp_path / "package"
    with pytest.raises(ModelError, match="expected a dense-unet"):
        import_reference(target, {"lipids": checkpoints["nuclei"]}, magnification="20x")
    with pytest.raises(ModelError, match="10x"):
        import_reference(target, checkpoints, magnification="10x")
    with pytest.raises(ModelError, match="expected some of"):
        import_reference(target, {"actin": checkpoints["lipids"]}, magnification="20x")
    with pytest.raises(ModelError, match="expected some of"):
        import_reference(target, {}, magnification="20x")
    assert not target.exists()


@pytest.mark.parametrize("size", [0, -0.325, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["pixel_size_um", "z_step_um"])
def test_impossible_sizes_are_refused(tmp_path, checkpoints, name, size):
    with pytest.raises(ModelError, match=f"is {size} µm: give a number above 0"):
        import_reference(tmp_path / "p", checkpoints, magnification="20x", **{name: size})
    assert not (tmp_path / "p").exists()


def test_ranges_cover_three_stains_and_seven_planes():
    assert set(REFERENCE_RANGES) == {"20x", "40x", "60x"}
    for ranges in REFERENCE_RANGES.values():
        assert len(ranges) == 10
        assert all(low < high for low, high in ranges)
