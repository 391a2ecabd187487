"""How far a training is: bar, line, loss curve, held-out preview, Cancel."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.train.curve import LossCurve
from napari_fluorgen.widgets.train.record import TrainingRecord
from napari_fluorgen.widgets.train.views import HeldOutView
from napari_fluorgen.widgets.train.work import Shot

_CANCEL = "Cancel"
_DISCARD = "Discard"
_FINE = 1000  # steps of the bar


class TrainProgressView(QWidget):
    """Shows the events of `train_steps`; bar and Cancel are hidden while nothing runs."""

    def __init__(self) -> None:
        super().__init__()
        self.record = TrainingRecord()
        self.title = common.text()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.line = common.text()
        self.curve = LossCurve()
        self.held_out = common.text()
        self.preview = HeldOutView()
        self.cancel = common.button_for(_CANCEL, "")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (
            self.title,
            self.bar,
            self.line,
            self.cancel,
            self.curve,
            self.held_out,
            self.preview,
        ):
            layout.addWidget(widget)
        self._first_step: float | None = None
        self.hide()

    def begin(self, stains: Sequence[str], minutes: float | None, title: str) -> None:
        """Show the start of a run; the title says what is made."""
        self.record = TrainingRecord(stains, minutes)
        self._first_step = None
        common.say(self.title, title)
        self.bar.setRange(0, 0)
        self.bar.show()
        self.cancel.setText(_CANCEL)
        self.cancel.setToolTip("Stops learning; the best model so far is kept and installed")
        self.cancel.setEnabled(True)
        self.cancel.show()
        self.curve.show_curves(())
        self.curve.hide()
        self.preview.clear()
        common.say(self.held_out, "")
        common.say(self.line, "Reading the pairs …")
        self.show()

    def stopping(self) -> None:
        """Show that the best so far is made a model; a second click throws it away."""
        self.cancel.setText(_DISCARD)
        self.cancel.setToolTip("Throws away what was learned, too")
        common.say(self.line, "Stopping after this step; the best so far is kept …")

    def discarding(self) -> None:
        """Show that nothing is kept."""
        self.cancel.setEnabled(False)
        common.say(self.line, "Stopping; nothing is kept …")

    def end(self, *, keep_curve: bool) -> None:
        """Hide what belongs to a run; its curve and its preview stay where it gave a model."""
        for widget in (self.title, self.bar, self.cancel):
            widget.hide()
        common.say(self.line, "")
        if not keep_curve:
            self.hide()

    def show_events(self, events: Iterable[Any]) -> None:
        """Show what the training told since the last time."""
        shot, stage, moved = None, "", False
        for event in events:
            if isinstance(event, str):
                stage = event
            elif isinstance(event, Shot):
                shot = event
            else:
                self.record.add(event)
                moved, stage = True, ""
        if moved:
            self._show_record()
        if stage:
            self.bar.setRange(0, 0)
            common.say(self.line, stage)
        if shot is not None:
            self.preview.show_picture(shot.stain, shot.picture)

    def _show_record(self) -> None:
        now = time.monotonic()
        self._first_step = self._first_step or now
        elapsed = now - self._first_step
        self.bar.setRange(0, _FINE)
        self.bar.setValue(round(_FINE * self.record.fraction(elapsed)))
        if self.cancel.text() == _CANCEL:
            common.say(self.line, self.record.line(elapsed))
        common.say(self.held_out, self.record.held_out_line())
        self.curve.show()
        self.curve.show_curves(self.record.curves())
