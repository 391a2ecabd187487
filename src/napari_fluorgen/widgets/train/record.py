"""What a training run has told so far: how far it is, how long it still takes, its curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from napari_fluorgen.widgets.presenters.staining import duration

POINTS = 240
"""Most points of a curve: more than a dock has pixels."""

_START_STEPS = 5  # the first losses are noisy: a curve starts at the median of these
_SMOOTHING_STEPS = 40  # a loss changes from crop to crop; shown is a running mean of about these


@dataclass(frozen=True)
class Curve:
    """The loss of one stain.

    Attributes
    ----------
    stain : str
        Which one.
    points : tuple of (float, float)
        Share of its steps in [0, 1], and smoothed loss as a share of the loss at the start.
    """

    stain: str
    points: tuple[tuple[float, float], ...]

    @property
    def now(self) -> float:
        """The last loss as a share of the first."""
        return self.points[-1][1] if self.points else 1.0


@dataclass
class _Course:
    steps: int = 0
    step: int = 0
    start: list[float] = field(default_factory=list)
    smooth: float = 0.0
    points: list[tuple[int, float]] = field(default_factory=list)
    held_out: dict[str, float] = field(default_factory=dict)

    def add(self, step: int, steps: int, loss: float) -> None:
        self.step, self.steps = step, max(steps, step, 1)
        if loss != loss:  # not a number says nothing
            return
        if len(self.start) < _START_STEPS:
            self.start.append(loss)
            self.smooth = median(self.start)
            self.points = [(done, self.smooth) for done, _ in self.points]
        else:
            self.smooth += (loss - self.smooth) / min(_SMOOTHING_STEPS, len(self.points) + 2)
        self.points.append((step, self.smooth))
        if len(self.points) > 2 * POINTS:
            self.points = [*self.points[:-1:2], self.points[-1]]

    def curve(self, stain: str) -> Curve:
        base = (median(self.start) if self.start else 0.0) or 1.0
        # A run may learn for longer than it was planned at first: the axis grows with it.
        points = tuple((step / self.steps, loss / base) for step, loss in self.points)
        return Curve(stain, points)


class TrainingRecord:
    """Gathers the progress of `fine_tune`.

    Parameters
    ----------
    stains : sequence of str
        Networks that will be trained, in order, as far as known; others are added as they come.
    minutes : float, optional
        Time that the user gave for all of them; None where steps are given.
    """

    def __init__(self, stains: Sequence[str] = (), minutes: float | None = None) -> None:
        self.stains = list(stains)
        self.minutes = minutes
        self._courses: dict[str, _Course] = {}
        self._current = ""

    def add(self, progress: Any) -> None:
        """Take a `napari_fluorgen.training.run.TrainProgress`."""
        stain = progress.stain
        if stain not in self.stains:
            self.stains.append(stain)
        self._current = stain
        course = self._courses.setdefault(stain, _Course())
        if progress.validation:
            course.held_out = dict(progress.validation)
        else:
            course.add(progress.step, progress.steps, float(progress.loss))

    def fraction(self, elapsed_s: float) -> float:
        """Share of the work that is done: of the time, or of the steps of all stains."""
        if self.minutes is not None and self.minutes > 0:
            left = self.seconds_left(elapsed_s) or 0.0
            return elapsed_s / max(elapsed_s + left, 1e-9)
        return self._steps_done()

    def _steps_done(self) -> float:
        if not self.stains:
            return 0.0
        done = sum(
            1.0 if stain != self._current else course.step / max(1, course.steps)
            for stain, course in self._courses.items()
        )
        return min(1.0, done / len(self.stains))

    def curves(self) -> tuple[Curve, ...]:
        """Curves of the stains so far, in their order."""
        return tuple(
            self._courses[stain].curve(stain)
            for stain in self.stains
            if stain in self._courses and self._courses[stain].points
        )

    def line(self, elapsed_s: float) -> str:
        """Write stain, step of steps and time left."""
        course = self._courses.get(self._current)
        if course is None:
            return ""
        parts = [f"{self._current}: step {course.step} of {course.steps}"]
        if len(self.stains) > 1:
            place = self.stains.index(self._current) + 1
            parts[0] = (
                f"{self._current} ({place} of {len(self.stains)}): " + parts[0].split(": ")[1]
            )
        left = self.seconds_left(elapsed_s)
        if left is not None:
            parts.append(f"{duration(left)} left")
        return " · ".join(parts)

    def held_out_line(self) -> str:
        """Write the correlation with the truth of held-out parts, by stain."""
        found = [
            f"{stain} {course.held_out['pearson']:.3f}"
            for stain, course in self._courses.items()
            if "pearson" in course.held_out
        ]
        return f"Correlation with the truth so far: {', '.join(found)}" if found else ""

    def seconds_left(self, elapsed_s: float) -> float | None:
        """Seconds that are left of the time given, or at the pace so far; None where unknown.

        Parameters
        ----------
        elapsed_s : float
            Seconds since the first step began.
        """
        if self.minutes is not None:
            return max(0.0, 60 * self.minutes - elapsed_s)
        share = self._steps_done()
        return elapsed_s * (1 - share) / share if share > 0 else None
