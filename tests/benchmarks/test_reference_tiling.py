"""The reference's tiling against networks whose result does not depend on tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn


class Blur(nn.Module):
    """Two maps: a plane as it is, and its mean over 5 x 5 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.AvgPool2d(5, stride=1, padding=2, count_include_pad=False)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x[:, :1], self.mean(x[:, 1:2])


@pytest.fixture
def tiling(benchmark_module):
    return benchmark_module("reference_tiling")


@pytest.mark.parametrize("shape", [(300, 512), (700, 1030)])
def test_tiles_of_any_size_give_what_the_whole_field_gives(tiling, shape):
    planes = np.random.default_rng(0).random((2, *shape), np.float32)
    maps, facts = tiling.stain(planes, {"blur": Blur().eval()}, "cpu", None)
    np.testing.assert_allclose(maps["blur0"], planes[0], atol=1e-5)
    whole = Blur()(torch.from_numpy(planes)[None])[1][0, 0].numpy()
    inside = (slice(4, -4),) * 2  # beyond the border the tiles mirror, the whole field does not
    # At the rims of tiles the network sees zeros; there the weights are nearly 0.
    np.testing.assert_allclose(maps["blur1"][inside], whole[inside], atol=0.02)
    assert facts["timed"] == facts["tiles"] == np.prod([side // 256 + 1 for side in shape])


def test_timing_some_tiles_gives_no_maps(tiling):
    planes = np.zeros((2, 600, 600), np.float32)
    maps, facts = tiling.stain(planes, {"blur": Blur().eval()}, "cpu", 2)
    assert maps is None
    assert (facts["timed"], facts["tiles"]) == (2, 9)


def test_a_tile_counts_most_in_its_middle(tiling):
    weights = tiling.pyramid_weights(64)
    assert weights.max() == weights[31:33, 31:33].max() > 0.95
    assert weights[0].max() < 0.05
    np.testing.assert_allclose(weights, weights.T)
    np.testing.assert_allclose(weights, weights[::-1])
