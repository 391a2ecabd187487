"""Run work in napari's worker threads and bring its news back to the window."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from napari.qt.threading import create_worker
from napari.utils.notifications import ErrorNotification, notification_manager, show_error
from qtpy.QtCore import QObject

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.widgets.steps import Outcome, Steps, StopCheck, guarded, once


class Job(QObject):
    """One piece of work in a thread, tied to the life of a dock.

    All callbacks run in the main thread, and after the dock is gone none but `on_abandoned`.

    Parameters
    ----------
    dock : QObject
        Owner; when it is destroyed the work is told to stop.
    work : callable
        Takes a ``should_stop`` check and returns a generator (see `napari_fluorgen.widgets.steps`).
    on_value : callable
        Called with what the generator returned.
    on_event : callable, optional
        Called with each yielded event.
    on_error : callable, optional
        Called with the exception; the default shows it as a notification.
    on_finished : callable, optional
        Called last, with whether the work was stopped by the user.
    on_abandoned : callable, optional
        Called instead of all others when the dock is destroyed first; may touch no widget.
    description : str, optional
        Shown with a progress bar in napari's activity dock.
    """

    def __init__(
        self,
        dock: QObject,
        work: Callable[[StopCheck], Steps],
        *,
        on_value: Callable[[Any], None],
        on_event: Callable[[Any], None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
        on_finished: Callable[[bool], None] | None = None,
        on_abandoned: Callable[[], Any] | None = None,
        description: str | None = None,
    ) -> None:
        super().__init__(dock)
        self._on_value = on_value
        self._on_event = on_event
        self._on_error = on_error or report
        self._on_finished = on_finished
        self._stop = stop = threading.Event()
        self._steps = steps = guarded(lambda: work(stop.is_set))

        def run() -> Steps:
            return (yield from steps)

        worker = create_worker(
            run,
            _start_thread=False,
            _ignore_errors=True,
            _progress={"desc": description} if description else None,
        )
        self._worker = worker
        worker.yielded.connect(self._event)
        worker.returned.connect(self._returned)
        worker.finished.connect(self._finished)
        # Cancel in napari's activity dock is a stop like ours.
        worker.aborted.connect(stop.set)

        # A plain function: it still works while Qt takes the dock apart.
        def halt(*_: object) -> None:
            stop.set()
            worker.quit()
            if on_abandoned is not None:
                on_abandoned()

        self._dock, self._halt = dock, halt
        dock.destroyed.connect(halt)
        worker.start()

    @property
    def cancelled(self) -> bool:
        """Whether the work was told to stop."""
        return self._stop.is_set()

    def cancel(self) -> None:
        """Stop at the next step; later news is dropped.

        The work sees it by ``should_stop`` and ends by itself, so that it frees what it holds.
        """
        self._stop.set()

    def _event(self, event: Any) -> None:
        if self._on_event is not None and event is not None and not self.cancelled:
            self._on_event(event)

    def _returned(self, outcome: Outcome) -> None:
        if self.cancelled or outcome.cancelled:
            return
        if outcome.error is not None:
            self._on_error(outcome.error)
        else:
            self._on_value(outcome.value)

    def _finished(self) -> None:
        # The dock would keep the worker, and with it the pixels it worked on, until it is closed.
        self._dock.destroyed.disconnect(self._halt)
        self._steps.close()  # napari's own cancel leaves it half done
        if self._on_finished is not None:
            self._on_finished(self.cancelled)
        self.deleteLater()


class Reader:
    """Reads for a dock in the background; the answer to an older wish is dropped.

    Parameters
    ----------
    dock : QObject
        Owner of the jobs.
    say : callable
        Shows what is being read; called with an empty text at the end.
    """

    def __init__(self, dock: QObject, say: Callable[[str], None]) -> None:
        self._dock, self._say = dock, say
        self._wish = 0

    def __call__(self, call: Callable[[], Any], show: Callable[[Any], None], message: str) -> None:
        """Show what `call` returns, unless something else was asked for since."""
        self._wish += 1
        wish = self._wish
        self._say(message)

        def if_still_wanted(act: Callable[[Any], None]) -> Callable[[Any], None]:
            return lambda found: act(found) if wish == self._wish else None

        Job(
            self._dock,
            lambda _stop: once(call),
            on_value=if_still_wanted(show),
            on_error=if_still_wanted(report),
            on_finished=if_still_wanted(lambda _cancelled: self._say("")),
        )

    def forget(self) -> None:
        """Drop the answer to what is being read."""
        self._wish += 1
        self._say("")


def report(error: Exception) -> None:
    """Show an error as a notification: one sentence, or with a traceback to open if unexpected."""
    if isinstance(error, FluorgenError):
        show_error(str(error))
    else:
        notification_manager.dispatch(ErrorNotification(error))
