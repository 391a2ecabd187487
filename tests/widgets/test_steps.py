from __future__ import annotations

import pytest

from napari_fluorgen.errors import Cancelled
from napari_fluorgen.widgets.steps import Outcome, guarded, once


def drain(generator):
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as stop:
            return events, stop.value


def test_events_and_value_pass_through():
    def work():
        yield 1
        yield 2
        return 3

    assert drain(guarded(work)) == ([1, 2], Outcome(value=3))


@pytest.mark.parametrize("error", [ValueError("bad"), RuntimeError("out of memory")])
def test_errors_become_outcomes(error):
    def work():
        yield 1
        raise error

    _, outcome = drain(guarded(work))
    assert outcome.error is error


def test_a_stop_is_no_error():
    def work():
        yield 1
        raise Cancelled("stopped")

    _, outcome = drain(guarded(work))
    assert outcome == Outcome(cancelled=True)


def test_a_plain_call_can_be_stopped_before_it_starts():
    called = []
    steps = once(lambda: called.append(1))
    next(steps)
    steps.close()
    assert called == []
