from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.errors import ConfigError, InputError, ModelError
from napari_fluorgen.staining.adapt import match_stack

MODEL_Z = (-6.0, -4.0, -2.0, 0.0, 2.0, 4.0, 6.0)


@pytest.fixture
def spec(spec_of):
    return spec_of(training={"focus_order": -1})


@pytest.fixture
def lit_from_above(series_of):
    """Focus series by ascending height, as in the simulated training data."""
    return lambda heights: series_of([-height for height in heights])


def blank(planes=7, height=20, width=30):
    return np.random.default_rng(0).integers(900, 1100, (planes, height, width), dtype=np.uint16)


def said(adaptation, words):
    return any(words in message for message in adaptation.messages)


def test_a_stack_that_fits_is_taken_as_it_is(spec, stack_of, lit_from_above):
    match = match_stack(stack_of(lit_from_above(MODEL_Z)), spec)
    assert match.plane_indices == (0, 1, 2, 3, 4, 5, 6)
    assert match.flipped is False
    assert match.zoom == 1.0
    assert match.model_shape == (256, 256)
    assert match.pixel_size_um == (0.325, 0.325)
    assert match.messages == ()


@pytest.mark.parametrize("positions", [MODEL_Z, None])
def test_a_stack_against_the_light_is_turned_and_that_is_said(
    spec, stack_of, lit_from_above, positions
):
    stack = stack_of(lit_from_above(MODEL_Z)[::-1], z_um=positions)
    match = match_stack(stack, spec)
    assert match.flipped is True
    assert match.plane_indices == (6, 5, 4, 3, 2, 1, 0)
    assert said(match, "run against the model's")
    assert match_stack(stack, spec, focus="as-is").plane_indices == (0, 1, 2, 3, 4, 5, 6)


def test_planes_are_not_turned_for_a_model_of_real_pairs_that_does_not_say_how_its_run(
    spec_of, stack_of, lit_from_above
):
    for series in (lit_from_above(MODEL_Z), lit_from_above(MODEL_Z)[::-1]):
        match = match_stack(stack_of(series), spec_of())
        assert match.plane_indices == (0, 1, 2, 3, 4, 5, 6)
        assert said(match, "the planes are kept as they stand")
    against = stack_of(lit_from_above(MODEL_Z)[::-1])
    assert match_stack(against, spec_of(simulated=True)).flipped is True


def test_a_model_may_say_which_way_its_planes_run(spec_of, stack_of, lit_from_above):
    spec = spec_of(training={"focus_order": 1})
    assert match_stack(stack_of(lit_from_above(MODEL_Z)), spec).flipped is True
    assert match_stack(stack_of(lit_from_above(MODEL_Z)[::-1]), spec).flipped is False


def test_the_user_can_flip(spec, stack_of, lit_from_above):
    match = match_stack(stack_of(lit_from_above(MODEL_Z)), spec, focus="flipped")
    assert match.plane_indices == (6, 5, 4, 3, 2, 1, 0)
    assert match.flipped is True
    assert said(match, "as asked")


def test_an_unclear_direction_is_kept_and_said(spec, stack_of):
    match = match_stack(stack_of(blank()), spec)
    assert match.flipped is None
    assert match.plane_indices == (0, 1, 2, 3, 4, 5, 6)
    assert said(match, "cannot be told")


def test_ranges_of_an_instrument_are_not_second_guessed(spec_of, stack_of, lit_from_above):
    ranges = {"kind": "range", "minimum": (0,) * 7, "maximum": (9,) * 7}
    match = match_stack(stack_of(lit_from_above(MODEL_Z)[::-1]), spec_of(input=ranges))
    assert match.flipped is False
    assert match.messages == ()


def test_descending_positions_are_sorted(spec, stack_of):
    match = match_stack(stack_of(blank(), z_um=MODEL_Z[::-1]), spec, focus="as-is")
    assert match.plane_indices == (6, 5, 4, 3, 2, 1, 0)
    assert match.flipped is False
    assert said(match, "ascending position")


def test_only_differences_of_positions_count(spec, stack_of):
    shifted = tuple(1351.6 + z for z in MODEL_Z)
    match = match_stack(stack_of(blank(), z_um=shifted), spec, focus="as-is")
    assert match.plane_indices == (0, 1, 2, 3, 4, 5, 6)


def test_five_planes_are_repeated_by_position(spec, stack_of):
    stack = stack_of(blank(5), z_um=(-6.0, -3.0, 0.0, 3.0, 6.0))
    match = match_stack(stack, spec, focus="as-is")
    assert match.plane_indices == (0, 1, 1, 2, 3, 3, 4)
    assert said(match, "5 planes, the model wants 7")
    flipped = match_stack(stack, spec, focus="flipped")
    assert flipped.plane_indices == (4, 3, 3, 2, 1, 1, 0)


def test_planes_far_from_the_models_are_said(spec, stack_of):
    stack = stack_of(blank(5, 200, 200), z_um=(-25.0, -10.0, 0.0, 10.0, 25.0))
    assert said(match_stack(stack, spec, focus="as-is"), "up to 4 µm from where the model")


def test_planes_without_positions_are_spread_by_order(spec, stack_of):
    assert match_stack(stack_of(blank(13), z_um=None), spec, focus="as-is").plane_indices == (
        0,
        2,
        4,
        6,
        8,
        10,
        12,
    )
    few = match_stack(stack_of(blank(3), z_um=None), spec, focus="as-is")
    assert few.plane_indices[0] == 0
    assert few.plane_indices[-1] == 2
    assert said(few, "repeated")


def test_a_fine_series_is_thinned_by_position(spec, stack_of):
    z = tuple(np.arange(-6, 6.5, 0.5))
    match = match_stack(stack_of(blank(25), z_um=z), spec, focus="as-is")
    assert [z[i] for i in match.plane_indices] == list(MODEL_Z)


def test_a_deep_series_is_cut_around_its_focus(spec, stack_of, lit_from_above):
    z = np.arange(-8.0, 18.0, 2.0)
    stack = stack_of(lit_from_above(z), z_um=tuple(z + 100))
    match = match_stack(stack, spec)
    assert [z[i] for i in match.plane_indices] == list(MODEL_Z)
    assert said(match, "sharpest")


def test_a_single_plane_is_repeated_with_a_warning(spec, stack_of):
    match = match_stack(stack_of(blank(1), z_um=None), spec)
    assert match.plane_indices == (0,) * 7
    assert said(match, "Warning")


def test_other_pixels_are_resampled(spec, stack_of):
    match = match_stack(stack_of(blank(7, 100, 200), pixel=0.2), spec, focus="as-is")
    assert match.model_shape == (62, 123)
    assert match.zoom == pytest.approx(0.2 / 0.325)
    assert said(match, "Your pixels are 0.2 µm")


def test_a_tenth_of_difference_is_tolerated(spec, stack_of):
    match = match_stack(stack_of(blank(), pixel=0.35), spec, focus="as-is")
    assert (match.zoom, match.model_shape) == (1.0, (20, 30))


def test_a_given_pixel_size_wins_and_an_unknown_one_is_said(spec, stack_of):
    given_size = match_stack(stack_of(blank()), spec, focus="as-is", pixel_size_um=0.65)
    assert given_size.model_shape == (40, 60)
    unknown = match_stack(stack_of(blank(), pixel=None), spec, focus="as-is")
    assert unknown.zoom == 1.0
    assert said(unknown, "does not say its pixel size")


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), 6.5, 0.001])
def test_a_pixel_size_that_cannot_be_is_refused(spec, stack_of, size):
    with pytest.raises(InputError, match="too far apart"):
        match_stack(stack_of(blank(), pixel=size), spec)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((5, 6)), "2 axes"),
        (np.zeros((7, 0, 6)), "is empty"),
        (np.zeros((7, 5, 6), complex), "complex128"),
        (np.zeros((7, 5, 6), bool), "bool"),
    ],
)
def test_what_is_no_stack_is_refused(spec, stack_of, data, words):
    with pytest.raises(InputError, match=words):
        match_stack(stack_of(data), spec)


def test_positions_of_another_count_are_refused(spec, stack_of):
    with pytest.raises(InputError, match="one number a plane"):
        match_stack(stack_of(blank(5)), spec)


def test_unknown_focus_is_refused(spec, stack_of):
    with pytest.raises(ConfigError, match="sideways"):
        match_stack(stack_of(blank()), spec, focus="sideways")


def test_simulated_training_is_said(spec_of, stack_of):
    assert said(match_stack(stack_of(blank()), spec_of(simulated=True)), "simulated")


@given(
    planes=st.integers(2, 30),
    step=st.floats(0.1, 20),
    origin=st.floats(-1e4, 1e4),
    known=st.booleans(),
)
def test_planes_ascend_and_flipping_mirrors_them(spec_of, stack_of, planes, step, origin, known):
    z = tuple(origin + step * i for i in range(planes)) if known else None
    stack = stack_of(np.ones((planes, 2, 2), np.uint16) * 5, z_um=z)
    spec = spec_of()
    up = match_stack(stack, spec, focus="as-is").plane_indices
    down = match_stack(stack, spec, focus="flipped").plane_indices
    assert list(up) == sorted(up)
    assert down == up[::-1]
    assert set(up) <= set(range(planes))


@pytest.fixture(scope="session")
def varied(spec_of):
    return spec_of(training={"plane_range_um": [6, 50]})


SEPHACE = (-25.0, -10.0, 0.0, 10.0, 25.0)


def test_a_model_of_varied_spacing_takes_planes_by_order(varied, stack_of):
    stack = stack_of(blank(5), z_um=SEPHACE)
    match = match_stack(stack, varied, focus="as-is")
    assert match.plane_indices == (0, 1, 1, 2, 3, 3, 4)
    assert said(match, "5 planes, the model wants 7: some are repeated")
    assert not said(match, "from where the model wants")
    assert match_stack(stack, varied, focus="flipped").plane_indices == (4, 3, 3, 2, 1, 1, 0)


def test_uneven_planes_are_all_used_by_a_model_of_varied_spacing(varied, stack_of):
    stack = stack_of(blank(6), z_um=(1327.6, 1341.95, 1351.6, 1352.25, 1362.0, 1376.8))
    assert match_stack(stack, varied, focus="as-is").plane_indices == (0, 1, 2, 2, 3, 4, 5)


def test_seven_planes_of_any_seen_spacing_need_no_words(varied, stack_of):
    match = match_stack(stack_of(blank(), z_um=tuple(np.arange(7) * 3.1)), varied, focus="as-is")
    assert match.plane_indices == tuple(range(7))
    assert match.messages == ()


def test_a_stack_deeper_than_ever_seen_is_cut_around_its_focus(spec_of, stack_of, lit_from_above):
    z = np.arange(-8.0, 18.0, 2.0)
    spec = spec_of(training={"plane_range_um": [6, 12]})
    match = match_stack(stack_of(lit_from_above(z), z_um=tuple(z + 100)), spec)
    assert [z[i] for i in match.plane_indices] == list(MODEL_Z)
    assert said(match, "sharpest")
    finer = spec_of(training={"plane_range_um": [2, 8]})
    match = match_stack(stack_of(lit_from_above(z), z_um=tuple(z + 100)), finer)
    assert {z[i] for i in match.plane_indices} == {-4, -2, 0, 2, 4}
    assert said(match, "5 of 13 planes, the model wants 7")


def test_planes_further_apart_than_ever_seen_are_said(varied, stack_of):
    match = match_stack(stack_of(blank(3), z_um=(-60.0, 0.0, 60.0)), varied, focus="as-is")
    assert set(match.plane_indices) == {0, 1, 2}
    assert said(match, "The planes span 120 µm, the model was trained on 6 to 50 µm")


def test_planes_closer_than_ever_seen_are_said(varied, stack_of):
    match = match_stack(stack_of(blank(), z_um=tuple(np.arange(7) * 0.1)), varied, focus="as-is")
    assert match.plane_indices == tuple(range(7))
    assert said(match, "The planes span 0.6 µm")


@pytest.mark.parametrize("record", [[50, 6], [6], "wide", [float("nan"), 50], 12])
def test_a_record_of_planes_that_makes_no_sense_is_refused(spec_of, stack_of, record):
    with pytest.raises(ModelError, match="plane_range_um"):
        match_stack(stack_of(blank()), spec_of(training={"plane_range_um": record}))


@given(
    steps=st.lists(st.floats(0.1, 20), min_size=1, max_size=30),
    origin=st.floats(-1e4, 1e4),
)
def test_planes_of_varied_spacing_ascend_within_the_span(varied, stack_of, steps, origin):
    z = tuple(origin + np.cumsum([0, *steps]))
    stack = stack_of(np.ones((len(z), 2, 2), np.uint16) * 5, z_um=z)
    up = match_stack(stack, varied, focus="as-is").plane_indices
    assert list(up) == sorted(up)
    assert match_stack(stack, varied, focus="flipped").plane_indices == up[::-1]
    if z[-1] - z[0] <= 50:
        assert (up[0], up[-1]) == (0, len(z) - 1)
        assert len(set(up)) == min(len(z), 7)
