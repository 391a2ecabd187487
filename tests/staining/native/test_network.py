from __future__ import annotations

import math

import numpy as np
import pytest
import torch

pytest.importorskip("llvmlite")

from napari_fluorgen.networks import Architecture, build_network
from napari_fluorgen.staining.backends.native.layers import Workers, Workspace
from napari_fluorgen.staining.backends.native.network import NativeNetwork
from napari_fluorgen.staining.backends.native.shapes import plane_shapes
from napari_fluorgen.staining.backends.native.target import Target

TARGET = Target(16, 32)
SMALL = {"first_filters": 7, "blocks": 2, "layers": 2, "growth_rate": 5}


def built(architecture):
    """A network with statistics of real activations, and its weights."""
    torch.manual_seed(3)
    network = build_network(architecture)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
        if isinstance(module, torch.nn.Dropout):
            module.p = 0
    with torch.no_grad():
        side = 16 * architecture.divisor
        network(torch.randn(1, architecture.in_channels, side, side))
    network.eval()
    weights = {name: value.float().numpy() for name, value in network.state_dict().items()}
    return network, weights


@pytest.mark.parametrize("kind", ["dense-unet", "nuclei"])
@pytest.mark.parametrize(
    "more",
    [
        SMALL,
        SMALL | {"blocks": 1, "layers": 1, "in_channels": 3},
        SMALL | {"views": 4},
        SMALL | {"fold": 2, "views": 4},
        SMALL | {"fold": 3, "views": 2, "blocks": 3},
        SMALL | {"fold": 2, "views": 2, "outlined": True},
        {"first_filters": 32, "blocks": 3, "layers": 4, "growth_rate": 12},
    ],
)
def test_maps_are_those_of_torch(kind, more):
    if kind == "nuclei" and more.get("blocks") == 1:
        more = more | {"classes": 3, "refine_layers": 3, "refine_growth_rate": 4}
    architecture = Architecture(kind=kind, **more)
    network, weights = built(architecture)
    size = (6 * architecture.divisor, 5 * architecture.divisor)
    image = np.random.default_rng(0).normal(size=(architecture.in_channels, *size))
    image = image.astype(np.float32)
    with torch.no_grad():
        output = network(torch.from_numpy(image)[None])
    expected = [output]
    if kind == "nuclei":
        expected = [output.stain, torch.softmax(output.logits, 1)[:, 1:2]]
    native = NativeNetwork(architecture, weights, TARGET, bfloat16=False)
    maps = native(image, Workspace(TARGET), Workers(2))
    assert len(maps) == len(expected)
    for found, value in zip(maps, expected, strict=True):
        assert found.dtype == np.float32
        assert found.shape == size
        np.testing.assert_allclose(found, value[0, 0].numpy(), rtol=0, atol=2e-5)


def test_sides_that_the_poolings_do_not_divide_are_refused():
    architecture = Architecture(kind="dense-unet", **SMALL)
    native = NativeNetwork(architecture, built(architecture)[1], TARGET, bfloat16=False)
    image = np.zeros((architecture.in_channels, architecture.divisor, 30), np.float32)
    with pytest.raises(ValueError, match="no multiples of"):
        native(image, Workspace(TARGET), Workers(1))


@pytest.mark.parametrize("damage", ["missing", "wide", "norm"])
def test_weights_of_another_network_are_refused(damage):
    architecture = Architecture(kind="dense-unet", **SMALL)
    _, weights = built(architecture)
    name = "decoder.blocks.0.layers.1.conv.weight"
    if damage == "missing":
        del weights[name]
    elif damage == "wide":
        weights[name] = np.repeat(weights[name], 2, axis=1)
    else:
        weights["encoder.blocks.0.layers.0.norm.bias"] = np.zeros(3, np.float32)
    with pytest.raises((KeyError, ValueError)):
        NativeNetwork(architecture, weights, TARGET, bfloat16=False)


@pytest.mark.parametrize("kind", ["dense-unet", "nuclei"])
def test_all_features_of_the_network_have_their_planes(kind):
    """Each dense block's planes are those that torch's blocks see, counted by hooks."""
    architecture = Architecture(kind=kind, **SMALL, fold=2)
    network, _ = built(architecture)
    widths: dict[int, int] = {}

    def note(module, inputs, output):
        wide = module.out_channels + (0 if module.keep_input else inputs[0].shape[1])
        side = inputs[0].shape[-1]
        widths[side] = max(widths.get(side, 0), wide)

    from napari_fluorgen.networks.blocks import DenseBlock

    for module in network.modules():
        if isinstance(module, DenseBlock):
            module.register_forward_hook(note)
    with torch.no_grad():
        network(torch.zeros(1, 7, 32, 32))
    shapes = plane_shapes(architecture, 32, 32)
    for side, wide in widths.items():
        level = round(math.log2(16 / side))
        assert shapes[level] == (wide, side, side)
