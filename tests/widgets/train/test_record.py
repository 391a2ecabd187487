from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fluorgen.widgets.train.record import POINTS, TrainingRecord


@dataclass(frozen=True)
class Progress:
    """The fields of `napari_fluorgen.training.run.TrainProgress`."""

    stain: str
    step: int
    steps: int
    loss: float
    validation: dict[str, float] | None = None


def filled(steps=100, stains=("nuclei", "lipids"), loss=lambda step: 1.0):
    record = TrainingRecord(stains)
    for step in range(1, steps + 1):
        record.add(Progress(stains[0], step, steps, loss(step)))
    return record


def test_stains_count_alike():
    record = filled(10)
    assert record.fraction(9.0) == 0.5
    record.add(Progress("lipids", 1, 4, 1.0))
    assert record.fraction(9.0) == pytest.approx(0.625)


def test_where_time_is_given_it_is_what_counts():
    record = TrainingRecord(("nuclei", "lipids"), 10)
    record.add(Progress("nuclei", 10, 1000, 1.0))
    assert record.line(240) == "nuclei (1 of 2): step 10 of 1000 · about 6 min left"
    assert record.fraction(240) == pytest.approx(0.4)
    assert record.fraction(700) == 1.0


def test_the_line_says_stain_step_and_time():
    record = filled(10)
    assert record.line(120) == "nuclei (1 of 2): step 10 of 10 · about 2 min left"
    assert TrainingRecord(("nuclei",)).line(3) == ""
    assert filled(10, ("lipids",)).line(5).startswith("lipids: step 10 of 10")


def test_stains_that_nobody_announced_are_added():
    record = filled(10, ("nuclei",))
    record.add(Progress("cytoplasm", 5, 10, 1.0))
    assert record.fraction(1.0) == 0.75


def test_curves_are_shares_of_the_start():
    record = filled(100, loss=lambda step: 4.0 if step <= 5 else 1.0)
    (curve,) = record.curves()
    assert curve.stain == "nuclei"
    assert curve.points[0] == (0.01, 1.0)
    assert curve.points[-1][0] == 1.0
    assert 0.2 < curve.now < 0.5, "smoothed, on its way to a quarter"


def test_a_noisy_start_is_where_the_curve_starts():
    losses = [9.0, 1.0, 2.0, 3.0, 2.0]
    record = filled(5, loss=lambda step: losses[step - 1])
    assert {y for _, y in record.curves()[0].points} == {1.0}


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3000), st.integers(0, 10**6))
def test_curves_stay_short_and_in_order(steps, seed):
    record = filled(steps, loss=lambda step: 1 + (seed + step) % 7)
    (curve,) = record.curves()
    assert len(curve.points) <= 2 * POINTS + 1
    places = [x for x, _ in curve.points]
    assert places == sorted(places)
    assert 0 < places[0] <= places[-1] == 1.0


def test_a_loss_that_is_no_number_draws_nothing():
    record = TrainingRecord(("nuclei",))
    record.add(Progress("nuclei", 1, 2, float("nan")))
    assert record.curves() == ()
    assert record.fraction(1.0) == 0.5


def test_figures_of_held_out_parts_are_no_step():
    record = filled(10)
    record.add(Progress("nuclei", 10, 10, 0.1, {"pearson": 0.91234, "dice": 0.5}))
    assert record.held_out_line() == "Correlation with the truth so far: nuclei 0.912"
    assert record.curves()[0].now == 1.0
    assert filled(3).held_out_line() == ""
