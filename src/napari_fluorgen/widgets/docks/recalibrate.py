"""The button that calibrates a model on the user's own stained fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QProgressBar, QVBoxLayout, QWidget

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.installed import installed
from napari_fluorgen.widgets.docks.job import Job
from napari_fluorgen.widgets.presenters import recalibrating as words
from napari_fluorgen.widgets.steps import Steps, StopCheck
from napari_fluorgen.widgets.train.work import Tell, bounded_threads, told_steps


class Recalibrate(QWidget):
    """Asks for a folder of stained fields and calibrates the model of a result on it.

    ``made`` is emitted with the name of the result's run and the `Recalibrated` model.
    """

    made = Signal(str, object)

    def __init__(self) -> None:
        super().__init__()
        self.job: Job | None = None
        self._model: str | None = None
        self._run = ""
        self._said = ""
        self.button = common.button_for(
            "Recalibrate with stained fields…",
            "Choose a folder of brightfield stacks with true nuclei (labels or a stain). The "
            "networks stay as they are; what they say is compared with the truth, and a copy of "
            "the model that knows how far it can be trusted here is installed",
        )
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.line = common.text()
        self.cancel = common.button_for("Cancel", "Stops after the field in work; nothing is kept")
        self.done = common.text()
        self.notes = common.amber()
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        for widget in (self.button, self.bar, self.line, self.cancel, self.done, self.notes):
            body.addWidget(widget)
        self.button.clicked.connect(self.choose)
        self.cancel.clicked.connect(self.stop)
        self._show_running(False)

    @property
    def running(self) -> bool:
        """Whether a calibration is under way."""
        return self.job is not None

    def show_model(self, run: str, model: str | None) -> None:
        """Offer to calibrate the model of a run; None where it is not known."""
        if run != self._run and not self.running:
            common.say(self.done, "")
            common.say(self.notes, "")
        self._run, self._model = run, model
        self.button.setEnabled(model is not None and not self.running)

    def choose(self) -> None:
        """Ask for the folder and start."""
        folder = QFileDialog.getExistingDirectory(
            self, "Folder of brightfield stacks with true nuclei", str(Path.home())
        )
        if folder:
            self.start(Path(folder))

    def start(self, pairs: Path) -> None:
        """Calibrate on the fields of a folder in the background."""
        if self.running or self._model is None:
            return
        run, model = self._run, self._model

        def work(should_stop: StopCheck) -> Steps:
            def call(tell: Tell) -> words.Recalibrated:
                with bounded_threads():
                    return words.recalibrate_model(model, pairs, tell, should_stop)

            return told_steps(call, should_stop)

        def show(made: words.Recalibrated) -> None:
            self._said = words.done_text(made)
            common.say(self.done, self._said)
            common.say(self.notes, "\n".join(made.notes))
            installed.changed.emit()
            self.made.emit(run, made)

        common.say(self.done, "")
        common.say(self.notes, "")
        common.say(self.line, "Reading the fields …")
        self.bar.setRange(0, 0)
        self.cancel.setEnabled(True)
        self.job = Job(
            self,
            work,
            on_event=self._show_events,
            on_value=show,
            on_finished=self._finish,
            description=f"Recalibrate {model}",
        )
        self._show_running(True)

    def tell_judged(self, title: str) -> None:
        """Say that the result of this name is judged by what was made."""
        common.say(self.done, words.judged_text(self._said, title))

    def stop(self) -> None:
        """Stop after the field in work."""
        if self.job is not None:
            self.job.cancel()
            self.cancel.setEnabled(False)
            common.say(self.line, "Stopping after this field …")

    def _show_events(self, events: tuple[Any, ...]) -> None:
        if events:
            done, total, _ = events[-1]
            self.bar.setRange(0, total)
            self.bar.setValue(done)
            common.say(self.line, words.progress_text(events[-1]))

    def _finish(self, cancelled: bool) -> None:
        self.job = None
        self._show_running(False)
        if cancelled:
            common.say(self.done, "Stopped; nothing was kept.")

    def _show_running(self, running: bool) -> None:
        self.bar.setVisible(running)
        self.cancel.setVisible(running)
        self.line.setVisible(running)
        self.button.setVisible(not running)
        self.button.setEnabled(not running and self._model is not None)
