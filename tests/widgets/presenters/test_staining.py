from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.stack import FieldIdentity
from napari_fluorgen.widgets.presenters import staining as words
from napari_fluorgen.workflow import StainRequest


def test_only_the_latest_ticket_counts():
    book = words.RunBook()
    first = book.open("layer")
    second = book.open("layer")
    assert not book.is_current(first)
    assert book.is_current(second)
    assert first.key != second.key
    book.close()
    assert not book.running
    assert not book.is_current(second)


def test_a_new_dock_starts_no_run_of_an_old_name():
    first, second = (words.RunBook().open("layer") for _dock in range(2))
    assert first.key != second.key


@given(st.integers(1, 100), st.integers(0, 100), st.floats(0.1, 1e4))
def test_time_left_follows_the_pace(done, more, elapsed):
    left = words.time_left(done, done + more, elapsed)
    assert left == pytest.approx(elapsed * more / done)


def test_no_guess_before_the_first_tile():
    assert words.time_left(0, 5, 3.0) is None
    assert words.progress_text(0, 5, 3.0) == "tile 0 of 5"
    assert words.progress_text(2, 4, 10.0) == "tile 2 of 4 · about 10 s left"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "under 1 s"), (6.2, "about 6 s"), (130, "about 2 min"), (7200, "about 2.0 h")],
)
def test_durations(seconds, said):
    assert words.duration(seconds) == said


def test_estimates():
    assert words.estimate_text(6, 0.9e9, 4) == "about 6 s, 0.9 GB of memory, 4 tiles"
    assert words.estimate_text(None, 3e6, 1) == "3 MB of memory, 1 tile"
    assert words.estimate_text(None, None, None) == ""


def test_only_the_first_run_loads():
    assert words.first_run_text("about 6 s", warm=False).endswith("loads the model")
    assert words.first_run_text("about 6 s", warm=True) == "about 6 s"
    assert words.first_run_text("", warm=False) == ""


def test_simulated_models_always_say_so_once():
    assert len(words.warning_lines(["a", "a"], simulated=False)) == 1
    assert "simulated" in words.warning_lines([], simulated=True)[0]
    assert len(words.warning_lines(["trained on simulated cells"], simulated=True)) == 1


def test_further_runs_get_a_number():
    assert words.run_suffix([], "f") == ""
    assert words.run_suffix(["f nuclei outlines"], "f") == " (2)"
    assert words.run_suffix(["f nuclei outlines", "f nuclei outlines (2)"], "f") == " (3)"


def test_a_scale_without_a_unit_is_asked_back():
    assert words.unit_doubts((1.0, 1.0), None) == ()
    assert words.unit_doubts((0.2, 0.2), (0.2, 0.2)) == ()
    (doubt,) = words.unit_doubts((0.2, 0.2), None)
    assert "scale of 0.2 but no unit" in doubt
    assert "0.2 × 0.3" in words.unit_doubts((0.2, 0.3), None)[0]


def test_hidden_results_are_explained():
    assert "believe" not in words.done_text(3, 2.0)
    assert "hidden, because" in words.done_text(3, 2.0, shown=False)


def test_the_python_call_repeats_only_what_was_changed(stack):
    request = StainRequest(model="adipocyte-20x", focus="flipped")
    call = words.python_call(stack, request)
    assert "read_plate('/data/plate').read('B03', 1, timepoint=1)" in call
    assert "stain(stack, model, focus='flipped')" in call
    compile(call, "call", "exec")
    assert "no file yet" in words.python_call(stack, request, saved=False)
    alone = replace(stack, identity=FieldIdentity("x"), source="/data/x.tif")
    assert "read_stack('/data/x.tif')" in words.python_call(alone, request)


def test_the_python_call_opens_a_field_of_a_zarr_plate_by_its_folder(stack):
    field = replace(stack, channel_files={}, source="/data/p.zarr/B/3/0")
    call = words.python_call(field, StainRequest())
    assert "read_stack('/data/p.zarr/B/3/0')" in call


def test_a_setting_of_the_run_is_not_a_correction_too(stack):
    corrected = {"pixel_size_um": (0.2, 0.2), "z_um": (0.0, 1.0)}
    call = words.python_call(stack, StainRequest(pixel_size_um=0.3), corrected=corrected)
    assert "replace(stack, z_um=(0.0, 1.0))" in call
    assert "stain(stack, model, pixel_size_um=0.3)" in call
