"""The calibration plot of a result, opened on request."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.error_plot import ErrorPlot
from napari_fluorgen.widgets.docks.job import Job, report
from napari_fluorgen.widgets.docks.outdated import state_of
from napari_fluorgen.widgets.docks.region_map import p_values_of
from napari_fluorgen.widgets.presenters import error_curves as words
from napari_fluorgen.widgets.presenters.layers import record_of
from napari_fluorgen.widgets.presenters.results import LABELS, Run
from napari_fluorgen.widgets.steps import once

_OWN = ""  # the entry of the model's calibration fields


class CalibrationView(QWidget):
    """Shows whether the promised error is kept: in the calibration fields, or against a truth.

    Parameters
    ----------
    viewer : Viewer
        Where true nuclei may lie.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._run: Run | None = None
        self._significance = 0.05
        self._question = 0  # counts what was asked; an older answer is dropped
        self._shown: tuple[Any, ...] = ()  # what the curves were made of
        self.advanced = common.Advanced("Calibration plot")
        self.against = common.combo(
            "The model's calibration fields, or true nuclei of this field: a labels layer, or the "
            "true nuclei stain"
        )
        self.plot = ErrorPlot()
        self.numbers = common.text()
        self.caption = common.text()
        self.advanced.rows.addRow("Against", self.against)
        for widget in (self.plot, self.numbers, self.caption):
            self.advanced.rows.addRow(widget)
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        body.addWidget(self.advanced)
        self._edits = common.Edits(self, self._ask)
        self.advanced.toggle.toggled.connect(lambda _opened: self._ask())
        self.against.currentIndexChanged.connect(lambda _index: self._ask())

    def show_run(self, run: Run | None) -> None:
        """Offer what a result can be compared with."""
        self._run = run
        self.setEnabled(run is not None and run.has_confidence)
        entries = [("Calibration fields of the model", _OWN)]
        if run is not None:
            found = words.truth_layers(self._viewer.layers, run)
            entries += [(layer.name, str(layer.unique_id)) for layer in found]
        common.fill(self.against, entries)
        self._ask()

    def mark(self, significance: float) -> None:
        """Mark the chosen significance."""
        self._significance = significance
        self._say(self.plot.curves)

    def _say(self, curves: words.ErrorCurves | None) -> None:
        self.plot.show_curves(curves, self._significance)
        common.say(self.numbers, "" if curves is None else curves.at(self._significance))

    def _ask(self) -> None:
        run = self._run
        if run is None or not run.has_confidence or not self.advanced.toggle.isChecked():
            return
        chosen = self.against.currentData()
        layer = next((x for x in self._viewer.layers if str(x.unique_id) == chosen), None)
        name = calibration_name(run)
        self._edits.follow(layer)
        asked = (run.key, chosen, name, None if layer is None else state_of(layer))
        if asked == self._shown:
            return
        self._shown = asked
        self._question += 1
        question = self._question
        p_values = p_values_of(run)
        size = record_of(run.layers[LABELS].metadata).get("pixel_size_um")

        def compute() -> words.ErrorCurves | None:
            if layer is not None:
                from napari_fluorgen.workflow.provenance import recorded_nuclei

                settings = recorded_nuclei(run.provenance, run.title)
                truth = words.true_nuclei(layer, size, settings)
                return words.curves_of_truth(p_values, truth, layer.name)
            from napari_fluorgen.confidence import Calibration
            from napari_fluorgen.models import load_model

            stored = load_model(name).calibration if name else None
            if stored is None:
                return None
            return words.curves_of_calibration(Calibration.from_arrays(stored))

        def show(curves: words.ErrorCurves | None) -> None:
            if question != self._question:
                return
            self._say(curves)
            common.say(self.caption, _NOTHING if curves is None else curves.caption)

        def error(problem: Exception) -> None:
            if question != self._question:
                return
            self._say(None)
            if isinstance(problem, FluorgenError):
                common.say(self.caption, str(problem))
            else:
                report(problem)

        common.say(self.caption, "Computing …")
        Job(self, lambda _stop: once(compute), on_value=show, on_error=error)


_NOTHING = (
    "This model's calibration keeps nothing by field. Choose true nuclei of this field above, or "
    "recalibrate the model with stained fields."
)


def calibration_name(run: Run) -> str | None:
    """Name of the model whose calibration judged a result."""
    provenance = run.provenance
    return provenance.get("calibration") or (provenance.get("model") or {}).get("name")
