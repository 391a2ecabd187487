"""Holes and creases of defective droplets."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.simulation.defects import draw_defects
from napari_fluorgen.simulation.field import simulate_field
from napari_fluorgen.simulation.presets import CellPreset, get_preset

ALL = CellPreset(defective_share=(1.0, 1.0))


@given(st.integers(0, 2**32), st.floats(1.8, 6.0))
def test_inclusions_lie_within_their_droplet(seed, radius):
    droplet = np.array([[5.0, 40.0, 60.0, radius]])
    defects = draw_defects(droplet, ALL, np.random.default_rng(seed))
    assert set(defects.droplet) == {1}
    away = np.linalg.norm(defects.spheres[:, :3] - droplet[:, :3], axis=1)
    assert (away + defects.spheres[:, 3] <= radius + 1e-6).all()


def test_small_droplets_have_no_defects():
    droplets = np.array([[5.0, 40.0, 60.0, 1.0]])
    assert len(draw_defects(droplets, ALL, np.random.default_rng(0)).spheres) == 0


@pytest.fixture(scope="module")
def pair():
    """The same field with and without defects."""
    preset = get_preset("20x")
    sound = dataclasses.replace(preset.cells, defective_share=(0.0, 0.0))
    return (
        simulate_field(preset, 3, (160, 160)),
        simulate_field(dataclasses.replace(preset, cells=sound), 3, (160, 160)),
    )


def test_defects_lack_dye_and_change_brightfield(pair):
    defective, sound = pair
    holes = defective.defects > 0
    assert set(np.unique(defective.defects)) == set(range(defective.defects.max() + 1))
    assert holes.any()
    assert not sound.defects.any()
    ratio = defective.stains["lipids"].astype(float) / sound.stains["lipids"]
    assert np.median(ratio[holes]) < 0.8
    planes = [field.brightfield.astype(float) for field in pair]
    change = np.abs(planes[0] / planes[1] - 1).mean(axis=0)
    assert change[holes].mean() > 3 * np.median(change)


def test_the_rest_of_a_field_does_not_depend_on_its_defects(pair):
    np.testing.assert_array_equal(pair[0].nuclei_labels, pair[1].nuclei_labels)
    nuclei = [field.stains["nuclei"].astype(float) for field in pair]
    np.testing.assert_array_equal(nuclei[0], nuclei[1])
