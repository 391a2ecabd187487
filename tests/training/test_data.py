import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest

from napari_fluorgen.errors import InputError
from napari_fluorgen.io import read_plate
from napari_fluorgen.models import BackgroundScaling, StainRange
from napari_fluorgen.training.data import Crops, Pair, load_pairs, make_pair

OUTPUTS = {
    stain: StainRange(minimum=0, maximum=20000) for stain in ("nuclei", "lipids", "cytoplasm")
}


def _coordinates_pair(size=80):
    """A pair whose images all hold the same picture, so that a crop shows how it was cut."""
    picture = np.arange(size * size, dtype=np.float32).reshape(size, size) / size**2
    labels = np.zeros((size, size), np.uint32)
    labels[30:40, 50:60] = 1
    return Pair(
        planes=np.stack([picture, labels.astype(np.float32)]),
        stains={"lipids": picture},
        labels=labels,
        name="coordinates",
    )


def test_planes_stain_and_mask_are_cut_and_turned_together():
    crops = Crops([_coordinates_pair()], "lipids", 32, centred=0.5, seed=1)
    for planes, stain, mask in itertools.islice(crops, 40):
        assert planes.shape == (2, 32, 32)
        np.testing.assert_array_equal(planes[0], stain[0])
        np.testing.assert_array_equal(planes[1] > 0, mask)


def test_every_turn_and_flip_occurs():
    crops = Crops([_coordinates_pair()], "lipids", 32, centred=0, seed=2)
    seen = set()
    for _, stain, _ in itertools.islice(crops, 100):
        down = float(stain[0, 1, 0] - stain[0, 0, 0])
        right = float(stain[0, 0, 1] - stain[0, 0, 0])
        seen.add((np.sign(down), np.sign(right), abs(down) > abs(right)))
    assert len(seen) == 8


def test_centred_crops_hold_a_nucleus():
    crops = Crops([_coordinates_pair()], "lipids", 32, centred=1, seed=3)
    assert all(mask.any() for _, _, mask in itertools.islice(crops, 30))


def test_the_same_seed_draws_the_same_crops():
    first, second = (
        [stain.sum() for _, stain, _ in itertools.islice(crops, 5)]
        for crops in (Crops([_coordinates_pair()], "lipids", 32, centred=0.5, seed=4),) * 2
    )
    assert first == second


def test_a_field_smaller_than_the_crop_is_named():
    with pytest.raises(InputError, match="coordinates is smaller"):
        Crops([_coordinates_pair(24)], "lipids", 32, centred=0, seed=0)


def test_pairs_are_scaled_for_the_networks(pairs_folder):
    pairs = load_pairs(pairs_folder, BackgroundScaling(gain=4.0), OUTPUTS, 0.325)
    assert len(pairs) == 2
    assert pairs[0].planes.shape == (7, 96, 96)
    assert abs(pairs[0].planes.mean()) < 0.1
    assert pairs[0].stains["lipids"].max() <= 1
    assert max(pair.labels.max() for pair in pairs) >= 1


def test_a_missing_stain_and_missing_labels_are_named(pairs_folder, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(pairs_folder, folder)
    next(folder.glob("*C02.tif")).unlink()
    with pytest.raises(InputError, match="no true lipids"):
        load_pairs(folder, BackgroundScaling(), OUTPUTS, 0.325)
    shutil.rmtree(folder / "labels")
    with pytest.raises(InputError, match=r"labels.*missing"):
        load_pairs(folder, BackgroundScaling(), OUTPUTS, 0.325)


def test_damaged_labels_and_other_planes_are_named(pairs_folder, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(pairs_folder, folder)
    labels = next((folder / "labels").glob("*.tif"))
    with pytest.raises(InputError, match=r"7 brightfield planes; the networks take 5"):
        load_pairs(folder, BackgroundScaling(), OUTPUTS, 0.325, 5)
    labels.write_bytes(labels.read_bytes()[:100])
    with pytest.raises(InputError, match=labels.name):
        load_pairs(folder, BackgroundScaling(), OUTPUTS, 0.325)
    for plane in folder.glob("*Z03C04.tif"):
        plane.unlink()
    for plane in folder.glob("*F001*Z04C04.tif"):
        plane.unlink()
    for plane in folder.glob("*F002*Z05C04.tif"):
        plane.unlink()
    with pytest.raises(InputError, match="no field with all its planes"):
        load_pairs(folder, BackgroundScaling(), OUTPUTS, 0.325)


def test_planes_ascend_in_whatever_order_they_were_taken(pairs_folder):
    stack = next(iter(read_plate(pairs_folder)))
    turned = replace(stack, data=stack.data[::-1], z_um=stack.z_um[::-1])
    labels = np.zeros(stack.shape[1:], np.uint32)
    pairs = [
        make_pair(each, labels, BackgroundScaling(), OUTPUTS, 0.325) for each in (stack, turned)
    ]
    np.testing.assert_array_equal(pairs[0].planes, pairs[1].planes)


def test_pairs_of_another_pixel_size_are_refused(pairs_folder):
    with pytest.raises(InputError, match=r"pixels of 0\.325 µm"):
        load_pairs(pairs_folder, BackgroundScaling(), OUTPUTS, 0.2)
