from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_fluorgen.errors import ModelError
from napari_fluorgen.models import read_reference_checkpoint
from napari_fluorgen.networks import Architecture, DenseUNet, NucleiNet, build_network

# Our names to the published ones: the inverse of what the reader does, written on its own.
PUBLISHED = {
    "encoder.stem": "conv_init",
    "encoder.blocks": "layers_down",
    "encoder.transitions": "transitions_down",
    "encoder.bottleneck": "bottleneck",
    "decoder.blocks": "layers_up",
    "decoder.transitions": "transitions_up",
    "head": "final_conv",
    "segmentation.blocks": "layers_up",
    "segmentation.transitions": "transitions_up",
    "segmentation_head": "final_conv",
    "stain.blocks": "layers_up2",
    "stain.transitions": "transitions_up2",
    "refine": "final_conv2.0",
    "stain_head": "final_conv2.1",
    "side_heads": "lwm_layers",
}


def published_name(name: str) -> str:
    for ours in sorted(PUBLISHED, key=len, reverse=True):
        if name.startswith(ours + "."):
            name = PUBLISHED[ours] + name.removeprefix(ours)
            break
    name = re.sub(r"^(transitions_up2?\.\d+)\.conv\.", r"\1.upsampling_layer.0.", name)
    return name.replace(".norm.", ".batchnorm.")


def write_checkpoint(path: Path, network: torch.nn.Module, prefix: str = "module.") -> Path:
    state = {prefix + published_name(k): v for k, v in network.state_dict().items()}
    torch.save({"model_state_dict": state, "epoch": 3, "epoch_loss": 0.1}, path)
    return path


def outputs(network: torch.nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        result = network(x)
    return tuple(result) if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize(
    ("stem", "kind", "names"),
    [
        ("C1_20x", NucleiNet, ("image", "segmentation_logits")),
        ("C2_20x", DenseUNet, ("image",)),
    ],
)
def test_equals_the_published_networks(shared, stem, kind, names):
    folder = shared / "fixtures" / "reference-checkpoints"
    if not folder.is_dir():
        pytest.skip(f"no checkpoints at {folder}")
    network = read_reference_checkpoint(folder / f"{stem}.pth")
    assert isinstance(network, kind)
    assert not network.training
    with np.load(folder / f"{stem}_io.npz") as arrays:
        found = outputs(network, torch.from_numpy(arrays["input"]))
        for name, tensor in zip(names, found, strict=True):
            assert np.abs(tensor.numpy() - arrays[name]).max() <= 1e-5


def test_fixture_names_are_all_published(shared):
    """The inverse naming used below is that of the real files."""
    folder = shared / "fixtures" / "reference-checkpoints"
    if not folder.is_dir():
        pytest.skip(f"no checkpoints at {folder}")
    for stem, kind in (("C1_20x", NucleiNet), ("C2_20x", DenseUNet)):
        state = torch.load(folder / f"{stem}.pth", weights_only=True)["model_state_dict"]
        assert {"module." + published_name(name) for name in kind().state_dict()} == set(state)


SHAPES = st.builds(
    Architecture,
    kind=st.sampled_from(["dense-unet", "nuclei"]),
    in_channels=st.integers(1, 8),
    first_filters=st.integers(1, 9),
    blocks=st.integers(1, 5),
    layers=st.integers(1, 4),
    growth_rate=st.integers(1, 5),
    refine_layers=st.integers(1, 3),
    refine_growth_rate=st.integers(1, 3),
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(architecture=SHAPES, prefix=st.sampled_from(["", "module."]))
def test_round_trip_of_any_shape(tmp_path, architecture, prefix):
    torch.manual_seed(1)
    network = build_network(architecture).eval()
    path = write_checkpoint(tmp_path / "any.pth", network, prefix)
    again = read_reference_checkpoint(path)
    x = torch.randn(1, architecture.in_channels, architecture.divisor, 2 * architecture.divisor)
    for a, b in zip(outputs(network, x), outputs(again, x), strict=True):
        assert torch.equal(a, b)


def test_bare_state_dict_and_half_precision(tmp_path):
    network = DenseUNet(first_filters=4, blocks=2, layers=2, growth_rate=2).half()
    state = {published_name(k): v for k, v in network.state_dict().items()}
    torch.save(state, tmp_path / "bare.pth")
    again = read_reference_checkpoint(tmp_path / "bare.pth")
    assert {p.dtype for p in again.parameters()} == {torch.float32}


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def one_sentence(message: str) -> bool:
    return "\n" not in message and message.endswith(".") and len(message) < 400


@pytest.mark.parametrize("content", [b"", b"not a checkpoint\n", b"\x80\x04.", os.urandom(300)])
def test_refuses_what_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "wrong.pth"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=re.escape(str(path))) as caught:
        read_reference_checkpoint(path)
    assert one_sentence(str(caught.value))


def test_refuses_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(ModelError, match="does not exist or is a folder"):
            read_reference_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_runs_no_pickled_code(tmp_path, monkeypatch, zipped):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "code.pth"
    content = {"model_state_dict": {"conv_init.weight": torch.zeros(1)}, "extra": RunsCode()}
    if zipped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(RunsCode()))
    with pytest.raises(ModelError) as caught:
        read_reference_checkpoint(path)
    assert one_sentence(str(caught.value))
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def small(tmp_path):
    network = NucleiNet(first_filters=4, blocks=2, layers=2, growth_rate=2)
    return write_checkpoint(tmp_path / "small.pth", network)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_refuses_truncated_files(small, part):
    content = small.read_bytes()
    small.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ModelError):
        read_reference_checkpoint(small)


def change(path: Path, edit) -> None:
    checkpoint = torch.load(path, weights_only=True)
    edit(checkpoint["model_state_dict"])
    torch.save(checkpoint, path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda s: s.pop("module.conv_init.weight"), "conv_init.weight"),
        (lambda s: s.pop("module.layers_up2.1.layers.0.conv.bias"), "is missing"),
        (lambda s: s.pop("module.lwm_layers.0.weight"), "is missing"),
        (lambda s: s.update({"module.final_conv.weight": torch.zeros(3)}), "final_conv.weight"),
        (lambda s: s.update({"module.final_conv.bias": torch.zeros(5)}), "has shape"),
        (lambda s: s.update({"module.more": torch.zeros(5)}), "unknown"),
        (lambda s: s["module.conv_init.bias"].fill_(float("nan")), "not finite"),
        (
            lambda s: s.update({"module.layers_down.999999.layers.0.conv.weight": torch.zeros(1)}),
            "is missing",
        ),
        (lambda s: s.update({"module.final_conv.weight": torch.zeros(1, 8, 1, 1)}), "classes"),
        (lambda s: s.clear(), "model_state_dict"),
        (lambda s: s.update({"number": 3}), "model_state_dict"),
    ],
)
def test_refuses_changed_checkpoints(small, edit, message):
    change(small, edit)
    with pytest.raises(ModelError, match=message) as caught:
        read_reference_checkpoint(small)
    assert one_sentence(str(caught.value))


def test_refuses_checkpoints_of_other_networks(tmp_path):
    torch.save({"model_state_dict": torch.nn.Linear(3, 4).state_dict()}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="no checkpoint of the published networks"):
        read_reference_checkpoint(tmp_path / "other.pth")
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    with pytest.raises(ModelError, match="model_state_dict"):
        read_reference_checkpoint(tmp_path / "tensor.pth")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weight: weight.to_sparse(), "the sparse tensor"),
        (lambda weight: weight.to("meta"), r"the empty \(meta\) tensor"),
        (lambda weight: weight.to(torch.complex64), "the complex tensor"),
        (lambda weight: weight.double() * 1e300, "not finite"),
    ],
)
def test_odd_tensors_are_refused_in_one_sentence(tmp_path, change, message):
    network = DenseUNet(blocks=3, first_filters=4, layers=2, growth_rate=2)
    state = {published_name(name): value for name, value in network.state_dict().items()}
    state["final_conv.weight"] = change(state["final_conv.weight"] + 1e10)
    torch.save({"model_state_dict": state}, tmp_path / "C2.pth")
    with pytest.raises(ModelError, match=message) as caught:
        read_reference_checkpoint(tmp_path / "C2.pth")
    assert "\n" not in str(caught.value)
