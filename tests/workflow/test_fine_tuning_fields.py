"""How one's own pairs are read: direction of focus, spacing of planes, range of counts, sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_fluorgen.models import NucleiSettings, StainRange
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity
from napari_fluorgen.staining import match_stack
from napari_fluorgen.workflow.fine_tuning_fields import (
    TunedField,
    nuclei_settings,
    range_of,
    read_field,
    register_fields,
    spec_for,
    wide_sizes,
)

SEVEN = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)


def cells(seed: int, z_um=SEVEN, *, sign: int = 1, name: str = "field") -> BrightfieldStack:
    """Cells as lenses: their centres grow brighter along the light (`sign` 1) or against it."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((128, 128))
    scene = np.zeros((128, 128))
    for _ in range(8):
        y, x = rng.uniform(10, 118, 2)
        scene += np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 40)
    planes = [3000 * (1 + sign * 0.02 * z * scene) for z in z_um]
    data = (np.array(planes) + rng.normal(0, 5, (len(z_um), 128, 128))).astype(np.uint16)
    truth = {"nuclei": (100 + 2000 * scene).astype(np.uint16)}
    return BrightfieldStack(data, FieldIdentity(name), (0.325, 0.325), tuple(z_um), truth)


@pytest.fixture
def spec(model):
    return model.spec


@pytest.mark.parametrize("sign", [1, -1])
def test_a_stack_that_runs_against_the_pairs_is_read_as_they_were(spec, sign):
    pairs = [cells(seed, sign=sign) for seed in (1, 2)]
    own = spec_for(spec, pairs, [])
    assert match_stack(pairs[0], own).plane_indices == tuple(range(7))
    # The same kind of field taken from the other side, its heights unknown.
    stranger = cells(3, sign=sign)
    stranger = replace(stranger, data=stranger.data[::-1], z_um=None)
    assert match_stack(stranger, own).plane_indices == tuple(range(6, -1, -1))


def test_pairs_that_do_not_tell_a_direction_are_read_as_they_stand_ever_after(spec):
    flat = cells(1, sign=0)
    own = spec_for(spec, [flat, flat], [])
    assert own.training["focus_order"] == 0
    assert match_stack(cells(2), own).plane_indices == tuple(range(7))
    assert match_stack(cells(2, sign=-1), own).plane_indices == tuple(range(7))


def test_planes_of_another_spacing_are_all_used(spec):
    notes = []
    narrow = tuple(z / 4 for z in SEVEN)
    own = spec_for(spec, [cells(1, narrow)], notes)
    assert match_stack(cells(1, narrow), own).plane_indices == tuple(range(7))
    assert own.training["plane_range_um"] == [2.4, 3.6]
    assert any("lie otherwise" in note for note in notes)
    assert "plane_range_um" not in spec_for(spec, [cells(1)], []).training


def test_a_field_is_read_by_both_models_and_its_nuclei_are_found_where_there_are_no_labels(spec):
    stack = cells(1)  # runs against the simulated order of the start
    own, notes = spec_for(spec, [stack], []), []
    field = read_field(stack, own, spec, notes)
    assert field.planes.shape == (7, 128, 128)
    np.testing.assert_allclose(field.start_planes, field.planes[::-1], atol=1e-6)
    assert field.labels is not None
    assert field.labels.max() >= 1
    assert any("no nuclei labels" in note for note in notes)
    assert field.stains["nuclei"].max() == stack.truth["nuclei"].max()


def test_nuclei_of_other_sizes_than_the_start_knows_are_found_in_the_true_stain(spec):
    rows, columns = np.indices((128, 128))
    radius = 50  # pixels: 830 µm²
    large = (rows - 64) ** 2 + (columns - 64) ** 2 < radius**2
    stack = cells(1)
    stack = replace(stack, truth={"nuclei": np.uint16(100 + 2000 * large)})
    known = spec.model_copy(update={"nuclei": NucleiSettings(max_area_um2=300)})
    assert not read_field(stack, known, spec, []).labels.any()
    wide = known.model_copy(update={"nuclei": wide_sizes(known.nuclei)})
    assert read_field(stack, wide, spec, []).labels.max() == 1
    small = wide_sizes(NucleiSettings(min_area_um2=30)).min_area_um2
    assert small == 15


def test_resampled_fields_keep_their_labels_sharp(spec):
    stack = cells(1)
    labels = np.zeros((128, 128), np.uint16)
    labels[20:60, 20:60] = 7
    stack = replace(stack, pixel_size_um=(0.1625, 0.1625), truth={**stack.truth, "labels": labels})
    field = read_field(stack, spec, spec, [])
    assert field.planes.shape == (7, 64, 64)
    assert set(np.unique(field.labels)) == {0, 7}
    assert (field.labels == 7).sum() == 400


def test_a_range_that_the_stain_fills_is_kept_another_is_made_to_fit():
    rng = np.random.default_rng(0)
    start = StainRange(minimum=0, maximum=8000)
    same = rng.uniform(100, 6000, (64, 64)).astype(np.float32)
    assert range_of([same], start) == start
    for gain in (0.1, 5):
        image = same * gain
        found = range_of([image], start)
        assert found != start
        assert 0 <= found.minimum <= image.min() + 0.05 * np.ptp(image)
        assert np.percentile(image, 99.9) <= found.maximum <= image.max() + 1
    one_bright_pixel = same.copy()
    one_bright_pixel[0, 0] = 65535
    assert range_of([one_bright_pixel * 0.1], start).maximum < 1000


def test_sizes_of_nuclei_follow_the_labels_where_there_are_enough():
    start = NucleiSettings()
    labels = np.zeros((100, 100), np.uint32)
    for number in range(16):
        y, x = 5 + 24 * (number // 4), 5 + 24 * (number % 4)
        labels[y : y + 10, x : x + 10] = number + 1
    found = nuclei_settings([labels], 0.5, start)
    assert (found.min_area_um2, found.max_area_um2) == (12.5, 50.0)
    assert found.seed_distance_um == pytest.approx(0.8 * np.sqrt(25 / np.pi), abs=0.01)
    assert nuclei_settings([labels[:30, :30]], 0.5, start) == start
    assert nuclei_settings([], 0.5, start) == start


def test_fields_of_one_name_stay_apart(spec):
    rng = np.random.default_rng(1)
    fields = [
        TunedField("same", planes, planes, {"nuclei": np.abs(planes[0])}, None)
        for planes in rng.normal(size=(2, 3, 64, 64)).astype(np.float32)
    ]
    assert register_fields(fields, 0.325, "report", []) == fields


def test_a_shift_is_corrected_for_both_readings_of_the_planes_in_counts(spec):
    rng = np.random.default_rng(1)
    scene = gaussian_filter(rng.normal(size=(160, 160)), 2)
    scene *= 1 / scene.std()
    planes = np.stack([0.1 * z * scene for z in (-1, 1)]).astype(np.float32)
    stain = (2000 + 400 * np.roll(np.abs(scene), (5, -3), axis=(0, 1))).astype(np.float32)
    labels = (scene > 1).astype(np.uint32)
    field = TunedField("field", planes, planes[::-1], {"nuclei": stain}, labels)
    notes = []
    assert register_fields([field], 0.325, "report", notes) == [field]
    (moved,) = register_fields([field], 0.325, "correct", notes)
    assert "--register" in notes[0]
    assert notes[1].endswith("corrected.")
    rows, columns = moved.planes.shape[1:]
    assert 153 <= rows <= 155 < columns <= 157
    np.testing.assert_array_equal(moved.start_planes, moved.planes[::-1])
    assert moved.labels.shape == moved.stains["nuclei"].shape == (rows, columns)
    expected = 2000 + 400 * np.abs(10 * moved.planes[1])
    inside = (slice(8, -8),) * 2
    assert (
        np.corrcoef(moved.stains["nuclei"][inside].ravel(), expected[inside].ravel())[0, 1] > 0.97
    )
    assert 1900 < moved.stains["nuclei"].min() < moved.stains["nuclei"].max() <= stain.max()
