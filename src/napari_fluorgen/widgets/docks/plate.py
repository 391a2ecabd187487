"""*Stain plate*: all fields of a plate in a table, stained one after the other."""

# ruff: noqa: N802 - these methods override Qt's
from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize
from qtpy.QtWidgets import QProgressBar

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.field_results import FieldResults
from napari_fluorgen.widgets.docks.field_table import FieldTable
from napari_fluorgen.widgets.docks.job import Job, Reader
from napari_fluorgen.widgets.docks.output_folder import OutputFolder
from napari_fluorgen.widgets.presenters import plate_run as words
from napari_fluorgen.widgets.presenters.plate import problem_text
from napari_fluorgen.widgets.steps import Steps, StopCheck

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_fluorgen.io import FoundFields

_STEPS = 1000  # of the bar


class PlateDock(common.Dock):
    """Stains the fields of a plate into a folder; closing it stops the run."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.job: Job | None = None
        self.plate = words.PlateRun(())
        self._found: FoundFields | None = None
        self.plate_folder: Path | None = None
        self._request: Any = None
        self._target = Path()  # where the results of the shown rows lie
        self._enough = threading.Event()  # set when the user stops: finished fields count
        self._read = Reader(self, lambda message: common.say(self.line, message))
        self._build()
        self.results = FieldResults(napari_viewer, self._read)
        self.output.chosen.connect(lambda folder, settings: self.start(folder, **settings))
        self.cancel.clicked.connect(self.stop)
        self.table.cellActivated.connect(self._open_row)
        self.table.itemSelectionChanged.connect(self._show_remarks)

    def _build(self) -> None:
        self.title = common.text()
        self.output = OutputFolder()
        self.problems = common.amber()
        self.table = FieldTable()
        self.remarks = common.text()
        self.remarks.setMinimumHeight(1)  # else Qt keeps the lines that a narrow dock would need
        self.line = common.text()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.cancel = common.button_for(
            "Cancel", "Stops after the tile in work; the finished fields stay"
        )
        self.progress = common.beside((self.bar, 1), (self.cancel, 0))
        self.progress.hide()
        self.done = common.text()
        # News stand above the table: a dock below the image is seldom high enough for all rows.
        for widget in (
            self.title,
            self.output,
            self.line,
            self.progress,
            self.done,
            self.problems,
            self.remarks,
        ):
            self.body.addWidget(widget)
        self.body.addWidget(self.table, 1)

    def sizeHint(self) -> QSize:
        """Ask for the height of some rows below the image."""
        return QSize(super().sizeHint().width(), 300)

    @property
    def running(self) -> bool:
        """Whether the plate is being stained."""
        return self.job is not None

    # which fields, and where to

    def show_plate(self, folder: Path, request: Any) -> None:
        """List the fields of a plate, to be stained with these settings."""
        if folder != self.plate_folder:
            self.output.path.clear()  # it may hold another plate's results of the same names
        self.plate_folder = folder
        self.show_settings(request)
        self._show_found(None)
        common.say(self.done, "")

        def call() -> FoundFields:
            from napari_fluorgen.io import find_fields

            return find_fields(folder)

        self._read(call, self._show_found, f"Reading {folder.name} …")

    def show_settings(self, request: Any) -> None:
        """Take other settings for the next run."""
        self._request = request
        if self.plate_folder is not None and not self.running:
            settings = words.settings_text(request)
            common.say(self.title, f"{self.plate_folder.name} · {settings}")

    def _show_found(self, found: FoundFields | None) -> None:
        self._found = found
        self.output.show_fields(found)
        common.say(self.problems, "" if found is None else problem_text(found.problems))
        self._reset()

    def _reset(self) -> None:
        fields = () if self._found is None else self._found.fields
        self.plate = words.PlateRun(source.identity for source in fields)
        self.table.show_rows(self.plate.rows)
        self._show_remarks()

    # the run

    def start(self, folder: Path, *, overwrite: bool = False, resume: bool = False) -> None:
        """Stain the fields of the table in the background.

        Parameters
        ----------
        folder : Path
            For the results.
        overwrite, resume : bool
            What to do with results that are there, as in `stain_batch`; refused without either.
        """
        if self.running or self._found is None:
            return
        found, request = self._found, self._request
        self._enough = enough = threading.Event()
        self._target = folder
        self._read.forget()
        self.results.expect_new()

        def work(should_stop: StopCheck) -> Steps:
            from napari_fluorgen.workflow import stain_batch

            return stain_batch(
                found,
                request,
                folder,
                overwrite=overwrite,
                resume=resume,
                should_stop=lambda: enough.is_set() or should_stop(),
            )

        self.job = Job(
            self,
            work,
            on_event=self._show_event,
            on_value=lambda _summary: None,  # the rows say it all
            on_finished=self._finish,
            description=f"Stain plate: {words.fields_text(len(found.fields))}",
        )
        self._reset()
        self.output.setEnabled(False)
        common.say(self.done, "")
        common.say(self.line, "Loading the model …")
        self.bar.setRange(0, 0)
        self.cancel.setEnabled(True)
        self.progress.show()

    def stop(self) -> None:
        """Stop after the tile in work; the finished fields stay."""
        if self.running:
            self._enough.set()
            self.cancel.setEnabled(False)
            common.say(self.line, "Stopping after this tile …")

    def _show_event(self, event: Any) -> None:
        now = time.monotonic()
        index = self.plate.take(event, now)
        if index is None:
            return
        self.table.show_row(index, self.plate.rows[index])
        self.table.follow(index)
        self.bar.setRange(0, _STEPS)
        self.bar.setValue(round(_STEPS * self.plate.share))
        if not self._enough.is_set():
            common.say(self.line, self.plate.progress_text(now))

    def _finish(self, cancelled: bool) -> None:
        self.job = None
        self.plate.end()
        self.table.show_rows(self.plate.rows)
        self.progress.hide()
        common.say(self.line, "")
        stopped = cancelled or self._enough.is_set()
        common.say(self.done, self.plate.end_text(stopped=stopped))
        self.output.setEnabled(True)
        self.show_settings(self._request)

    # what came of it

    def _show_remarks(self) -> None:
        rows = self.table.selectionModel().selectedRows()
        common.say(self.remarks, "\n".join(self.plate.rows[rows[0].row()].remarks) if rows else "")

    def _open_row(self, index: int, _column: int = 0) -> None:
        """Show the result of a field that is finished."""
        row = self.plate.rows[index]
        if row.has_result:
            self.results.show(self._target, row.identity.name)
