import dataclasses

import numpy as np
import pytest

from napari_fluorgen.errors import ConfigError, OutputError
from napari_fluorgen.io import read_plate
from napari_fluorgen.io.results import read_tiff
from napari_fluorgen.simulation.field import simulate_field
from napari_fluorgen.simulation.plate import simulate_fields, write_plate
from napari_fluorgen.simulation.presets import get_preset

SHAPE = (96, 128)


@pytest.fixture(scope="module")
def field():
    return simulate_field(get_preset("20x"), seed=3, shape=SHAPE)


def test_a_field_has_planes_stains_and_nuclei(field):
    assert field.brightfield.shape == (7, *SHAPE)
    assert field.brightfield.dtype == np.uint16
    assert set(field.stains) == {"nuclei", "lipids", "cytoplasm"}
    labels = field.nuclei_labels
    assert set(np.unique(labels)) == set(range(labels.max() + 1))
    assert labels.max() >= 1


def test_the_nuclei_stain_lies_on_the_nuclei(field):
    nuclei = field.stains["nuclei"]
    inside = field.nuclei_labels > 0
    assert np.median(nuclei[inside]) > 5 * np.median(nuclei[~inside])


def test_a_seed_gives_one_field(field):
    again = simulate_field(get_preset("20x"), seed=3, shape=SHAPE)
    np.testing.assert_array_equal(field.brightfield, again.brightfield)
    np.testing.assert_array_equal(field.stains["lipids"], again.stains["lipids"])
    other = simulate_field(get_preset("20x"), seed=4, shape=SHAPE)
    assert not np.array_equal(field.brightfield, other.brightfield)


def test_lipids_are_bright_below_and_dark_above(field):
    planes = field.brightfield.astype(float)
    planes /= planes.mean(axis=(1, 2), keepdims=True)
    lipids = field.stains["lipids"] > np.percentile(field.stains["lipids"], 98)
    assert planes[1][lipids].mean() > 1 > planes[-2][lipids].mean()


@pytest.mark.parametrize("magnification", ["40x", "60x"])
def test_presets_differ_in_pixel_size(magnification):
    preset = get_preset(magnification)
    assert preset.optics.pixel_size < get_preset("20x").optics.pixel_size


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigError, match="20x, 40x, 60x"):
        get_preset("10x")


def test_a_plate_is_read_back_as_it_was_simulated(tmp_path):
    fields = list(simulate_fields(get_preset("20x"), 7, seed=11, shape=(64, 64)))
    folder = write_plate(fields, tmp_path / "plate", plate="Simulated_#1")
    plate = read_plate(folder)
    assert plate.name == "Simulated_#1"
    assert plate.wells == ("B02", "B03")
    for stack, field in zip(plate, fields, strict=True):
        np.testing.assert_array_equal(np.asarray(stack.data), field.brightfield)
        assert stack.pixel_size_um == pytest.approx((0.325, 0.325))
        assert stack.z_um == field.z_um
        for name, stain in stack.truth.items():
            np.testing.assert_array_equal(np.asarray(stain), field.stains[name])
        labels = read_tiff(folder / "labels" / f"{stack.identity.name}_nuclei.tif")
        np.testing.assert_array_equal(labels, field.nuclei_labels)


def test_nothing_is_left_of_a_plate_that_failed(tmp_path):
    field = simulate_field(get_preset("20x"), seed=0, shape=(64, 64))
    broken = dataclasses.replace(field, stains={})
    with pytest.raises(KeyError):
        write_plate([field, broken], tmp_path / "plate", plate="P")
    assert not list(tmp_path.iterdir())
    write_plate([field], tmp_path / "plate", plate="P")
    with pytest.raises(OutputError, match="exists"):
        write_plate([field], tmp_path / "plate", plate="P")
