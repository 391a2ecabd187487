"""Learning rates as pure functions of the step, so that a resumed run needs no state for them.

References
----------
.. [1] Smith and Topin, "Super-convergence", arXiv:1708.07120 (one cycle).
.. [2] Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts",
   arXiv:1608.03983.
"""

from __future__ import annotations

import math

from napari_fluorgen.training.course import OneCycle, Schedule, WarmRestarts

# Of the one cycle, relative to the peak: where it starts, and where it ends relative to that.
_START = 1 / 25
_END = 1e-4
_MOMENTA = 0.95, 0.85
_MOMENTUM = 0.9


def learning_rate(
    schedule: Schedule, peak: float, step: int, steps: int, unit: float = 1.0
) -> float:
    """Learning rate of a step of a phase.

    Parameters
    ----------
    schedule : Schedule
        One cycle [1]_, cosine annealing with warm restarts [2]_ or constant.
    peak : float
        Highest learning rate.
    step, steps : int
        Number of the step, from 0, and length of the phase.
    unit : float
        Steps of what the periods of warm restarts are counted in: those of an epoch, or 1.
    """
    if isinstance(schedule, OneCycle):
        low, end = peak * _START, peak * _START * _END
        return _cycle(step, steps, schedule.warm_up, low, peak, end)
    if isinstance(schedule, WarmRestarts):
        return peak * _half_cosine(1, 0, _since_restart(schedule, step / unit))
    return peak


def momentum(schedule: Schedule, step: int, steps: int) -> float:
    """First beta of Adam: with one cycle low where the learning rate is high, else 0.9."""
    if isinstance(schedule, OneCycle):
        high, low = _MOMENTA
        return _cycle(step, steps, schedule.warm_up, high, low, high)
    return _MOMENTUM


def _since_restart(schedule: WarmRestarts, time: float) -> float:
    """Share of the current period that has passed."""
    period = schedule.t_0
    while time >= period:
        time -= period
        period *= schedule.t_mult
    return time / period


def _cycle(step: int, steps: int, warm_up: float, start: float, top: float, end: float) -> float:
    peak, last = warm_up * steps - 1, steps - 1
    if step <= peak:
        return _half_cosine(start, top, step / peak if peak else 1.0)
    return _half_cosine(top, end, (step - peak) / (last - peak))


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
