from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.staining.plan import RAMP_PX, cheapest_tile, plan_tiles, smallest_tile
from napari_fluorgen.staining.stitch import blend

plans = st.builds(
    plan_tiles,
    st.tuples(st.integers(1, 400), st.integers(1, 400)),
    st.integers(1, 300),
    st.integers(0, 60),
    st.sampled_from([1, 4, 16, 32]),
)


@given(plans)
def test_weights_add_up_to_one_everywhere(plan):
    total = np.zeros(plan.canvas_shape, np.float32)
    for tile in plan.tiles:
        total[tile.inner] += np.outer(tile.rows.weights(), tile.columns.weights())
    np.testing.assert_array_equal(total, 1)


@given(
    st.tuples(st.integers(1, 900), st.integers(1, 900)),
    st.integers(1, 300),
    st.integers(0, 60),
    st.sampled_from([1, 4, 16, 32]),
)
def test_tiles_are_equal_aligned_inside_and_no_larger_than_asked(shape, side, overlap, divisor):
    plan = plan_tiles(shape, side, overlap, divisor)
    largest = max(side, smallest_tile(overlap, divisor))
    for tile in plan.tiles:
        for span, length, canvas, size in zip(
            (tile.rows, tile.columns), shape, plan.canvas_shape, plan.tile_shape, strict=True
        ):
            assert span.start % divisor == 0
            assert span.stop - span.start == size
            assert size % divisor == 0
            assert size <= largest
            assert 0 <= span.start < span.stop <= canvas
            assert 0 <= canvas - length < divisor


@given(plans)
def test_tiles_inside_the_plane_ramp_on_every_side(plan):
    for tile in plan.tiles:
        for span, canvas in zip((tile.rows, tile.columns), plan.canvas_shape, strict=True):
            if span.start > 0:
                assert span.keep_start >= span.start
                assert span.ramp_before == RAMP_PX
            if span.stop < canvas:
                assert span.keep_stop <= span.stop
                assert span.ramp_after == RAMP_PX


@pytest.mark.parametrize("overlap", [0, 16, 40, 64])
@pytest.mark.parametrize("side", [64, 100, 256, 512])
@pytest.mark.parametrize("length", [257, 512, 1000, 2160])
def test_overlap_is_kept_back(overlap, side, length):
    plan = plan_tiles((16, length), side, overlap, 16)
    for tile in plan.tiles:
        span = tile.columns
        if span.start > 0:
            assert span.keep_start - span.start >= overlap
        if span.stop < plan.canvas_shape[1]:
            assert span.stop - span.keep_stop >= overlap


def test_a_small_plane_is_one_tile():
    plan = plan_tiles((300, 217), 512, 64, 16)
    assert len(plan.tiles) == 1
    assert plan.tile_shape == (304, 224)
    assert plan.output_shape == (300, 217)


@pytest.mark.parametrize("shape", [(1080, 1080), (2160, 2560), (5000, 300), (40, 9000)])
def test_cheapest_tile_keeps_to_the_area_and_computes_little_twice(shape):
    tile = cheapest_tile(shape, 900_000, 64, 16)
    plan = plan_tiles(shape, tile, 64, 16)
    assert plan.tile_shape == tile
    assert tile[0] * tile[1] <= 900_000
    square = plan_tiles(shape, 944, 64, 16)
    assert plan.computed_pixels <= square.computed_pixels
    assert plan.computed_pixels < 1.35 * plan.canvas_shape[0] * plan.canvas_shape[1]


def test_cheapest_tile_of_a_huge_plane_is_nearly_square():
    height, width = cheapest_tile((30_000, 30_000), 900_000, 64, 16)
    assert 0.5 < height / width < 2


@pytest.mark.parametrize("bad", [((0, 5), 64, 8, 16), ((5, 5), 0, 8, 16), ((5, 5), 64, -1, 16)])
def test_sizes_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match="cannot tile"):
        plan_tiles(*bad)


def test_blend_of_a_local_operation_equals_it_untiled():
    image = np.random.default_rng(0).normal(size=(208, 304)).astype(np.float32)

    def smooth(x):
        padded = np.pad(x, 1)
        return padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]

    plan = plan_tiles(image.shape, 80, 8, 16)
    assert len(plan.tiles) > 4
    out = {"map": np.zeros(plan.canvas_shape, np.float32)}
    seen = list(blend(plan.tiles, lambda tile: {"map": smooth(image[tile.outer])}, out))
    assert tuple(seen) == plan.tiles
    np.testing.assert_allclose(out["map"], smooth(image), atol=1e-6)
