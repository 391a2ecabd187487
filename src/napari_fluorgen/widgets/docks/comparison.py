"""Compare a result with a true stain: shown where a layer could be one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.job import Job, report
from napari_fluorgen.widgets.presenters import comparing as words
from napari_fluorgen.widgets.presenters.layers import key_of
from napari_fluorgen.widgets.presenters.results import LABELS, Run, layer_of_run, settled_field
from napari_fluorgen.widgets.presenters.truth import ROLES, TRUE_LABELS, plane_of
from napari_fluorgen.widgets.steps import once

if TYPE_CHECKING:
    from napari_fluorgen.workflow.comparison import Comparison

_TITLES = {role: f"True {role}" for role in ROLES} | {TRUE_LABELS: "True outlines"}
_TOOLTIPS = {role: f"Layer of the stained {role}, on the same pixels" for role in ROLES} | {
    TRUE_LABELS: "Nuclei outlined by hand; without them they are found in the true nuclei stain"
}


class ComparisonPart(QWidget):
    """A button, the layers to compare with under it, and what came out.

    Parameters
    ----------
    viewer : Viewer
        Whose layers are compared.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._run: Run | None = None
        self._working = False
        self.button = common.button_for(
            "Compare with true stain",
            "Error (mean difference over the median of the true stain; 0 is perfect), correlation, "
            "nuclei found, and a map of the differences",
        )
        self.choice = common.Advanced("True layers")
        self.truth = {role: common.combo(_TOOLTIPS[role]) for role in ROLES}
        for role, box in self.truth.items():
            self.choice.rows.addRow(_TITLES[role], box)
            box.currentIndexChanged.connect(lambda _index: self._enable())
        self.line = common.text()
        self.found = common.text()
        self.doubts = common.amber()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.button, self.choice, self.line, self.found, self.doubts):
            layout.addWidget(widget)
        self.button.clicked.connect(self.compare)
        self.hide()

    def show_run(self, run: Run | None) -> None:
        """Offer the layers that a result can be compared with; hidden where there are none."""
        other = (run and run.key) != (self._run and self._run.key)
        self._run = run
        if run is None:
            self.hide()
            return
        layers = list(self._viewer.layers)
        suggested = words.suggestions(layers, run)
        for role, box in self.truth.items():
            fresh = other or box.currentData() is None
            common.fill(box, words.options(layers, run, role), keep=not fresh)
            if fresh:
                common.choose(box, suggested.get(role))
        self.setVisible(any(box.count() > 1 for box in self.truth.values()))
        if other:
            self._say()
        self._enable()

    def chosen(self) -> dict[str, Any]:
        """Return the layers to compare with, by role."""
        layers = {key_of(layer): layer for layer in self._viewer.layers}
        keys = {role: box.currentData() for role, box in self.truth.items()}
        return {role: layers[key] for role, key in keys.items() if key in layers}

    def compare(self) -> None:
        """Compare the result with the chosen layers in the background."""
        run = self._run
        if run is None or self._working:
            return
        try:
            field, _ = settled_field(run)
        except FluorgenError as error:
            report(error)
            return
        planes = {role: plane_of(layer) for role, layer in self.chosen().items()}

        def call() -> Comparison:
            from napari_fluorgen.workflow.comparison import compare_field

            return compare_field(field, words.truth_of(field.identity.name, planes))

        self._busy("Comparing …")
        Job(
            self,
            lambda _stop: once(call),
            on_value=lambda found: self._show(run, found),
            on_finished=lambda _cancelled: self._busy(""),
        )

    def _show(self, run: Run, found: Comparison) -> None:
        if run.layers[LABELS] not in self._viewer.layers:
            return
        active = self._viewer.layers.selection.active
        for stain, score in found.stains.items():
            spec = words.difference_layer(
                run, stain, score, visible=stain == next(iter(found.stains))
            )
            layer = layer_of_run(self._viewer.layers, run.key, f"difference {stain}")
            if layer is None:
                common.add_layer(self._viewer, spec)
            else:
                layer.data = spec.data
                layer.contrast_limits = spec.kwargs["contrast_limits"]
        self._viewer.layers.selection.active = active
        if self._run is not None and self._run.key == run.key:
            self._say(words.report(found), words.doubts(found))

    def _say(self, found: str = "", doubts: str = "") -> None:
        common.say(self.found, found)
        common.say(self.doubts, doubts)

    def _busy(self, message: str) -> None:
        self._working = bool(message)
        common.say(self.line, message)
        if message:
            self._say()
        self._enable()

    def _enable(self) -> None:
        self.button.setEnabled(bool(self.chosen()) and not self._working)
