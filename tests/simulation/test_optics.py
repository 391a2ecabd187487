"""The optics against what physics says without simulating it."""

import numpy as np
import pytest
import torch

from napari_fluorgen.simulation.optics import Optics, condenser_points, image_planes
from napari_fluorgen.simulation.scene import SLICE_UM, SLICES, rasterise_spheres

OPTICS = Optics(
    pixel_size=0.325, wavelength=0.55, objective_na=0.75, condenser_na=0.35, medium=1.337
)
SIZE = 96
CENTRE_UM = SIZE / 2 * 0.325


def _image(step: torch.Tensor, focus: list[float]) -> np.ndarray:
    return image_planes(step, SLICE_UM, focus, OPTICS).numpy()


def _bead(radius: float, step: float, height: float) -> torch.Tensor:
    spheres = np.array([[height, CENTRE_UM, CENTRE_UM, radius]])
    return step * rasterise_spheres(spheres, (SLICES, SIZE, SIZE), 0.325, torch.device("cpu"))


def test_an_empty_or_uniform_volume_is_an_even_field():
    for step in (0.0, 0.03):
        image = _image(torch.full((SLICES, 32, 32), step), [-3.0, 0.0, 4.0])
        np.testing.assert_allclose(image, 1, atol=1e-5)


def test_an_absorbing_layer_obeys_beer_and_lambert():
    absorption = torch.zeros(SLICES, 32, 32)
    absorption[2:5] = 0.2
    image = image_planes(
        torch.zeros_like(absorption), SLICE_UM, [-3.0, 0.0, 4.0], OPTICS, absorption=absorption
    ).numpy()
    np.testing.assert_allclose(image, np.exp(-0.2 * 3 * SLICE_UM), rtol=1e-5)


def test_defocus_moves_light_but_keeps_it():
    image = _image(_bead(2.0, 0.02, 5.0), [-2.0, 2.0, 5.0, 8.0])
    # What is lost is scattered beyond the aperture.
    np.testing.assert_allclose(image.mean(axis=(1, 2)), 1, atol=0.01)


def test_a_weak_phase_object_inverts_its_contrast_through_focus():
    height = 6.0
    image = _image(_bead(0.8, 0.01, height), [height - 2, height, height + 2])
    middle = image[:, SIZE // 2, SIZE // 2] - 1
    assert middle[0] > 0 > middle[2], "a denser bead gathers the light that comes from above"
    assert middle[0] == pytest.approx(-middle[2], rel=0.25)
    assert abs(middle[1]) < 0.2 * abs(middle[0])


def test_condenser_points_fill_the_aperture_evenly():
    points = np.array(condenser_points(0.4, turn=0.1))
    assert len(points) == 25
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-12)
    assert np.hypot(*points.T).max() <= 0.4


@pytest.mark.parametrize("radius", [1.0, 2.5, 4.0])
def test_a_sphere_has_the_volume_of_a_sphere(radius):
    occupied = _bead(radius, 1.0, 7.5).sum().item() * 0.325**2 * SLICE_UM
    # An edge that is soft over a width w adds r w² / 4 to the cube of the radius.
    cube = radius**3 + radius * SLICE_UM**2 / 4
    assert occupied == pytest.approx(4 / 3 * np.pi * cube, rel=0.03)


def test_spheres_over_the_border_are_cut_not_wrapped():
    spheres = np.array([[7.5, 0.0, 10.0, 3.0]])
    volume = rasterise_spheres(spheres, (SLICES, 64, 64), 0.325, torch.device("cpu"))
    assert volume[:, 0].any()
    assert not volume[:, 32:].any()
