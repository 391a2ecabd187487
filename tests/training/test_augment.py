import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_fluorgen.errors import InputError
from napari_fluorgen.models import load_model
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity
from napari_fluorgen.staining import match_stack
from napari_fluorgen.training.augment import AugmentSettings, draw_planes, stand_ins, transformed
from napari_fluorgen.training.data import Crops, Pair

ALL = AugmentSettings(
    transform=1, contrast=(0.7, 1.4), noise=0.02, blur=1.0, scale=0.2, planes="random"
)


def _pair(size=160, depth=11):
    """Smooth planes with one nucleus; plane z holds z plus the picture."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    picture = np.sin(x / 9) * np.cos(y / 7)
    labels = np.zeros((size, size), np.uint32)
    labels[(y - 90) ** 2 + (x - 60) ** 2 < 100] = 1
    planes = np.arange(depth, dtype=np.float32)[:, None, None] + picture
    return Pair(planes, {"lipids": picture}, labels, "smooth")


def _crops(augment, pair=None, crop=64, **options):
    options = {"centred": 0.5, "seed": 5} | options
    return Crops([pair or _pair()], "lipids", crop, augment=augment, **options)


def _equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_crop_depends_on_seed_and_number_alone():
    crops = _crops(ALL)
    in_order = [crops[number] for number in range(6)]
    backwards = [crops[number] for number in reversed(range(6))]
    assert all(map(_equal, in_order, reversed(backwards)))
    assert not _equal(in_order[0], _crops(ALL, seed=6)[0])


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 2**32))
def test_drawn_planes_ascend_and_exist(depth, planes, seed):
    drawn = draw_planes(depth, planes, np.random.default_rng(seed))
    assert drawn.shape == (planes,)
    assert (np.diff(drawn) >= 0).all()
    assert drawn[0] >= 0
    assert drawn[-1] < depth


def test_draws_are_contiguous_strided_uneven_and_repeated():
    rng = np.random.default_rng(0)
    steps = [np.diff(draw_planes(13, 7, rng)) for _ in range(400)]
    assert any((step == 1).all() for step in steps)
    assert any((step == 2).all() for step in steps)
    assert any((step > 0).all() and step.max() > step.min() + 1 for step in steps)
    assert any((step == 0).any() for step in steps)
    assert any((step == 0).all() for step in steps), "a single plane"


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_planes_that_are_there_lie_around_the_middle(planes, seed):
    found = stand_ins(planes, np.random.default_rng(seed))
    there = np.unique(found)
    assert (len(there) < planes) == (planes > 2)
    assert set(there) == set(planes - 1 - there)
    np.testing.assert_array_equal(found[there], there)


@given(st.integers(0, 2**32 - 1))
def test_what_stands_in_for_missing_planes_is_what_staining_takes(seed):
    spec = load_model("adipocyte-20x").spec
    found = stand_ins(spec.planes, np.random.default_rng(seed))
    there = np.unique(found)
    few = BrightfieldStack(
        np.ones((len(there), 32, 32)),
        FieldIdentity("few"),
        (spec.pixel_size_um, spec.pixel_size_um),
        tuple(spec.z_um[index] for index in there),
    )
    taken = match_stack(few, spec, focus="as-is").plane_indices
    np.testing.assert_array_equal(there[list(taken)], found)


def test_as_many_crops_as_asked_lack_planes():
    crops = _crops(AugmentSettings(missing_planes=0.3), _pair(depth=7))
    heights = [crops[i][0].mean(dim=(1, 2)).round().unique() for i in range(200)]
    lacking = [len(found) for found in heights if len(found) < 7]
    assert 0.2 < len(lacking) / 200 < 0.4
    assert set(lacking) == set(range(1, 7))


def test_planes_of_a_crop_stay_in_order():
    for planes, _, _ in itertools.islice(_crops(AugmentSettings(planes="random")), 20):
        assert planes.shape == (7, 64, 64)
        assert (torch.diff(planes.mean(dim=(1, 2))) >= -1e-4).all()


def test_a_transform_is_what_interpolation_by_scipy_gives():
    from scipy.ndimage import affine_transform

    pair = _pair()
    angle, zoom, crop = 0.6, 1.15, 64
    images = pair.planes[:2, 20:140, 10:130].copy()
    mask = pair.labels[20:140, 10:130] > 0
    found, near = transformed(images, mask, crop, angle, zoom)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) / zoom
    offset = np.array([59.5, 59.5]) - matrix @ np.array([31.5, 31.5])
    wanted = affine_transform(images[1], matrix, offset, output_shape=(crop, crop), order=1)
    np.testing.assert_allclose(found[1], wanted, atol=1e-3)
    nearest = affine_transform(
        mask.astype(np.uint8), matrix, offset, output_shape=(crop, crop), order=0
    )
    assert (near == nearest.astype(bool)).mean() > 0.999


def test_planes_and_stain_are_transformed_together_without_empty_corners():
    augment = AugmentSettings(transform=1, scale=0.3)
    for planes, stain, _ in itertools.islice(_crops(augment), 20):
        torch.testing.assert_close(planes[3] - 3, stain[0], atol=1e-5, rtol=0)
        assert planes[5].min() > 3.9  # an empty corner would be 0


def test_a_transform_mirrors_where_the_field_is_no_larger_than_the_crop():
    augment = AugmentSettings(transform=1)
    for planes, *_ in itertools.islice(_crops(augment, crop=160), 5):
        assert planes[5].min() > 3.9


@pytest.mark.parametrize("transform", [0, 1])
def test_centred_crops_hold_their_nucleus_within_the_shift(transform):
    augment = AugmentSettings(transform=transform, shift=0.1, scale=0)
    for *_, mask in itertools.islice(_crops(augment, centred=1, crop=40), 20):
        centre = torch.nonzero(mask).float().mean(dim=0)
        assert ((centre - 19.5).abs() < 0.1 * 40 * 2**0.5 + 1.5).all()


def test_contrast_multiplies_brightfield_and_leaves_the_stain():
    plain = _crops(AugmentSettings())[3]
    varied = _crops(AugmentSettings(contrast=(2, 2)))[3]
    # both draw the same crop: the factor's draw comes before the turn's
    ratio = varied[0].std() / plain[0].std()
    assert float(ratio) == pytest.approx(2, rel=0.1)
    assert float(varied[1].abs().max()) <= 1


def test_noise_is_as_strong_as_asked_and_blur_smooths():
    crops = _crops(AugmentSettings(noise=0.5, turn=0))
    clean = _crops(AugmentSettings(turn=0))
    levels = [float((crops[i][0] - clean[i][0]).std()) for i in range(30)]
    assert 0.3 < max(levels) < 0.51
    rough = _pair()
    rough.planes[:] = np.random.default_rng(0).standard_normal(rough.planes.shape)
    blurred = [float(_crops(AugmentSettings(blur=2), rough)[i][0].std()) for i in range(9)]
    assert min(blurred) < 0.5


def test_fields_are_not_changed_by_drawing():
    pair = _pair()
    before = pair.planes.copy()
    pair.planes.setflags(write=False)
    list(itertools.islice(_crops(ALL, pair), 5))
    list(itertools.islice(_crops(AugmentSettings(noise=1, contrast=(0.5, 2)), pair), 5))
    np.testing.assert_array_equal(pair.planes, before)


def test_a_pair_without_the_stain_is_named():
    with pytest.raises(InputError, match="smooth has no true nuclei image"):
        Crops([_pair()], "nuclei", 64, centred=0, seed=0)


@pytest.mark.parametrize(
    "wrong", [{"contrast": (0, 1)}, {"contrast": (2, 1)}, {"turn": 2}, {"mirror": 1}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValidationError):
        AugmentSettings(**wrong)
