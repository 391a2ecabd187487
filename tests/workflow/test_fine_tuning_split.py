"""No pixel that is held out is learned from, however few or small the fields are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.errors import InputError
from napari_fluorgen.workflow.fine_tuning_split import PARTS, crop_size, split_fields

SETTINGS = {"divisor": 16, "pixel_size_um": 0.325}


def names(count: int) -> list[str]:
    return [f"field{number}" for number in range(count)]


@given(
    st.lists(st.tuples(st.integers(100, 400), st.integers(100, 400)), min_size=1, max_size=12),
    st.integers(0, 2**32 - 1),
)
def test_parts_never_share_a_pixel_and_a_crop_fits_into_each_training_part(shapes, seed):
    split = split_fields(names(len(shapes)), shapes, seed=seed, **SETTINGS)
    taken = [np.zeros(shape, int) for shape in shapes]
    for part in PARTS:
        assert split[part]
        for block in split[part]:
            own = taken[block.field][block.rows, block.columns]
            assert own.shape == block.shape
            own += 1
    assert max(image.max() for image in taken) == 1
    crop = crop_size(split, divisor=16)
    assert crop >= 32
    assert crop % 16 == 0
    assert all(min(block.shape) >= crop for block in split["training"])


def test_ten_fields_are_divided_as_wholes_seven_one_two():
    split = split_fields(names(10), [(64, 64)] * 10, seed=42, **SETTINGS)
    assert [len(split[part]) for part in PARTS] == [7, 1, 2]
    assert sorted(block.field for part in PARTS for block in split[part]) == list(range(10))
    assert all(block.shape == (64, 64) for part in PARTS for block in split[part])


def test_the_seed_decides_and_nothing_else():
    splits = [split_fields(names(9), [(64, 64)] * 9, seed=seed, **SETTINGS) for seed in (1, 1, 2)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_strips_of_a_field_lie_apart():
    split = split_fields(["one"], [(128, 512)], seed=0, **SETTINGS)
    spans = sorted(
        (block.columns.start, block.columns.stop) for part in PARTS for block in split[part]
    )
    gaps = [after[0] - before[1] for before, after in pairwise(spans)]
    assert gaps == [15, 15]
    assert (spans[0][0], spans[-1][1]) == (0, 512)


@pytest.mark.parametrize(("count", "shape"), [(1, (90, 90)), (5, (31, 200))])
def test_a_field_that_is_too_small_is_named_with_what_is_needed(count, shape):
    with pytest.raises(InputError, match=r"field0 has .* pixels .* at least \d+×\d+"):
        split_fields(names(count), [shape] * count, seed=0, **SETTINGS)
