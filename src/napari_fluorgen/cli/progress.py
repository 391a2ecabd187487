"""A bar on stderr that follows the events of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from napari_fluorgen.cli import output
from napari_fluorgen.workflow.estimate import describe_cost
from napari_fluorgen.workflow.events import (
    FieldFailed,
    FieldSkipped,
    FieldStarted,
    FieldWritten,
    Measuring,
    Stage,
)


class RunProgress:
    """Feed it every event; it draws the bar and says what the user has to know."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task = bar.add_task("Preparing", total=None)
        self._label = ""
        self._where = ""
        self._told: set[str] = set()
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        """Show one event."""
        match event:
            case FieldStarted():
                counted = f" ({event.index + 1} of {event.total})" if event.total > 1 else ""
                self._label = f"{event.identity.name}{counted}"
                self._update("reading", done=0, total=None)
            case FieldWritten():
                self.events.append(event)
                for sentence in event.messages:
                    self.note(sentence)
                self._say(f"{event.identity.name}: {event.nuclei} nuclei, {event.seconds:.1f} s")
            case FieldSkipped():
                self.events.append(event)
                self._say(f"{event.identity.name}: skipped, {event.reason}")
            case FieldFailed():
                self.events.append(event)
            case Measuring():
                self._label = "CellProfiler"
                self._update("measuring images", done=event.done, total=event.total)
            case Stage():
                self._update(event.name)
            case _:
                self._engine(event)

    def note(self, sentence: str) -> None:
        """Tell a message once, however many fields carry it."""
        if sentence not in self._told:
            self._told.add(sentence)
            self._bar.console.print(f"Note: {sentence}", style="yellow")

    def _engine(self, event: Any) -> None:
        from napari_fluorgen.staining import Notice, Planned, TileDone

        if isinstance(event, Planned):
            for sentence in event.messages:
                self.note(sentence)
            where = f"{event.device.label}, {event.precision}"
            cost = describe_cost(event.plan.seconds, event.plan.memory_bytes)
            if where != self._where:
                self._where = where
                self._say(f"Staining on {where}: {cost} a field")
            self._update("staining", done=0, total=len(event.plan.tiles))
        elif isinstance(event, Notice):
            self.note(event.message)
        elif isinstance(event, TileDone):
            self._update(None, done=event.done, total=event.total)

    def _say(self, sentence: str) -> None:
        self._bar.console.print(sentence)

    def _update(self, doing: str | None, done: int | None = None, total: int | None = -1) -> None:
        changes: dict[str, Any] = {}
        if doing is not None:
            changes["description"] = " ".join(filter(None, (self._label, doing)))
        if done is not None:
            changes["completed"] = done
        if total != -1:
            changes["total"] = total
        self._bar.update(self._task, **changes)


@contextmanager
def run_progress() -> Iterator[RunProgress]:
    """Yield a `RunProgress`; without a terminal only its sentences are printed."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = output.console()
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        yield RunProgress(bar)
