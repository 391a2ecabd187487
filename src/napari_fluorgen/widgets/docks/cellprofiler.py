"""With what to measure: built in, or the real CellProfiler, found or set up from here."""

# ruff: noqa: N802 - these methods override Qt's
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFileDialog, QMenu, QProgressBar, QVBoxLayout, QWidget

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.job import Job, report
from napari_fluorgen.widgets.presenters import cellprofiler as words
from napari_fluorgen.widgets.steps import Steps, StopCheck, once

if TYPE_CHECKING:
    from napari_fluorgen.measurement import CellProfiler

BUILT_IN = "builtin"
REAL = "cellprofiler"


class EngineChoice(QWidget):
    """The list of engines, the line that says where CellProfiler is, and its set-up."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.cellprofiler: CellProfiler | None = None
        self._looked = False
        self._job: Job | None = None
        self.engines = common.combo("Both write the same tables with the same names")
        common.fill(self.engines, [("Built in", BUILT_IN), ("CellProfiler", REAL)])
        self.found = common.text()
        self.setup_button = common.button_for(
            words.setup_title(None), "Install it in an environment of its own, or say where it is"
        )
        menu = QMenu(self)
        self.install_action = menu.addAction(words.INSTALL)
        self.choose_action = menu.addAction("Choose its program…")
        self.setup_button.setMenu(menu)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.line = common.text()
        self.cancel_button = common.button_for("Cancel", "Stops CellProfiler; nothing is written")
        self.bar.hide()
        self.cancel_button.hide()
        rows = common.form()
        rows.addRow("With", self.engines)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        for widget in (self.found, self.setup_button, self.bar, self.line, self.cancel_button):
            layout.addWidget(widget)
        self.engines.currentIndexChanged.connect(self._show)
        self.install_action.triggered.connect(self.install)
        self.choose_action.triggered.connect(self._choose)
        self.cancel_button.clicked.connect(self.cancel)
        self._show()

    @property
    def working(self) -> bool:
        """Whether CellProfiler is installed or measures at this moment."""
        return self._job is not None

    @property
    def real(self) -> bool:
        """Whether the real CellProfiler is chosen."""
        return self.engines.currentData() == REAL

    @property
    def ready(self) -> bool:
        """Whether the chosen engine can measure."""
        return not self.working and (not self.real or self.cellprofiler is not None)

    def showEvent(self, event: QShowEvent) -> None:
        """Look for CellProfiler when it is seen first."""
        super().showEvent(event)
        if not self._looked:
            self.look()

    def look(self) -> None:
        """Look for CellProfiler in the background."""
        self._looked = True

        def call() -> Any:
            from napari_fluorgen.measurement.cellprofiler_find import locate_cellprofiler

            return locate_cellprofiler()

        Job(self, lambda _stop: once(call), on_value=self._located, on_error=self._lost)

    def _located(self, found: CellProfiler | None) -> None:
        self.cellprofiler = found
        self._show()

    def _lost(self, error: Exception) -> None:
        self.cellprofiler = None
        self._show()
        common.say(self.found, str(error))

    def _show(self, _index: int = 0) -> None:
        if self._looked or self.real:
            common.say(self.found, words.found_text(self.cellprofiler))
        self.setup_button.setText(words.setup_title(self.cellprofiler))
        self.setup_button.setVisible(self.real)
        self.setup_button.setEnabled(not self.working)
        self.changed.emit()

    def _choose(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "CellProfiler's program")
        if chosen:
            self.use(chosen)

    def use(self, program: str) -> None:
        """Remember where CellProfiler is."""
        from napari_fluorgen.measurement.cellprofiler_find import remember_cellprofiler

        try:
            remember_cellprofiler(program)
        except FluorgenError as error:
            report(error)
            return
        self.look()

    def install(self) -> None:
        """Install CellProfiler in the background."""

        def work(stop: StopCheck) -> Steps:
            from napari_fluorgen.measurement.cellprofiler_install import install_cellprofiler

            return (yield from install_cellprofiler(should_stop=stop))

        self.work(work, "Installing CellProfiler …", self._located)

    def work(
        self,
        work: Callable[[StopCheck], Steps],
        message: str,
        on_value: Callable[[Any], None],
        on_error: Callable[[Exception], None] = report,
        on_finished: Callable[[], None] | None = None,
    ) -> None:
        """Run something of CellProfiler in the background, with a bar and a button to stop it."""
        common.say(self.line, message)
        self.bar.setRange(0, 0)
        self.bar.show()
        self.cancel_button.setEnabled(True)
        self.cancel_button.show()

        def finished(_cancelled: bool) -> None:
            self._job = None
            common.say(self.line, "")
            self.bar.hide()
            self.cancel_button.hide()
            self._show()
            if on_finished is not None:
                on_finished()

        self._job = Job(
            self,
            work,
            on_value=on_value,
            on_event=self._event,
            on_error=on_error,
            on_finished=finished,
        )
        self._show()

    def cancel(self) -> None:
        """Stop what CellProfiler does."""
        if self._job is not None:
            self._job.cancel()
            self.cancel_button.setEnabled(False)
            common.say(self.line, "Stopping …")

    def _event(self, event: Any) -> None:
        text, done, total = words.event_text(event)
        common.say(self.line, text)
        # one image has no share that is done
        self.bar.setRange(0, total if total > 1 else 0)
        self.bar.setValue(done)
