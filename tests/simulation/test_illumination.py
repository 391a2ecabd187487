"""Illumination against what optics says about it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fluorgen.simulation.illumination import Illumination, annulus, disc, one_side
from napari_fluorgen.simulation.optics import Optics, image_planes
from napari_fluorgen.simulation.spheres import SLICE_UM, rasterise_spheres

PIXEL, SIZE, NA, HEIGHT = 0.325, 96, 0.7, 3.0
MIDDLE = SIZE // 2
OPTICS = Optics(PIXEL, wavelength=0.55, objective_na=NA, condenser_na=0.3, medium=1.337)


def _bead(step=0.008, radius=0.9):
    places = np.array([[HEIGHT, MIDDLE * PIXEL, MIDDLE * PIXEL, radius]])
    return step * rasterise_spheres(places, (8, SIZE, SIZE), PIXEL, torch.device("cpu"))


def _image(illumination, focus=HEIGHT, volume=None):
    volume = _bead() if volume is None else volume
    return image_planes(volume, SLICE_UM, [focus], OPTICS, illumination=illumination)[0].numpy()


def _illuminations(rng):
    yield disc(0.3, 9, rng)
    yield one_side(NA, 9, rng)
    yield annulus(0.4, 0.05, 0.2, 9, rng)


@pytest.mark.parametrize("which", range(3))
def test_an_empty_field_is_one_everywhere(which):
    illumination = list(_illuminations(np.random.default_rng(0)))[which]
    image = _image(illumination, focus=10.0, volume=torch.zeros(4, 32, 32))
    np.testing.assert_allclose(image, 1, atol=1e-4)


def test_a_phase_ring_shows_a_phase_object_in_focus_and_brightfield_does_not():
    rng = np.random.default_rng(1)
    bright = _image(disc(0.3, 13, rng)) - 1
    phase = _image(annulus(0.4, 0.05, 0.2, 13, rng)) - 1
    centre = (MIDDLE, MIDDLE)
    assert phase[centre] < -0.15, "positive phase contrast: denser is darker"
    assert abs(bright[centre]) < 0.2 * abs(phase[centre])
    assert phase.max() > 0.01, "a halo lies around it"


def test_oblique_light_shades_one_side():
    rng = np.random.default_rng(2)
    image = _image(one_side(NA, 13, rng, inner=0.6, outer=0.95, width=1.5)) - 1
    straight = _image(disc(0.3, 13, rng)) - 1

    def asymmetry(values):
        part = values[MIDDLE - 8 : MIDDLE + 9, MIDDLE - 8 : MIDDLE + 9]
        return np.abs(part - part[::-1, ::-1]).max()

    assert asymmetry(image) > 0.04
    assert asymmetry(image) > 4 * asymmetry(straight)


def test_light_at_the_rim_of_the_pupil_shows_slopes():
    """Relief contrast, as of a specimen that is lit from one side."""
    volume = _bead(step=0.01, radius=3.0)
    slopes = np.gradient(volume.sum(0).numpy())

    def relief(inner, outer):
        light = one_side(NA, 13, np.random.default_rng(4), inner, outer, width=1.0)
        image = _image(light, volume=volume)
        along = [np.corrcoef(image.ravel(), slope.ravel())[0, 1] for slope in slopes]
        return np.hypot(*along)

    assert relief(0.9, 1.1) > 0.8
    assert relief(0.1, 0.3) < 0.5


@settings(max_examples=10, deadline=None)
@given(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
def test_light_from_the_other_side_mirrors_the_image(y, x):
    one = _image(Illumination(np.array([[y, x]])))
    other = _image(Illumination(np.array([[-y, -x]])))
    np.testing.assert_allclose(one[1:, 1:], other[1:, 1:][::-1, ::-1], atol=2e-3)


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_points_lie_where_the_condenser_lets_light_through(seed, count):
    rng = np.random.default_rng(seed)
    radius = np.hypot(*one_side(NA, count, rng).points.T)
    assert (radius <= 0.9 * NA + 1e-9).all()
    light = annulus(0.4, 0.05, 0.2, count, rng)
    radius = np.hypot(*light.points.T)
    assert light.ring is not None
    assert ((radius >= light.ring.inner) & (radius <= light.ring.outer)).all()
