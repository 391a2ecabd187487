from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("llvmlite")

from napari_fluorgen.networks.blocks import TransitionUp
from napari_fluorgen.staining.backends.native.layers import Workers, Workspace, upsample
from napari_fluorgen.staining.backends.native.target import Target


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 16), (5, 33), (40, 70)])
def test_planes_are_those_of_a_transition_up(lanes, size):
    shuffled = np.random.default_rng(0).normal(size=(12, *size)).astype(np.float32)
    transition = TransitionUp(3)
    transition.conv = torch.nn.Identity()
    with torch.no_grad():
        expected = transition(torch.from_numpy(np.abs(shuffled))[None])[0].numpy()
    target = Target(lanes, 32)
    planes = Workspace(target).planes(
        {"seen": (12, *size), "made": (3, 2 * size[0], 2 * size[1]), "behind": (1, 1, 1)}
    )
    for part in planes.values():
        part.data.fill(np.nan)
    planes["seen"].image[:] = np.abs(shuffled)
    upsample(target, planes["seen"], planes["made"], Workers(3))
    np.testing.assert_allclose(planes["made"].image, expected, rtol=0, atol=1e-6)
    assert np.isnan(planes["behind"].data).all()
