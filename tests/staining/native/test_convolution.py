from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

pytest.importorskip("llvmlite")

from napari_fluorgen.staining.backends.native.convolution import arranged, padded_outputs
from napari_fluorgen.staining.backends.native.layers import Convolution, Planes, Workers, Workspace
from napari_fluorgen.staining.backends.native.target import Target, host_target

NARROW, MIDDLE, WIDE = Target(4, 32), Target(8, 16), Target(16, 32)
WORKERS = Workers(2)


def weights_of(rng, channels, outputs, taps, *, norm):
    values = {
        "layer.weight": rng.normal(size=(outputs, channels, taps, taps)) / np.sqrt(channels),
        "layer.bias": rng.normal(size=outputs),
    }
    if norm:
        values |= {
            "norm.weight": rng.uniform(0.5, 1.5, channels),
            "norm.bias": rng.normal(size=channels),
            "norm.running_mean": rng.normal(size=channels),
            "norm.running_var": rng.uniform(0.2, 2, channels),
        }
    return {name: value.astype(np.float32) for name, value in values.items()}


def by_torch(image, weights, *, norm, rectified, pooled):
    """The same in float64."""
    w = {name: torch.from_numpy(value).double() for name, value in weights.items()}
    x = torch.from_numpy(image).double()[None]
    if norm:
        statistics = w["norm.running_mean"], w["norm.running_var"]
        x = F.relu(F.batch_norm(x, *statistics, w["norm.weight"], w["norm.bias"]))
    x = F.conv2d(x, w["layer.weight"], w["layer.bias"], padding=w["layer.weight"].shape[-1] // 2)
    x = F.relu(x) if rectified else x
    return (F.max_pool2d(x, 2) if pooled else x)[0].numpy()


def by_kernel(target, image, weights, *, norm, rectified, pooled, bfloat16):
    _, height, width = image.shape
    ending = "pooled" if pooled else "rows"
    layer = Convolution(
        target,
        weights,
        "layer",
        "norm" if norm else "",
        rectified=rectified,
        ending=ending,
        bfloat16=bfloat16,
    )
    size = (height // 2, width // 2) if pooled else (height, width)
    planes = Workspace(target).planes(
        {"seen": image.shape, "made": (layer.outputs, *size), "behind": (1, 2, 2)}
    )
    for part in planes.values():
        part.data.fill(np.nan)  # what pads a row must not reach the image
    planes["seen"].image[:] = image
    layer(planes["seen"], planes["made"], WORKERS)
    assert np.isnan(planes["behind"].data).all()
    return planes["made"].image


@pytest.mark.parametrize("target", [NARROW, MIDDLE, WIDE], ids=["4", "8", "16"])
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**32 - 1),
    channels=st.integers(1, 70),
    outputs=st.integers(1, 20),
    height=st.integers(1, 20),
    width=st.integers(1, 300),
    taps=st.sampled_from([1, 3]),
    norm=st.booleans(),
    rectified=st.booleans(),
)
def test_rows_are_those_of_torch(
    target, seed, channels, outputs, height, width, taps, norm, rectified
):
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(channels, height, width)).astype(np.float32)
    weights = weights_of(rng, channels, outputs, taps, norm=norm)
    how = {"norm": norm, "rectified": rectified, "pooled": False}
    found = by_kernel(target, image, weights, **how, bfloat16=False)
    np.testing.assert_allclose(found, by_torch(image, weights, **how), rtol=0, atol=5e-5)


@pytest.mark.parametrize("target", [NARROW, MIDDLE, WIDE], ids=["4", "8", "16"])
@pytest.mark.parametrize("size", [(2, 2), (8, 34), (6, 600)])
def test_pooled_pixels_are_those_of_torch(target, size):
    rng = np.random.default_rng(1)
    image = rng.normal(size=(37, *size)).astype(np.float32)
    weights = weights_of(rng, 37, 9, 1, norm=True)
    how = {"norm": True, "rectified": False, "pooled": True}
    found = by_kernel(target, image, weights, **how, bfloat16=False)
    np.testing.assert_allclose(found, by_torch(image, weights, **how), rtol=0, atol=5e-5)


@pytest.mark.parametrize("channels", [1, 33, 48])
def test_bfloat16_deviates_by_its_rounding(channels):
    target = host_target()
    if target is None or not target.bfloat16:
        pytest.skip("this processor has no AVX-512 BF16")
    rng = np.random.default_rng(2)
    image = rng.normal(size=(channels, 10, 90)).astype(np.float32)
    weights = weights_of(rng, channels, 6, 3, norm=True)
    how = {"norm": True, "rectified": False, "pooled": False}
    found = by_kernel(target, image, weights, **how, bfloat16=True)
    expected = by_torch(image, weights, **how)
    assert np.abs(found - expected).max() < 0.01 * np.abs(expected).max()
    assert np.abs(found - expected).max() > 1e-5, "it was not used"


def test_the_same_numbers_whatever_the_threads():
    rng = np.random.default_rng(3)
    weights = weights_of(rng, 64, 12, 3, norm=True)
    layer = Convolution(WIDE, weights, "layer", "norm")
    planes = Workspace(WIDE).planes({"seen": (64, 99, 130), "one": (12, 99, 130), 3: (12, 99, 130)})
    planes["seen"].data[:] = rng.normal(size=planes["seen"].data.shape)
    layer(planes["seen"], planes["one"], Workers(1))
    layer(planes["seen"], planes[3], Workers(3))
    np.testing.assert_array_equal(planes["one"].image, planes[3].image)


def test_nothing_outside_of_the_bands_is_written():
    weights = weights_of(np.random.default_rng(4), 3, 5, 3, norm=False)
    layer = Convolution(MIDDLE, weights, "layer")
    planes = Workspace(MIDDLE).planes({"seen": (3, 9, 40), "made": (8, 9, 40)})
    planes["seen"].data.fill(1)
    planes["made"].data.fill(7)
    made = planes["made"]
    layer(planes["seen"], Planes(made.data[2:7], made.width), WORKERS)
    assert (made.data[:2] == 7).all()
    assert (made.data[7:] == 7).all()


def test_weights_are_filled_up_to_whole_blocks():
    weights = np.ones((5, 3, 3, 3), np.float32)
    assert padded_outputs(5) == 8
    laid = arranged(weights, bfloat16=False)
    assert laid.shape == (2, 4, 3, 3, 4)
    # F(2, 3) of three ones, for the four packed rows of the first channel of all eight outputs
    np.testing.assert_array_equal(laid[:, :, 0, 0, 0].T, [[1, 1], [1.5, 1.5], [0.5, 0.5], [1, 1]])
    np.testing.assert_array_equal(laid[1, 1, 0, 0], [1.5, 0, 0, 0])
    pairs = arranged(weights, bfloat16=True)
    assert pairs.shape == (2, 4, 2, 3, 4, 2)
    assert pairs.dtype == np.uint16
    assert pairs[0, 0, 0, 0, 0].tolist() == [0x3F80, 0x3F80]
    assert pairs[0, 0, 1, 0, 0].tolist() == [0x3F80, 0], "the fourth channel is none"
