import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest

from napari_fluorgen.errors import InputError
from napari_fluorgen.io import read_plate
from napari_fluorgen.models import (
    BackgroundScaling,
    ModelSpec,
    NucleiSettings,
    RangeScaling,
    StainRange,
)
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity
from napari_fluorgen.staining import estimate_background, match_stack
from napari_fluorgen.training.data import Crops, Pair, load_pairs, make_pair
from napari_fluorgen.training.pairs import pairs_in_memory

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
    first, second, other = (
        [
            stain.sum()
            for _, stain, _ in itertools.islice(
                Crops([_coordinates_pair()], "lipids", 32, centred=0.5, seed=seed), 5
            )
        ]
        for seed in (4, 4, 5)
    )
    assert first == second != other


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


def _copy(pairs_folder, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(pairs_folder, folder)
    return folder


def _load(folder, **options):
    return load_pairs(folder, BackgroundScaling(), OUTPUTS, 0.325, **options)


def _stack(size=64, depth=7, **options):
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    nuclei = 100 + 3000 * ((y - 30) ** 2 + (x - 26) ** 2 < 150) + rng.integers(0, 20, (size, size))
    data = rng.integers(900, 1100, (depth, size, size)).astype(np.uint16)
    defaults = {
        "data": data,
        "identity": FieldIdentity("field"),
        "pixel_size_um": (0.325, 0.325),
        "truth": {"nuclei": nuclei.astype(np.uint16)},
    }
    return BrightfieldStack(**(defaults | options))


def _make(stack, labels=None, scaling=BackgroundScaling(), pixel=0.325, planes=7, **options):  # noqa: B008
    return make_pair(stack, labels, scaling, OUTPUTS, pixel, planes, **options)


def test_a_stain_that_one_field_lacks_is_named(pairs_folder, tmp_path):
    folder = _copy(pairs_folder, tmp_path)
    next(folder.glob("*C02.tif")).unlink()
    with pytest.raises(InputError, match="no true lipids"):
        _load(folder)


def test_stains_that_no_field_has_are_left_out(pairs_folder, tmp_path):
    folder = _copy(pairs_folder, tmp_path)
    for path in [*folder.glob("*C02.tif"), *folder.glob("*C03.tif")]:
        path.unlink()
    assert [set(pair.stains) for pair in _load(folder)] == [{"nuclei"}] * 2
    for path in folder.glob("*C01.tif"):
        path.unlink()
    with pytest.raises(InputError, match="no true stain"):
        _load(folder)


def test_nuclei_without_labels_are_segmented_and_it_is_said():
    notes = []
    pair = _make(_stack(), on_note=notes.append)
    y, x = np.mgrid[:64, :64]
    true = (y - 30) ** 2 + (x - 26) ** 2 < 150
    assert ((pair.labels > 0) == true).mean() > 0.98
    assert sum("segmented" in note for note in notes) == 1


def test_damaged_files_and_other_labels_are_named(pairs_folder, tmp_path):
    folder = _copy(pairs_folder, tmp_path)
    labels = next((folder / "labels").glob("*.tif"))
    labels.write_bytes(labels.read_bytes()[:100])
    with pytest.raises(InputError, match=labels.name):
        _load(folder)
    labels.unlink()
    stain = next(folder.glob("*C03.tif"))
    stain.write_bytes(stain.read_bytes()[:200])
    with pytest.raises(InputError, match=stain.name):
        _load(folder)


def test_a_folder_without_a_whole_field_is_refused(pairs_folder, tmp_path):
    folder = _copy(pairs_folder, tmp_path)
    for plane in [*folder.glob("*F001*Z04C04.tif"), *folder.glob("*F002*Z05C04.tif")]:
        plane.unlink()
    with pytest.raises(InputError, match="no field with all its planes"):
        _load(folder)


def test_planes_ascend_in_whatever_order_they_were_taken(pairs_folder):
    stack = next(iter(read_plate(pairs_folder)))
    turned = replace(stack, data=stack.data[::-1], z_um=stack.z_um[::-1])
    labels = np.zeros(stack.shape[1:], np.uint32)
    pairs = [_make(each, labels) for each in (stack, turned)]
    np.testing.assert_array_equal(pairs[0].planes, pairs[1].planes)


def test_planes_are_chosen_as_in_staining():
    heights = tuple(2.0 * z for z in range(11))
    stack = _stack(depth=11, z_um=heights)
    whole = _make(stack, planes=None)
    assert whole.planes.shape[0] == 11
    spread = _make(stack).planes
    chosen = [int(np.argmin(np.abs(whole.planes - p).sum(axis=(1, 2)))) for p in spread]
    assert chosen == [0, 2, 3, 5, 7, 8, 10]
    model_z = (-6, -4, -2, 0, 2, 4, 6)
    spec = ModelSpec.model_construct(
        name="m", pixel_size_um=0.325, planes=7, z_um=model_z, input=BackgroundScaling(),
        training={}, simulated=False,
    )  # fmt: skip
    indices = match_stack(stack, spec, focus="as-is").plane_indices
    np.testing.assert_array_equal(_make(stack, z_um=model_z).planes, whole.planes[list(indices)])


def test_a_pair_is_what_staining_feeds_the_network():
    stack = _stack(size=80)
    found = _make(stack, scaling=BackgroundScaling(gain=3.0)).planes
    data = stack.data.astype(float)
    wanted = estimate_background(data, 0.325).divide(data, slice(0, 80), slice(0, 80))
    np.testing.assert_allclose(found, (wanted - 1) * 3, atol=1e-5)


def test_ranges_scale_each_plane():
    scaling = RangeScaling(minimum=tuple(range(7)), maximum=tuple(range(2000, 2007)))
    stack = _stack()
    planes = _make(stack, scaling=scaling).planes
    np.testing.assert_allclose(planes[3], (stack.data[3] - 3.0) / 2000, rtol=1e-5)
    with pytest.raises(InputError, match="read as 5 planes"):
        _make(stack, scaling=scaling, planes=5)


def test_pairs_of_another_pixel_size_are_resampled(pairs_folder):
    pairs = load_pairs(pairs_folder, BackgroundScaling(), OUTPUTS, 0.65)
    assert pairs[0].planes.shape == (7, 48, 48)
    assert pairs[0].stains["lipids"].shape == pairs[0].labels.shape == (48, 48)
    original = load_pairs(pairs_folder, BackgroundScaling(), OUTPUTS, 0.325)[0]
    assert set(np.unique(pairs[0].labels)) <= set(np.unique(original.labels))
    assert pairs[0].stains["lipids"].mean() == pytest.approx(
        original.stains["lipids"].mean(), rel=0.02
    )
    with pytest.raises(InputError, match=r"pixels of 0\.325 µm.*too far"):
        load_pairs(pairs_folder, BackgroundScaling(), OUTPUTS, 2.0)


def test_nuclei_are_looked_for_in_the_sizes_that_are_asked_for():
    stack, notes = _stack(), []
    area = (stack.truth["nuclei"] > 1000).sum() * 0.325**2
    wanted = NucleiSettings(min_area_um2=area / 2, max_area_um2=area * 2)
    assert _make(stack, nuclei=wanted, on_note=notes.append).labels.max() == 1
    assert any(f"nuclei of {area / 2:g} to {area * 2:g} µm² are segmented" in n for n in notes)
    smaller = NucleiSettings(min_area_um2=0, max_area_um2=area / 2)
    assert not _make(stack, nuclei=smaller).labels.any()


def test_the_truth_beyond_its_range_is_kept_for_calibration_and_told():
    stack, notes = _stack(), []
    narrow = {"nuclei": StainRange(minimum=0, maximum=2000)}
    pair, free = (
        make_pair(stack, None, BackgroundScaling(), narrow, 0.325, clipped=clipped,
                  on_note=notes.append).stains["nuclei"]
        for clipped in (True, False)
    )  # fmt: skip
    assert pair.max() == 1
    np.testing.assert_allclose(free, stack.truth["nuclei"] / 2000, rtol=1e-6)
    assert sum("More than 1 % of the true nuclei" in note for note in notes) == 2
    told = len(notes)
    _make(stack, on_note=notes.append)
    assert not any("More than" in note for note in notes[told:])


NAN = np.full((64, 64), np.nan, np.float32)
RAMP = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)


@pytest.mark.parametrize("background", [0, 98])
def test_a_field_without_cells_is_a_pair(background):
    empty = background + np.random.default_rng(1).poisson(3, (64, 64)).astype(np.uint16)
    assert _make(_stack(truth={"lipids": empty})).stains["lipids"].max() < 0.01


def test_a_range_that_no_field_reaches_is_refused():
    scale = {"lipids": StainRange(minimum=300, maximum=20000)}

    def load(*images):
        stacks = [
            replace(_stack(truth={"lipids": image}), identity=FieldIdentity(f"field {number}"))
            for number, image in enumerate(images)
        ]
        return load_pairs(pairs_in_memory(stacks), BackgroundScaling(), scale, 0.325)

    dim = (99 * RAMP).astype(np.uint8)
    with pytest.raises(InputError, match=r"range 300 to 20000 of outputs\.lipids"):
        load(dim, dim)
    assert len(load(dim, 9999 * RAMP)) == 2, "one field may be empty"


@pytest.mark.parametrize(
    ("change", "labels", "sentence"),
    [
        ({"truth": {}}, None, "no true nuclei or lipids or cytoplasm"),
        ({"truth": {"lipids": np.zeros((64, 60))}}, None, "lipids image has 64×60 pixels"),
        ({"truth": {"lipids": np.full((64, 64), 7)}}, None, "constant .every value is 7"),
        ({"truth": {"lipids": NAN}}, None, "not numbers"),
        ({"truth": {"lipids": RAMP}}, None, "from 0.* to 1: stains are kept in camera counts"),
        ({"data": np.full((7, 64, 64), 9.0)}, None, "Plane 1 of stack 'field' is constant"),
        ({"data": np.stack([NAN] * 7)}, None, "field.*not numbers"),
        ({}, np.zeros((60, 64), np.uint8), "labels have 60×64 pixels"),
        ({}, np.full((64, 64), -1), "negative"),
        ({}, np.full((64, 64), 0.5), "type float64"),
    ],
)
def test_what_is_no_pair_is_said_in_one_sentence(change, labels, sentence):
    with pytest.raises(InputError, match=sentence) as caught:
        _make(_stack(**change), labels)
    assert "field" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pairs_in_memory_must_have_as_many_planes():
    one, two = _stack(), replace(_stack(depth=5), identity=FieldIdentity("other"))
    assert len(_load(pairs_in_memory([one]))) == 1
    with pytest.raises(InputError, match="other has 5 brightfield planes but field has 7"):
        _load(pairs_in_memory([one, two]))
