from __future__ import annotations

import pytest

from napari_fluorgen.networks import Architecture, build_network
from napari_fluorgen.staining.cost import (
    features_per_pixel,
    flops_per_pixel,
    layers_of_views,
    moved_per_pixel,
    native_bytes_per_pixel,
)


def counted(architecture, size):
    """Operations of the convolutions that really run, by hooks."""
    import torch

    total = 0

    def count(module, _, output):
        nonlocal total
        kernel = module.weight[0].numel()
        total += 2 * kernel * output.numel()

    network = build_network(architecture).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(torch.zeros(1, architecture.in_channels, size, size))
    return total / size**2


@pytest.mark.parametrize("kind", ["dense-unet", "nuclei"])
@pytest.mark.parametrize(
    "size",
    [
        {},
        {"blocks": 2, "layers": 3, "growth_rate": 5, "first_filters": 9},
        {"blocks": 3, "layers": 3, "growth_rate": 8, "fold": 2},
        {"blocks": 2, "layers": 1, "growth_rate": 4, "fold": 4},
        {"blocks": 2, "layers": 1, "growth_rate": 4, "views": 4},
        {"blocks": 2, "layers": 1, "growth_rate": 4, "fold": 2, "outlined": True},
    ],
)
def test_operations_are_those_that_run(kind, size):
    architecture = Architecture(kind=kind, **size)
    assert flops_per_pixel(architecture) == pytest.approx(counted(architecture, 64), rel=1e-6)


def test_reference_tile_takes_the_published_arithmetic():
    # Measured on the published networks: 128.6 and 103.3 GFLOP for a tile of 512.
    nuclei = flops_per_pixel(Architecture(kind="nuclei", first_filters=32)) * 512**2
    lipids = flops_per_pixel(Architecture(kind="dense-unet")) * 512**2
    assert nuclei == pytest.approx(128.6e9, rel=0.02)
    assert lipids == pytest.approx(103.3e9, rel=0.02)


def test_views_cost_layers_and_work_more_than_memory(model, views_model):
    plain, several = model.spec, views_model.spec
    assert layers_of_views(plain) == 1
    counts = {
        stain: sum(name.endswith(".conv") and ".layers." in name for name, _ in named)
        for stain in several.stains
        for named in [build_network(several.architectures[stain]).named_modules()]
    }
    counts["nuclei"] -= several.architectures["nuclei"].refine_layers
    assert layers_of_views(several) == pytest.approx(
        (4 * counts["nuclei"] + counts["lipids"] + counts["cytoplasm"]) / sum(counts.values())
    )
    assert moved_per_pixel(several) == pytest.approx(4 * moved_per_pixel(plain))
    assert 1 < features_per_pixel(several) / features_per_pixel(plain) < 2


def test_memory_of_native_kernels_is_that_of_their_planes(model):
    """Counted by hand: the widest is the nuclei network, 2 levels of 6, 14 and 22 features."""
    finest = 7 + 2 + (6 + 8 + 16 + 4)
    second = 14 + 8 + 16 + 32 + 8 + 16
    coarsest = 22 + 8 + 32 + 8
    expected = 4 * (finest + second / 4 + coarsest / 16)
    assert native_bytes_per_pixel(model.spec) == pytest.approx(expected)
