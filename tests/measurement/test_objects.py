from __future__ import annotations

import numpy as np
import pytest

from napari_fluorgen.measurement.objects import (
    DropletSettings,
    cross_entropy_threshold,
    fill_holes,
    segment_cells,
    segment_droplets,
    subtract_nuclei,
)


def test_each_nucleus_gets_its_own_cell(disc):
    shape = (120, 200)
    nuclei = disc(shape, 60, 60, 10) + 2 * disc(shape, 60, 140, 10)
    body = disc(shape, 60, 60, 35) | disc(shape, 60, 140, 35)
    stain = np.where(body, 0.2, 0.01).astype(np.float32)
    stain[10:20, 90:100] = 0.2  # a bright piece that holds no nucleus
    cells = segment_cells(nuclei, stain)
    assert cells.dtype == np.uint32
    np.testing.assert_array_equal(cells[nuclei > 0], nuclei[nuclei > 0])
    np.testing.assert_array_equal(cells > 0, body)
    cytoplasm = subtract_nuclei(cells, nuclei)
    assert not cytoplasm[nuclei > 0].any()
    assert set(np.unique(cytoplasm)) == {0, 1, 2}


def test_no_nuclei_no_cells():
    assert not segment_cells(np.zeros((8, 8), np.uint32), np.ones((8, 8), np.float32)).any()


def test_holes_of_one_object_are_filled_and_open_ones_stay():
    labels = np.zeros((9, 12), int)
    labels[1:6, 1:6] = 1
    labels[3, 3] = 0  # enclosed by 1
    labels[1:6, 6:11] = 2
    labels[3, 5:7] = 0  # between 1 and 2
    labels[8, :] = 3
    filled = fill_holes(labels)
    assert filled[3, 3] == 1
    assert not filled[3, 5:7].any()
    assert not filled[7].any()


def test_threshold_lies_between_two_levels():
    image = np.array([0.1] * 90 + [0.9] * 10, np.float32)
    assert 0.1 < cross_entropy_threshold(image) < 0.9
    assert cross_entropy_threshold(np.full(5, 0.3, np.float32)) == pytest.approx(0.3)


def test_droplets_are_found_and_touching_ones_split(disc):
    shape = (120, 160)
    centres = [(30, 30), (30, 120), (90, 60), (90, 75)]  # the last two touch
    image = np.full(shape, 0.02, np.float32)
    for y, x in centres:
        image[disc(shape, y, x, 8)] = 0.3
    image += np.random.default_rng(0).normal(0, 0.003, shape).astype(np.float32)
    droplets = segment_droplets(image, (0.325, 0.325))
    assert droplets.max() == len(centres)
    assert len({droplets[centre] for centre in centres} - {0}) == len(centres)


def test_small_specks_and_slow_haze_are_no_droplets():
    rows = np.linspace(0, 3, 200)[:, None]
    haze = (0.1 + 0.05 * np.sin(rows) * np.ones((1, 200))).astype(np.float32)
    haze[100, 100] = 0.4
    haze[40:52, 40:52] = 0.4
    droplets = segment_droplets(haze, (0.325, 0.325), DropletSettings(min_diameter_um=1.2))
    assert droplets.max() == 1
    assert droplets[46, 46] == 1


def test_a_flat_image_has_no_droplets():
    assert not segment_droplets(np.full((30, 30), 0.1, np.float32)).any()
