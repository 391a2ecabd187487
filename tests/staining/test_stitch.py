from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fluorgen.staining.plan import plan_tiles
from napari_fluorgen.staining.stitch import Stitcher

PLANS = st.builds(
    plan_tiles,
    st.tuples(st.integers(1, 330), st.integers(1, 330)),
    st.integers(32, 200),
    st.sampled_from([0, 4, 8, 16]),
    st.sampled_from([4, 8, 16]),
)


def stitched(plan, maps_of, stitcher=None, first=0):
    """The canvas, and how often each pixel was handed out."""
    stitcher = stitcher or Stitcher(plan.tiles, ["map"])
    canvas = np.full(plan.canvas_shape, np.nan, np.float32)
    times = np.zeros(plan.canvas_shape, int)
    for tile in plan.tiles[first:]:
        block, values = stitcher.add({"map": maps_of(tile)})
        canvas[block] = values["map"]
        times[block] += 1
    return canvas, times


@settings(max_examples=60, deadline=None)
@given(PLANS)
def test_each_pixel_is_handed_out_once_and_weights_add_up(plan):
    canvas, times = stitched(plan, lambda tile: np.ones(plan.tile_shape, np.float32))
    assert (times == 1).all()
    assert (canvas == 1).all()


@settings(max_examples=60, deadline=None)
@given(PLANS, st.integers(0, 2**32 - 1))
def test_equals_sums_over_the_whole_canvas(plan, seed):
    rng = np.random.default_rng(seed)
    maps = {tile: rng.random(plan.tile_shape, np.float32) for tile in plan.tiles}
    expected = np.zeros(plan.canvas_shape, np.float32)
    for tile in plan.tiles:
        rows, columns = tile.rows.weights()[:, None], tile.columns.weights()[None, :]
        expected[tile.inner] += maps[tile][tile.local] * rows * columns
    canvas, _ = stitched(plan, maps.__getitem__)
    np.testing.assert_array_equal(canvas, expected)


@settings(max_examples=60, deadline=None)
@given(PLANS, st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_goes_on_from_what_was_waiting(plan, seed, share):
    rng = np.random.default_rng(seed)
    maps = {tile: rng.random(plan.tile_shape, np.float32) for tile in plan.tiles}
    expected, _ = stitched(plan, maps.__getitem__)
    done = round(share * len(plan.tiles))
    before, after = Stitcher(plan.tiles, ["map"]), Stitcher(plan.tiles, ["map"])
    waiting = []
    for tile in plan.tiles[:done]:
        before.add({"map": maps[tile]})
        waiting.append({name: array.copy() for name, array in before.waiting().items()})
    after.resume(done, waiting.__getitem__)
    canvas, times = stitched(plan, maps.__getitem__, after, done)
    np.testing.assert_array_equal(canvas[times == 1], expected[times == 1])
    assert times.max(initial=0) <= 1


@pytest.mark.parametrize("width", [300, 3000])
def test_what_waits_is_a_ramp_and_not_the_canvas(width):
    plan = plan_tiles((2000, width), 160, 16, 16)
    stitcher = Stitcher(plan.tiles, ["map"])
    most = 0
    for _ in plan.tiles:
        stitcher.add({"map": np.zeros(plan.tile_shape, np.float32)})
        most = max(most, sum(array.nbytes for array in stitcher.waiting().values()))
    assert most <= 2 * 16 * 160 * 4
