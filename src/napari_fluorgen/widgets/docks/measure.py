"""*Measure & export*: tables by nucleus and cell, and the hand-over to CellProfiler."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLineEdit

from napari_fluorgen.errors import Cancelled, FluorgenError, InputError
from napari_fluorgen.stack import StainedField
from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.cellprofiler import EngineChoice
from napari_fluorgen.widgets.docks.comparison import ComparisonPart
from napari_fluorgen.widgets.docks.job import Job, report
from napari_fluorgen.widgets.docks.object_layers import show_objects
from napari_fluorgen.widgets.docks.outdated import Outdated, state_of
from napari_fluorgen.widgets.presenters import measuring as words
from napari_fluorgen.widgets.presenters.confidence import merge_features
from napari_fluorgen.widgets.presenters.results import (
    LABELS,
    Run,
    find_runs,
    settled_field,
)
from napari_fluorgen.widgets.steps import Steps, StopCheck, once

if TYPE_CHECKING:
    from napari.viewer import Viewer

_EMPTY = (
    "Stain a stack first, or load results with the Load stacks dock: then nuclei and cells can be "
    "measured here and handed to CellProfiler."
)


@dataclass(frozen=True)
class _Order:
    """A field to work on: its run, the labels of its nuclei in the layer, where to write."""

    run: Run
    field: StainedField
    numbers: NDArray[np.int64]
    state: int
    folder: Path


class MeasureDock(common.Dock):
    """Measures a result and writes what CellProfiler opens."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._runs: dict[str, Run] = {}
        self._written = Path()
        self._working = False
        self._build()
        self.results.currentIndexChanged.connect(self._run_changed)
        self.browse.clicked.connect(self._choose_folder)
        self.button.clicked.connect(self.measure)
        self.export_button.clicked.connect(self.export)
        self.save_button.clicked.connect(self.save)
        self.open_button.clicked.connect(self._open_folder)
        self.engine.changed.connect(self._enable)
        common.listen_layers(self.viewer.layers, self._show_runs)
        self._show_runs()

    def _build(self) -> None:
        self.hint = common.text(_EMPTY)
        self.results = common.combo("The result to measure; edited nuclei outlines count")
        self.objects: dict[str, QCheckBox] = {}
        for name, title, tooltip in words.OBJECTS:
            box = QCheckBox(title)
            box.setToolTip(tooltip)
            box.setChecked(True)
            self.objects[name] = box
        self.objects["nuclei"].setEnabled(False)
        self.trusted = QCheckBox("Only trusted nuclei")
        self.engine = EngineChoice()
        self.folder = QLineEdit(str(Path.home() / "fluorgen"))
        self.folder.setToolTip(
            "New folders are made inside; nothing that exists is ever overwritten"
        )
        self.browse = common.button_for("…", "Choose where tables and exports are written")
        self.browse.setFixedWidth(32)
        self.button = common.main_button(
            "Measure", "Fill napari's Features table and write CSV tables"
        )
        self.export_button = common.button_for(
            "Export for CellProfiler",
            "Images, masks, LoadData table and a pipeline that runs as is",
        )
        self.save_button = common.button_for(
            "Save result", "Stains, masks and confidence maps as TIFF, with the run's record"
        )
        self.status = common.text()
        self.outdated = Outdated()
        self.done = common.text()
        self.open_button = common.button_for("Open folder", "Shows what was written")
        self.open_button.hide()
        self.comparison = ComparisonPart(self.viewer)
        rows = common.form()
        rows.addRow("Result", self.results)
        self.body.addWidget(self.hint)
        self.body.addLayout(rows)
        for pair in (("nuclei", "cells"), ("cytoplasm", "droplets")):
            line = QHBoxLayout()
            for name in pair:
                line.addWidget(self.objects[name], 1)
            self.body.addLayout(line)
        self.body.addWidget(self.trusted)
        self.body.addWidget(self.engine)
        where = QHBoxLayout()
        where.addWidget(self.folder, 1)
        where.addWidget(self.browse)
        rows = common.form()
        rows.addRow("Write to", where)
        self.body.addLayout(rows)
        self.body.addWidget(self.button)
        second = QHBoxLayout()
        second.addWidget(self.export_button, 3)
        second.addWidget(self.save_button, 2)
        self.body.addLayout(second)
        self.body.addWidget(self.status)
        self.body.addWidget(self.outdated)
        self.body.addWidget(self.done)
        self.body.addWidget(self.open_button)
        self.body.addWidget(self.comparison)
        self.finish()

    # choices

    def run(self) -> Run | None:
        """Return the chosen result."""
        return self._runs.get(self.results.currentData())

    def chosen(self) -> tuple[str, ...]:
        """Return the kinds of object to measure."""
        return tuple(name for name, box in self.objects.items() if box.isChecked())

    def _show_runs(self) -> None:
        before = set(self._runs)
        self._runs = {run.key: run for run in find_runs(self.viewer.layers)}
        common.fill(self.results, [(run.title, run.key) for run in self._runs.values()])
        added = [key for key in self._runs if key not in before]
        if added:
            common.choose(self.results, added[0])
        self._run_changed()

    def _run_changed(self, _index: int = 0) -> None:
        run = self.run()
        common.say(self.hint, "" if run else _EMPTY)
        self.comparison.show_run(run)
        self.outdated.show_run(run)
        self._enable()

    def _enable(self) -> None:
        for button in (self.button, self.export_button, self.save_button):
            button.setEnabled(self.run() is not None and not self._working)
        if not self.engine.ready:
            self.button.setEnabled(False)
        real = self.engine.real
        self.trusted.setEnabled(not real)
        self.trusted.setToolTip(words.ALL_IN_CELLPROFILER if real else words.TRUSTED_ONLY)
        if real:
            self.trusted.setChecked(False)

    def _choose_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Write to", self.folder.text())
        if chosen:
            self.folder.setText(chosen)

    # work

    def measure(self) -> None:
        """Measure the chosen result in the background."""
        run, objects, trusted = self.run(), self.chosen(), self.trusted.isChecked()
        if self.engine.real:
            self._measure_in_cellprofiler(run)
            return

        def call(order: _Order) -> Any:
            from napari_fluorgen.measurement import measure_field, write_tables

            measurements = measure_field(order.field, objects=objects, trusted_only=trusted)
            order.folder.parent.mkdir(parents=True, exist_ok=True)
            write_tables(measurements, order.folder)
            return measurements

        def show(order: _Order, measurements: Any) -> None:
            self._show_measurements(order, measurements, trusted=trusted)

        self._work(run, "measurements", "Measuring …", call, show)

    def _measure_in_cellprofiler(self, run: Run | None) -> None:
        order = self._prepare(run, "measurements")
        if order is None:
            return
        field, folder = order.field, order.folder
        found, objects = self.engine.cellprofiler, self.chosen()

        def work(stop: StopCheck) -> Steps:
            from napari_fluorgen.workflow.measuring_cellprofiler import (
                measure_with_cellprofiler,
                read_back,
            )

            program = found.program if found else None
            try:
                result = yield from measure_with_cellprofiler(
                    [field], folder, program=program, should_stop=stop
                )
            except Cancelled:
                shutil.rmtree(folder, ignore_errors=True)  # a new one, as _prepare gives it
                raise
            return read_back(field, result, objects)

        self._busy("CellProfiler measures, which takes a minute or two.")
        self.engine.work(
            work,
            "Exporting …",
            lambda measurements: self._show_measurements(order, measurements),
            self._failed,
            lambda: self._busy(""),
        )

    def export(self) -> None:
        """Write the chosen result as a CellProfiler project in the background."""

        def call(order: _Order) -> Any:
            from napari_fluorgen.measurement import export_cellprofiler

            order.folder.parent.mkdir(parents=True, exist_ok=True)
            return export_cellprofiler([order.field], order.folder)

        self._work(
            self.run(),
            "cellprofiler",
            "Exporting …",
            call,
            lambda _order, summary: self._say_done(summary.how_to_open, summary.folder),
        )

    def save(self) -> None:
        """Write stains, masks and confidence of the chosen result in the background."""

        def call(order: _Order) -> Any:
            from napari_fluorgen.io.results import write_field

            order.folder.parent.mkdir(parents=True, exist_ok=True)
            return len(write_field(order.field, order.folder))

        self._work(
            self.run(),
            "stains",
            "Saving …",
            call,
            lambda order, files: self._say_done(
                words.saved_text(files, order.folder), order.folder
            ),
        )

    def _work(
        self,
        run: Run | None,
        kind: str,
        message: str,
        call: Callable[[_Order], Any],
        show: Callable[[_Order, Any], None],
    ) -> None:
        order = self._prepare(run, kind)
        if order is None:
            return
        self._busy(message)
        Job(
            self,
            lambda _stop: once(lambda: call(order)),
            on_value=lambda value: show(order, value),
            on_error=self._failed,
            on_finished=lambda _cancelled: self._busy(""),
        )

    def _prepare(self, run: Run | None, kind: str) -> _Order | None:
        """Return the field and a new folder for it, or None where nothing can be done."""
        if run is None or self._working:
            return None
        try:
            field, numbers = settled_field(run)
            folder = words.target_folder(self.folder.text(), field.identity.name, kind)
        except FluorgenError as error:
            report(error)
            return None
        return _Order(run, field, numbers, state_of(run.layers[LABELS]), folder)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, OSError):
            error = InputError(
                f"{self.folder.text()} cannot be written to ({error.strerror}): choose another "
                "folder under 'Write to'."
            )
        report(error)

    def _busy(self, message: str) -> None:
        common.say(self.status, message)
        self._working = bool(message)
        self._enable()
        if message:
            common.say(self.done, "")
            self.open_button.hide()

    def _say_done(self, message: str, folder: Path) -> None:
        common.say(self.done, message)
        self._written = folder
        self.open_button.show()

    def _open_folder(self) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._written)))

    def _show_measurements(
        self, order: _Order, measurements: Any, *, trusted: bool = False
    ) -> None:
        run, images = order.run, measurements.labels
        counts = {words.plain_name(name): int(x.max(initial=0)) for name, x in images.items()}
        self._say_done(words.counts_text(counts, order.folder), order.folder)
        labels = run.layers[LABELS]
        if labels not in self.viewer.layers:
            return
        nuclei = words.layer_features(measurements.tables["Nuclei"])
        # Tables number the nuclei that were measured, the field all, the layer as the user left it.
        measured = measurements.nuclei_ids[nuclei.pop("index") - 1]
        table = {"label": order.numbers[measured - 1], **nuclei}
        features = self.outdated.without_earlier(labels)
        labels.features = merge_features(features, table, some=trusted)
        self.outdated.remember(labels, tuple(nuclei), order.state)
        show_objects(self.viewer, run, measurements)
        self.viewer.layers.selection.active = labels
        self.outdated.show_run(self.run())
