from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml

from napari_fluorgen import models
from napari_fluorgen.errors import ModelError, OutputError
from napari_fluorgen.models import Model, save_package
from napari_fluorgen.models.saving import save_recalibrated

from .conftest import CARD, make_networks, make_package, make_spec


def test_reads_back_what_was_saved(package, model, calibration):
    spec = make_spec()
    assert model.spec == spec
    assert model.card == CARD
    for name, network in make_networks(spec).items():
        again = model.network(name)
        assert not again.training
        assert model.network(name) is again
        for key, value in network.state_dict().items():
            assert torch.equal(again.state_dict()[key], value)
    assert set(model.networks()) == {"nuclei", "lipids", "cytoplasm"}
    assert model.calibration["meta"] == calibration["meta"]
    for name in ("nucleus", "background"):
        np.testing.assert_array_equal(model.calibration[name], calibration[name])
        assert model.calibration[name].dtype == np.float32
    assert {p.name for p in package.iterdir()} == {
        "README.md",
        "rdf.yaml",
        "calibration.npz",
        "networks.onnx",
        "input.npy",
        *(f"output_{n}.npy" for n in spec.output_names),
        *(f"{n}.safetensors" for n in spec.stains),
    }


def test_digest_is_that_of_the_weights(package, model, tmp_path):
    total = b"".join(
        (package / f"{stain}.safetensors").read_bytes()
        for stain in ("nuclei", "lipids", "cytoplasm")
    )
    assert model.digest == hashlib.sha256(total).hexdigest()
    other = make_package(tmp_path / "other", make_spec("other", description="Same weights."))
    assert Model(other).digest == model.digest
    assert Model(other).calibration is None


def test_more_views_of_the_same_weights_are_another_digest(model, tmp_path):
    nuclei = model.spec.architectures["nuclei"].model_copy(update={"views": 4})
    spec = make_spec("views", architectures=model.spec.architectures | {"nuclei": nuclei})
    views = Model(make_package(tmp_path / "views", spec))
    for key, value in model.network("nuclei").state_dict().items():
        assert torch.equal(views.network("nuclei").state_dict()[key], value)
    assert views.digest != model.digest


def test_stored_outputs_are_those_of_the_networks(model):
    x, expected = model.test_tensors()
    assert x.shape == (1, 7, 64, 64)
    with torch.no_grad():
        nuclei = model.network("nuclei")(torch.from_numpy(x))
        lipids = model.network("lipids")(torch.from_numpy(x))
    probability = torch.exp(nuclei.logits[:, 1:] - torch.logsumexp(nuclei.logits, 1, keepdim=True))
    np.testing.assert_allclose(expected["nuclei"], nuclei.stain, atol=1e-6)
    np.testing.assert_allclose(expected["lipids"], lipids, atol=1e-6)
    np.testing.assert_allclose(expected["nuclei_probability"], probability, atol=1e-6)


def test_is_a_valid_bioimageio_model(package):
    spec = pytest.importorskip("bioimageio.spec")
    with spec.ValidationContext(perform_io_checks=True):
        description = spec.load_description(package / "rdf.yaml")
    assert isinstance(description, spec.model.v0_5.ModelDescr), description.validation_summary
    assert description.validation_summary.status in ("valid-format", "passed")
    assert [str(o.id) for o in description.outputs] == list(make_spec().output_names)


def test_onnx_computes_the_same_at_other_sizes(package, model):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(
        package / "networks.onnx", providers=["CPUExecutionProvider"]
    )
    assert [i.name for i in session.get_inputs()] == ["brightfield"]
    assert [o.name for o in session.get_outputs()] == list(model.spec.output_names)
    network = model.combined()
    for shape in [(1, 7, 64, 64), (2, 7, 80, 112)]:
        x = np.random.default_rng(1).normal(size=shape).astype(np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(x))
        for a, b in zip(session.run(None, {"brightfield": x}), expected, strict=True):
            assert a.shape == (shape[0], 1, *shape[2:])
            np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("fold", [1, 3])
def test_half_weights_take_half_the_space_and_compute_the_same_everywhere(tmp_path, fold):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    architectures = {
        stain: architecture.model_copy(update={"fold": fold, "growth_rate": 12})
        for stain, architecture in make_spec().architectures.items()
    }
    divisor = architectures["nuclei"].divisor
    spec = make_spec(architectures=architectures, divisor=divisor)
    x = np.random.default_rng(3).normal(size=(1, 7, 4 * divisor, 3 * divisor)).astype(np.float32)
    for name, half in (("whole", False), ("half", True)):
        save_package(
            tmp_path / name, spec, make_networks(spec), test_input=x, card=CARD, half_weights=half
        )
    for name in ("nuclei.safetensors", "networks.onnx"):
        whole, half = (tmp_path / folder / name for folder in ("whole", "half"))
        assert half.stat().st_size < 0.75 * whole.stat().st_size
    model = Model(tmp_path / "half")
    assert model.network("nuclei").encoder.stem.weight.dtype == torch.float32
    session = runtime.InferenceSession(
        tmp_path / "half" / "networks.onnx", providers=["CPUExecutionProvider"]
    )
    _, stored = model.test_tensors()
    with torch.no_grad():
        computed = model.combined()(torch.from_numpy(x))
    for a, b, wanted in zip(
        session.run(None, {"brightfield": x}), computed, stored.values(), strict=True
    ):
        np.testing.assert_allclose(a, wanted, atol=1e-5)
        np.testing.assert_allclose(b.numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize("half", [False, True])
def test_a_recalibrated_copy_has_the_very_networks(tmp_path, calibration, half):
    pytest.importorskip("onnx")
    spec = make_spec()
    folder = make_package(
        tmp_path / "first", spec, calibration=calibration, half_weights=half, license_id="MIT"
    )
    first = Model(folder)
    other = calibration | {"meta": {"fields": 9}}
    copy = tmp_path / "copy"
    card = "Calibrated again.\n\n# Validation\n\nNone.\n"
    save_recalibrated(copy, first, calibration=other, card=card, name="again")
    second = Model(copy)
    assert second.digest == first.digest
    for file in first.network_files():
        assert (copy / file.name).read_bytes() == file.read_bytes()
    assert {p.name for p in copy.iterdir()} == {p.name for p in folder.iterdir()}
    assert (second.spec.name, second.license_id, second.card) == ("again", "MIT", card)
    assert second.spec == first.spec.model_copy(update={"name": "again"})
    assert second.calibration["meta"] == {"fields": 9}
    assert models.test_model(second).passed
    bioimageio = pytest.importorskip("bioimageio.spec")
    description = bioimageio.load_description(copy / "rdf.yaml")
    assert description.validation_summary.status in ("valid-format", "passed")
    save_recalibrated(copy, second, calibration=calibration, card=card, overwrite=True)
    assert Model(copy).digest == first.digest
    assert Model(copy).calibration["meta"] == calibration["meta"]


def test_damaged_networks_are_not_carried_over(copy, calibration, tmp_path):
    (copy / "networks.onnx").write_bytes(b"words")
    with pytest.raises(ModelError, match=r"networks\.onnx is not the file"):
        save_recalibrated(tmp_path / "new", Model(copy), calibration=calibration, card=CARD)
    assert not (tmp_path / "new").exists()


def test_without_onnx_the_package_is_valid_too(tmp_path, monkeypatch):
    spec = pytest.importorskip("bioimageio.spec")
    monkeypatch.setitem(sys.modules, "onnx", None)  # as where it is not installed
    folder = make_package(tmp_path / "torchscript", make_spec())
    description = spec.load_description(folder / "rdf.yaml")
    assert description.weights.torchscript is not None
    model = Model(folder)
    assert models.test_model(model).passed
    x = torch.randn(2, 7, 80, 64)
    traced = torch.jit.load(folder / "networks.pt")
    with torch.no_grad():
        for a, b in zip(traced(x), model.combined()(x), strict=True):
            torch.testing.assert_close(a, b)


def test_saving_leaves_the_networks_alone(tmp_path):
    spec = make_spec()
    networks = {name: network.bfloat16() for name, network in make_networks(spec).items()}
    x = np.zeros((1, 7, 64, 64), np.float32)
    folder = save_package(tmp_path / "half", spec, networks, test_input=x, card=CARD)
    assert all(n.training and n.head.weight.dtype == torch.bfloat16
               for name, n in networks.items() if name != "nuclei")  # fmt: skip
    assert {p.dtype for p in Model(folder).network("nuclei").parameters()} == {torch.float32}


def test_package_of_one_stain(tmp_path):
    whole = make_spec()
    spec = make_spec(
        "lipids-only",
        architectures={"lipids": whole.architectures["lipids"]},
        outputs={"lipids": whole.outputs["lipids"]},
    )
    model = Model(make_package(tmp_path / "one", spec))
    assert models.test_model(model).passed
    with pytest.raises(ModelError, match="no network for 'nuclei'"):
        model.network("nuclei")


def test_nothing_is_overwritten_unless_asked(tmp_path):
    folder = make_package(tmp_path / "tiny", make_spec())
    before = Model(folder).spec
    changed = make_spec(version="0.2.0")
    with pytest.raises(OutputError, match="exists"):
        make_package(folder, changed)
    assert Model(folder).spec == before
    make_package(folder, changed, overwrite=True)
    assert Model(folder).spec.version == "0.2.0"
    assert [p.name for p in tmp_path.iterdir()] == ["tiny"]


def test_overwriting_spares_a_folder_that_is_no_package(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="other files"):
        make_package(tmp_path, make_spec(), overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_overwriting_spares_a_package_with_files_of_others(tmp_path, package):
    folder = shutil.copytree(package, tmp_path / "tiny")
    (folder / "figures").mkdir()
    (folder / "figures" / "validation.png").write_text("mine")
    with pytest.raises(OutputError, match=r"the first is figures/validation\.png"):
        make_package(folder, make_spec(), overwrite=True)
    assert (folder / "figures" / "validation.png").read_text() == "mine"
    shutil.rmtree(folder / "figures")
    text = (folder / "rdf.yaml").read_text().replace("fluorgen:", "other:")
    (folder / "rdf.yaml").write_text(text)
    with pytest.raises(OutputError, match="other files"):
        make_package(folder, make_spec(), overwrite=True)


@pytest.mark.parametrize("shape", [(7, 64, 64), (1, 5, 64, 64), (1, 7, 60, 64)])
def test_refuses_wrong_test_input(tmp_path, shape):
    spec = make_spec()
    with pytest.raises(ModelError, match="test input"):
        save_package(
            tmp_path / "p", spec, make_networks(spec), test_input=np.zeros(shape), card=CARD
        )
    assert not list(tmp_path.iterdir())


def test_refuses_networks_that_do_not_fit(tmp_path):
    spec = make_spec()
    networks = make_networks(spec)
    x = np.zeros((1, 7, 64, 64), np.float32)
    swapped = networks | {"lipids": networks["nuclei"]}
    with pytest.raises(ModelError, match="lipids network does not have"):
        save_package(tmp_path / "p", spec, swapped, test_input=x, card=CARD)
    del networks["lipids"]
    with pytest.raises(ModelError, match="got networks for"):
        save_package(tmp_path / "p", spec, networks, test_input=x, card=CARD)


@pytest.fixture
def copy(package, tmp_path):
    return shutil.copytree(package, tmp_path / "copy")


@pytest.mark.parametrize(
    "name", ["nuclei.safetensors", "calibration.npz", "input.npy", "output_lipids.npy"]
)
@pytest.mark.parametrize("damage", ["missing", "empty", "truncated", "text"])
def test_damaged_files_give_one_sentence(copy, name, damage):
    path = copy / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(
            {"empty": b"", "truncated": content[: len(content) // 2], "text": b"words"}[damage]
        )
    model = Model(copy)
    if name == "calibration.npz" and damage == "missing":
        assert model.calibration is None
        return
    with pytest.raises(ModelError, match=name) as caught:
        _ = (model.networks(), model.calibration, model.test_tensors(), model.digest)
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_refused(copy):
    from safetensors.torch import save

    path = copy / "lipids.safetensors"
    path.write_bytes(save({"head.weight": torch.zeros(1)}))
    record = yaml.safe_load((copy / "rdf.yaml").read_text())
    for entry in record["attachments"]:
        if entry["source"] == path.name:
            entry["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (copy / "rdf.yaml").write_text(yaml.safe_dump(record))
    with pytest.raises(ModelError, match="does not hold the weights"):
        Model(copy).network("lipids")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no BioImage.IO model description"),
        ("{", "not readable YAML"),
        ("- a\n", "no BioImage.IO model description"),
        ("!!python/object/apply:os.mkdir ['ran']", "not readable YAML"),
        ("name: x\n", "another program"),
        ("config: {fluorgen: {name: x}}\n", "config.fluorgen is invalid at"),
    ],
)
def test_damaged_descriptions_give_one_sentence(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rdf.yaml").write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        Model(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def record_digests(folder):
    """Record the files of a package as they are now."""
    text = (folder / "rdf.yaml").read_text()
    record = yaml.safe_load(text)
    tensors = [entry["test_tensor"] for entry in (*record["inputs"], *record["outputs"])]
    for entry in (*tensors, *record["weights"].values(), *record["attachments"]):
        found = hashlib.sha256((folder / entry["source"]).read_bytes()).hexdigest()
        text = text.replace(entry["sha256"], found)
    (folder / "rdf.yaml").write_text(text)


@pytest.mark.parametrize("name", ["networks.onnx", "input.npy", "output_nuclei.npy"])
def test_the_test_of_a_model_finds_files_that_were_swapped(copy, name):
    path = copy / name
    if name.endswith(".npy"):
        np.save(path, np.load(path) + np.float32(1e-6))
    else:
        path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(ModelError, match=f"{name} is not the file that rdf.yaml lists"):
        models.test_model(Model(copy))
    record_digests(copy)
    assert models.test_model(Model(copy)).passed


def test_test_tensors_without_a_recorded_digest_are_read(copy):
    record = yaml.safe_load((copy / "rdf.yaml").read_text())
    for entry in (*record["inputs"], *record["outputs"]):
        del entry["test_tensor"]["sha256"]
    (copy / "rdf.yaml").write_text(yaml.safe_dump(record))
    assert models.test_model(Model(copy)).passed


def test_a_card_in_latin_1_is_read(copy):
    (copy / "README.md").write_bytes("0.325 µm je Pixel".encode("latin-1"))
    assert Model(copy).card == "0.325 µm je Pixel"


def test_report_of_a_model_that_computes_otherwise(copy):
    assert models.test_model(Model(copy)).passed
    path = copy / "output_lipids.npy"
    np.save(path, np.load(path) + 0.01)
    record_digests(copy)
    report = models.test_model(Model(copy))
    assert not report.passed
    assert report.deviations["lipids"] == pytest.approx(0.01, abs=1e-5)
    assert report.deviations["nuclei"] < 1e-4
    np.save(path, np.load(path) * np.nan)
    record_digests(copy)
    assert not models.test_model(Model(copy)).passed


def test_loading_does_not_start_torchs_compiler(package):
    """It takes seconds to import, and nothing here needs it."""
    code = (
        "import sys; from napari_fluorgen.models import load_model;"
        f"load_model({str(package)!r}).networks();"
        "assert 'torch._dynamo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
