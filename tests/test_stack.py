import pytest

from napari_fluorgen.stack import square_pixel


def test_a_square_pixel_has_the_same_area():
    assert square_pixel((0.2, 0.8)) == pytest.approx(0.4)
