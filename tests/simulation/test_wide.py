"""Fields of any adherent cell under any transmitted-light microscope."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.errors import ConfigError
from napari_fluorgen.io import read_plate
from napari_fluorgen.simulation.field import simulate_field
from napari_fluorgen.simulation.plate import write_plate
from napari_fluorgen.simulation.presets import VARIETIES, get_preset
from napari_fluorgen.simulation.wide import expose, plane_heights
from napari_fluorgen.simulation.wide_presets import WideCamera, WideCells, WideOptics

SHAPE = (64, 96)
OPTICS = WideOptics(0.325, (0.4, 0.9), points=3)


def _preset(variety="wide", **cells):
    preset = get_preset("20x", variety)
    optics = dataclasses.replace(preset.optics, points=3)
    cells = WideCells(cover=(0.6, 0.6), kinds=(1.0, 0.0, 0.0, 0.0), **cells)
    return dataclasses.replace(preset, optics=optics, cells=cells)


@pytest.fixture(scope="module", params=[v for v in VARIETIES if v != "adipocytes"])
def field(request):
    return simulate_field(_preset(request.param, lipid_states=(0.0, 0.0, 1.0)), 1, SHAPE)


def test_a_field_has_eleven_planes_stains_and_labels(field):
    assert field.brightfield.shape == (11, *SHAPE)
    assert len(field.z_um) == len(field.nominal_z_um) == 11
    assert set(field.stains) == {"nuclei", "lipids", "cytoplasm"}
    for labels in (field.nuclei_labels, field.defects):
        assert labels.shape == SHAPE
        assert set(np.unique(labels)) == set(range(labels.max() + 1))
    assert field.nuclei_labels.any()
    nuclei, inside = field.stains["nuclei"], field.nuclei_labels > 0
    assert np.median(nuclei[inside]) > 5 * np.median(nuclei[~inside])


def test_a_seed_gives_one_field():
    fields = [simulate_field(_preset(), seed, SHAPE) for seed in (5, 5, 6)]
    np.testing.assert_array_equal(fields[0].brightfield, fields[1].brightfield)
    np.testing.assert_array_equal(fields[0].defects, fields[1].defects)
    assert not np.array_equal(fields[0].brightfield, fields[2].brightfield)


def test_a_field_without_cells_and_debris_is_empty():
    preset = _preset(debris_per_mm2=(0.0, 0.0), dirty=0.0)
    cells = dataclasses.replace(preset.cells, cover=(0.0, 0.0))
    camera = WideCamera(
        electrons=(20_000.0, 20_000.0), eight_bit=0.0, counts=(10_000.0, 10_000.0),
        offset=(0.0, 0.0), uneven_illumination=(0.0, 0.0), flicker=(0.0, 0.0), dust=0,
    )  # fmt: skip
    field = simulate_field(dataclasses.replace(preset, cells=cells, camera=camera), 2, SHAPE)
    assert not field.nuclei_labels.any()
    assert field.brightfield.mean() == pytest.approx(10_000, rel=0.01)
    assert field.brightfield.std() < 0.015 * 10_000


def test_dirt_darkens_brightfield_and_leaves_the_stains():
    clean, dirty = (
        simulate_field(
            _preset(dirty=share, dirt_per_mm2=(3000.0, 3000.0), dirt_absorption=(1.0, 1.0)),
            4,
            SHAPE,
        )
        for share in (0.0, 1.0)
    )
    for name, stain in clean.stains.items():
        np.testing.assert_array_equal(dirty.stains[name], stain)
    np.testing.assert_array_equal(dirty.nuclei_labels, clean.nuclei_labels)
    middle = clean.brightfield[5].min(), dirty.brightfield[5].min()
    assert middle[1] < 0.5 * middle[0]
    assert dirty.brightfield[5].mean() < 0.97 * clean.brightfield[5].mean()


@given(st.integers(0, 2**32))
def test_planes_ascend_and_span_what_the_preset_says(seed):
    heights = np.array(plane_heights(OPTICS, np.random.default_rng(seed)))
    assert (np.diff(heights) > 0).all()
    assert 9 * OPTICS.dense_spacing[0] * 0.9 < np.ptp(heights) < 10 * OPTICS.spacing * 1.2


@given(st.integers(0, 2**32))
def test_a_camera_never_counts_beyond_its_bits(seed):
    camera = WideCamera(eight_bit=1.0)
    counts = expose(torch.full((2, 8, 8), 3.0), camera, np.random.default_rng(seed))
    assert counts.max() <= 255


def test_a_plate_tells_nominal_heights_and_keeps_the_true_ones(tmp_path):
    fields = [simulate_field(_preset(), seed, (64, 64)) for seed in (1, 2)]
    folder = write_plate(fields, tmp_path / "plate", plate="Wide")
    stacks = list(read_plate(folder))
    assert all(stack.z_um == tuple(range(-25, 26, 5)) for stack in stacks)
    rows = (folder / "labels" / "heights.csv").read_text().splitlines()
    for row, field in zip(rows, fields, strict=True):
        np.testing.assert_allclose([float(z) for z in row.split(",")[1:]], field.z_um, atol=1e-3)


def test_an_unknown_variety_is_refused():
    with pytest.raises(ConfigError, match="phase-contrast"):
        get_preset("20x", "darkfield")
