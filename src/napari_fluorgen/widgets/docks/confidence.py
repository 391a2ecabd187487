"""*Confidence*: which nuclei can be counted, where the pixels are certain, and whether it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QFrame

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.stack import StainedField
from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.calibration_view import CalibrationView
from napari_fluorgen.widgets.docks.job import Job, report
from napari_fluorgen.widgets.docks.recalibrate import Recalibrate
from napari_fluorgen.widgets.docks.region_map import RegionMap, p_values_of
from napari_fluorgen.widgets.docks.review import Review
from napari_fluorgen.widgets.presenters import confidence as words
from napari_fluorgen.widgets.presenters import recalibrating
from napari_fluorgen.widgets.presenters.layers import WIDTH, record_of, result_layers
from napari_fluorgen.widgets.presenters.results import LABELS, Run, find_runs, settled_field
from napari_fluorgen.widgets.presenters.review import nuclei_columns
from napari_fluorgen.widgets.presenters.spatial import Spatial
from napari_fluorgen.widgets.steps import once

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_fluorgen.widgets.presenters.recalibrating import Recalibrated

_EMPTY = (
    "Stain a stack first: its result appears here, with its nuclei outlined by how far they can "
    "be trusted and a map of where they are certain."
)
_NO_MAPS = (
    "The model of this result carries no calibration, so there is no confidence map and no nucleus "
    "is trusted by itself. Recalibrate the model with stained fields of yours, or review the "
    "nuclei one by one."
)
_RULE_MS = 150


class ConfidenceDock(common.Dock):
    """Which nuclei and pixels of a result can be believed, and what the user says of them."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._runs: dict[str, Run] = {}
        self._question = 0  # counts what was asked; an older answer is dropped
        self._build()
        self._rule = QTimer(self)
        self._rule.setSingleShot(True)
        self._rule.setInterval(_RULE_MS)
        self._rule.timeout.connect(self._apply_rule)
        self.results.currentIndexChanged.connect(self._run_changed)
        self.map.slider.valueChanged.connect(self._significance_changed)
        self.recalibrate.made.connect(self._use_calibration)
        self.review.bind_keys(self)
        common.listen_layers(self.viewer.layers, self._show_runs)
        self._show_runs()

    def _build(self) -> None:
        self.hint = common.text(_EMPTY)
        self.results = common.combo("The result whose nuclei are judged")
        self.verdict = common.red()
        self.caution = common.amber()
        self.recalibrate = Recalibrate()
        self.review = Review(self.viewer)
        self.map = RegionMap(self.viewer)
        self.widths: dict[str, QCheckBox] = {}
        for stain in ("lipids", "cytoplasm"):
            box = self.widths[stain] = QCheckBox(f"Show width of the {stain} intervals")
            box.setToolTip(
                "How far the true intensity may lie from the predicted one, in counts: 90 % of "
                "the true pixels lie within. Wide where the prediction is a guess"
            )
            box.toggled.connect(lambda on, stain=stain: self._show_width(stain, on))
        self.calibration = CalibrationView(self.viewer)
        rows = common.form()
        rows.addRow("Result", self.results)
        self.body.addWidget(self.hint)
        self.body.addLayout(rows)
        self.body.addWidget(self.verdict)
        self.body.addWidget(self.review)
        self.body.addWidget(_rule())
        self.body.addWidget(self.map)
        for box in self.widths.values():
            self.body.addWidget(box)
        self.body.addWidget(self.caution)
        self.body.addWidget(_rule())
        self.body.addWidget(self.calibration)
        self.finish()

    # the chosen result

    def run(self) -> Run | None:
        """Return the chosen result."""
        return self._runs.get(self.results.currentData())

    def map_layer(self) -> Any | None:
        """Return the layer with the regions of the chosen result, if there is one."""
        return self.map.layer()

    def _show_runs(self, _event: Any = None) -> None:
        before = self._runs
        chosen = self.results.currentData()
        self._runs = {run.key: run for run in find_runs(self.viewer.layers)}
        common.fill(self.results, [(run.title, run.key) for run in self._runs.values()])
        added = [key for key in self._runs if key not in before]
        if added:
            common.choose(self.results, added[0])
        run = self.run()
        if run is None or chosen != run.key or before.get(run.key) != run:
            self._run_changed()
        else:
            self.map.name_button()
            self.calibration.show_run(run)

    def _run_changed(self, _index: int = 0) -> None:
        run = self.run()
        usable = run is not None and run.has_confidence
        common.say(self.hint, _EMPTY if run is None else "" if usable else _NO_MAPS)
        self._place_recalibrate(run)
        self._show_verdict(run)
        for stain, box in self.widths.items():
            layer = None if run is None else run.layers.get(f"{WIDTH}{stain}")
            box.setVisible(layer is not None)
            box.blockSignals(True)
            box.setChecked(layer is not None and layer.visible)
            box.blockSignals(False)
        self.review.show_run(run)
        self.map.show_run(run)
        self.calibration.show_run(run)
        self._rule.start()

    def _place_recalibrate(self, run: Run | None) -> None:
        """Put the button below the red line, or last where nothing asks for it."""
        asked = run is not None and (run.verdict is not None or not run.has_confidence)
        place = self.body.indexOf(self.verdict) + 1 if asked else self.body.count() - 1
        if self.body.indexOf(self.recalibrate) != place:
            self.body.removeWidget(self.recalibrate)
            place = self.body.indexOf(self.verdict) + 1 if asked else self.body.count() - 1
            self.body.insertWidget(place, self.recalibrate)
        name = (run.provenance.get("model") or {}).get("name") if run is not None else None
        self.recalibrate.show_model("" if run is None else run.key, name)
        self.recalibrate.setVisible(run is not None)

    def _show_verdict(self, run: Run | None) -> None:
        verdict = None if run is None else run.verdict
        common.say(self.verdict, verdict or "")
        simulated = run is not None and run.has_confidence and run.simulated
        own = run is not None and "calibration" in run.provenance
        common.say(self.caution, words.SIMULATED if simulated and not verdict and not own else "")

    def _show_width(self, stain: str, on: bool) -> None:
        run = self.run()
        layer = None if run is None else run.layers.get(f"{WIDTH}{stain}")
        if layer is not None:
            layer.visible = on

    # nuclei of results whose calibration knows pixels only

    def _significance_changed(self, _value: int = 0) -> None:
        self.calibration.mark(self.map.significance)
        self._rule.start()

    def _apply_rule(self) -> None:
        """Judge the nuclei by their pixels where the model's calibration knows no nuclei."""
        run = self.run()
        if run is None or not run.has_confidence:
            return
        layer = run.layers[LABELS]
        if "p_value" in layer.features and np.isfinite(layer.features["p_value"]).any():
            return
        self._question += 1
        question, significance = self._question, self.map.significance
        p_values, labels = p_values_of(run), np.array(layer.data)

        def judge() -> Any:
            from napari_fluorgen.confidence import object_confidence

            return object_confidence(labels, p_values, significance=significance)

        def show(table: Any) -> None:
            if question == self._question and run.key in self._runs:
                layer.features = words.merge_features(layer.features, table)

        Job(self, lambda _stop: once(judge), on_value=show)

    # another calibration

    def _use_calibration(self, key: str, made: Recalibrated) -> None:
        """Judge the result again by a calibration that was just made."""
        run = self._runs.get(key)
        if run is None:
            return
        try:
            field, numbers = settled_field(run)
        except FluorgenError as error:
            report(error)
            return

        def show(judged: StainedField) -> None:
            if key in self._runs:
                self._show_judged(self._runs[key], judged, numbers)
                self.recalibrate.tell_judged(run.title)

        Job(
            self,
            lambda _stop: once(lambda: recalibrating.judge_again(field, made.name)),
            on_value=show,
        )

    def _show_judged(self, run: Run, judged: StainedField, numbers: NDArray[np.int64]) -> None:
        """Put new p-values, decisions and verdict into the layers of a result.

        `numbers` are the labels that the judged nuclei have in the layer.
        """
        labels = run.layers[LABELS]
        for layer in run.layers.values():
            record_of(layer.metadata)["provenance"] = judged.provenance
        record_of(labels.metadata)["verdict"] = judged.verdict
        # What a person has decided meanwhile counts.
        reviewed = nuclei_columns(labels, numbers)["reviewed"]
        table = {**judged.nuclei, "label": numbers, "reviewed": reviewed}
        labels.features = words.merge_features(labels.features, table)
        specs = result_layers(judged, Spatial.of_layer(labels), run=run.key)
        for spec in specs:
            role = record_of(spec.kwargs["metadata"])["role"]
            if not role.startswith(("p-value", WIDTH)):
                continue
            if role in run.layers:
                run.layers[role].data = spec.data
                run.layers[role].contrast_limits = spec.kwargs["contrast_limits"]
            else:
                common.add_layer(self.viewer, spec)
        for role, layer in run.layers.items():
            if role.startswith(WIDTH) and role.removeprefix(WIDTH) not in judged.widths:
                self.viewer.layers.remove(layer)
        self._show_runs()
        self._run_changed()


def _rule() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    return line
