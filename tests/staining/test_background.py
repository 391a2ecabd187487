import numpy as np
import pytest

from napari_fluorgen.errors import InputError
from napari_fluorgen.staining.background import estimate_background


def _stack(height=200, width=260):
    y, x = np.mgrid[:height, :width]
    vignette = 1 - 0.3 * (((y - height / 2) / height) ** 2 + ((x - width / 2) / width) ** 2)
    gains = np.array([900.0, 1000.0, 1300.0])
    return gains[:, None, None] * vignette


def test_an_empty_field_becomes_one():
    stack = _stack()
    background = estimate_background(stack, pixel_size_um=2.0)
    scaled = background.divide(stack, slice(0, 200), slice(0, 260))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, 1, atol=0.06)
    np.testing.assert_allclose(scaled.mean(axis=(1, 2)), 1, atol=1e-3)


def test_a_block_equals_the_same_part_of_the_whole():
    stack = _stack()
    background = estimate_background(stack, pixel_size_um=1.0)
    whole = background.divide(stack, slice(0, 200), slice(0, 260))
    y, x = slice(37, 90), slice(101, 255)
    part = background.divide(stack[:, y, x], y, x)
    np.testing.assert_allclose(part, whole[:, y, x], rtol=1e-6)


def test_gain_of_the_camera_cancels():
    stack = _stack()
    first = estimate_background(stack, 1.0).divide(stack, slice(0, 200), slice(0, 260))
    brighter = stack * 17.5
    second = estimate_background(brighter, 1.0).divide(brighter, slice(0, 200), slice(0, 260))
    np.testing.assert_allclose(first, second, rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 50), (7, 17, 16)])
def test_tiny_images(shape):
    stack = np.full(shape, 500, np.uint16)
    scaled = estimate_background(stack, 0.325).divide(stack, slice(0, shape[1]), slice(0, shape[2]))
    np.testing.assert_allclose(scaled, 1, rtol=1e-5)


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (0.0, "dark")])
def test_bad_planes_are_named(value, word):
    stack = _stack()
    stack[1] = value
    with pytest.raises(InputError, match=f"Plane 2.*{word}"):
        estimate_background(stack, 1.0)


class Reads:
    """A stack that notes how much is read at once."""

    def __init__(self, data):
        self.data, self.shape, self.dtype, self.most = data, data.shape, data.dtype, 0

    def __getitem__(self, key):
        part = self.data[key]
        self.most = max(self.most, part.size)
        return part


def test_no_more_is_read_at_once_than_a_few_chunks():
    rng = np.random.default_rng(1)
    data = rng.integers(900, 1100, (2, 2100, 9000), dtype=np.uint16)
    reads = Reads(data)
    background = estimate_background(reads, 0.325)
    assert reads.most <= 1024 * 4096
    # Wider than 512 blocks: the map is coarser, and still that of an even field.
    assert background.block == 32
    assert max(background.coarse.shape) <= 512
    np.testing.assert_allclose(background.at(slice(0, 50), slice(8900, 9000)), 1, atol=0.01)


def test_rectangles_give_what_the_whole_gives():
    rng = np.random.default_rng(2)
    data = rng.integers(0, 60000, (2, 1500, 5000), dtype=np.uint16)
    found = estimate_background(data, 0.325)
    means = data.reshape(2, 1500, 5000)[:, :1488, :4992].astype(np.float64)
    means = means.reshape(2, 93, 16, 312, 16).mean(axis=(2, 4))
    levels = found.gains.astype(np.float64)
    np.testing.assert_allclose(levels, data.mean(axis=(1, 2)), rtol=2e-3)
    relative = (means / levels[:, None, None]).mean(axis=0)
    assert abs(float(found.coarse.mean()) - 1) < 1e-3
    assert found.coarse.shape == (94, 313)
    assert abs(relative.mean() - 1) < 1e-2
