"""What other software makes of model packages, the shipped ones and those that are written."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yaml

from .conftest import make_package, make_spec

PACKAGES = Path(__file__).parents[2] / "src" / "napari_fluorgen" / "models" / "packages"
SHIPPED = sorted(path.parent for path in PACKAGES.glob("*/rdf.yaml"))
LARGEST_STAIN = 8e6
shipped = pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)


def bioimageio(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that asks bioimageio.core, and skip it where that is not installed."""
    # Not importorskip: where it is installed it must also import.
    absent = find_spec("bioimageio") is None or find_spec("bioimageio.core") is None
    skip = pytest.mark.skipif(absent, reason="needs bioimageio.core: tox -e bioimageio")
    return pytest.mark.bioimageio(skip(test))


def assert_passes(folder: Path, weights: str) -> None:
    """Let bioimageio.core validate a package, run its test tensors, and run other sizes."""
    from bioimageio.core import test_model

    summary = test_model(folder / "rdf.yaml", weight_format=weights, devices=["cpu"])
    assert summary.status == "passed", summary.format_md()


@bioimageio
@shipped
def test_bioimageio_core_passes_shipped_packages(folder: Path) -> None:
    assert_passes(folder, "onnx")


@bioimageio
def test_bioimageio_core_passes_what_is_saved(package: Path) -> None:
    assert_passes(package, "onnx")


@bioimageio
def test_bioimageio_core_passes_what_is_saved_without_onnx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "onnx", None)  # as where it is not installed
        folder = make_package(tmp_path / "torchscript", make_spec())
    assert_passes(folder, "torchscript")


@shipped
def test_onnx_runtime_reproduces_the_test_tensors(folder: Path) -> None:
    """Through rdf.yaml alone, as a program would that knows only BioImage.IO's format."""
    runtime = pytest.importorskip("onnxruntime")
    record = yaml.safe_load((folder / "rdf.yaml").read_text(encoding="utf-8"))
    session = runtime.InferenceSession(
        folder / record["weights"]["onnx"]["source"], providers=["CPUExecutionProvider"]
    )
    tensors = {
        entry["id"]: np.load(folder / entry["test_tensor"]["source"])
        for entry in (*record["inputs"], *record["outputs"])
    }
    names = [entry["id"] for entry in record["outputs"]]
    outputs = session.run(names, {"brightfield": tensors["brightfield"]})
    for name, output in zip(names, outputs, strict=True):
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, tensors[name], rtol=0, atol=1e-4, err_msg=name)


@shipped
def test_weights_of_a_stain_are_small(folder: Path) -> None:
    sizes = {path.stem: path.stat().st_size for path in folder.glob("*.safetensors")}
    assert sizes
    assert {stain: size for stain, size in sizes.items() if size > LARGEST_STAIN} == {}
    networks = (folder / "networks.onnx").stat().st_size
    assert networks <= LARGEST_STAIN * len(sizes)
