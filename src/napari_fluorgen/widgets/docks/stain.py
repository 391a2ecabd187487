"""*Virtual stain*: choose a stack and a model, press one button."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QHBoxLayout

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.job import Job, report
from napari_fluorgen.widgets.docks.model_card import show_card
from napari_fluorgen.widgets.docks.preview import Preview, discover
from napari_fluorgen.widgets.docks.progress import RunProgress
from napari_fluorgen.widgets.presenters import staining as words
from napari_fluorgen.widgets.presenters.layers import result_layers
from napari_fluorgen.widgets.presenters.results import find_runs, is_stack_layer, stack_of_layer
from napari_fluorgen.widgets.presenters.spatial import Spatial
from napari_fluorgen.widgets.steps import Steps, StopCheck, once

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_fluorgen.stack import StainedField

_EMPTY = (
    "There is no brightfield stack yet. Load one with the Load stacks dock, open a sample "
    "(File > Open Sample > Fluorgen virtual staining), or drop a TIFF with several focus planes."
)
_NO_MODEL = (
    "No model is installed. Install one with: fluorgen models import, or put a model package into "
    "the folder that FLUORGEN_MODEL_DIR names."
)


class StainDock(common.Dock):
    """Turns a brightfield stack into stains, nuclei and confidence maps."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.book = words.RunBook()
        self.job: Job | None = None
        self._chosen_by_user = False
        self._pixel_sizes: dict[str, float] = {}
        self._build()
        self.preview = Preview(self, self._show_preview)
        self._changed = QTimer(self)
        self._changed.setSingleShot(True)
        self._changed.setInterval(200)
        self._changed.timeout.connect(self._look_ahead)
        self._connect()
        Job(self, lambda _stop: once(discover), on_value=self._show_choices)
        self._show_layers()

    def _build(self) -> None:
        self.hint = common.text(_EMPTY)
        self.layers = common.combo("The brightfield stack to stain: an image with focus planes")
        self.models = common.combo("The model; suggested by the pixel size of the stack")
        self.card = common.button_for("Card", "What this model was trained on and how good it is")
        self.devices = common.combo("Where the networks run; only what this computer has")
        self.focus = common.combo(
            "Direction of the focus series; a wrong direction gives wrong stains"
        )
        common.fill(self.focus, words.FOCUS_CHOICES)
        self.pixel_size = QDoubleSpinBox()
        self.pixel_size.setRange(0.0, 100.0)
        self.pixel_size.setDecimals(4)
        self.pixel_size.setSingleStep(0.005)
        self.pixel_size.setSuffix(" µm")
        self.pixel_size.setSpecialValueText("as in the stack")
        self.pixel_size.setToolTip("Pixel size in micrometres, where the stack's own is wrong")
        self.warnings = common.amber()
        self.estimate = common.text()
        self.replace = QCheckBox("Replace the earlier result of this stack")
        self.replace.setToolTip("Off: the new result is added beside the earlier one")
        self.button = common.main_button("Stain", "Predict nuclei, lipids and cytoplasm")
        self.progress = RunProgress()
        self.done = common.text(selectable=True)

        model = QHBoxLayout()
        model.addWidget(self.models, 1)
        model.addWidget(self.card)
        rows = common.form()
        rows.addRow("Stack", self.layers)
        rows.addRow("Model", model)
        rows.addRow("Device", self.devices)
        self.advanced = common.Advanced()
        self.advanced.rows.addRow("Focus", self.focus)
        self.advanced.rows.addRow("Pixel size", self.pixel_size)
        self.body.addWidget(self.hint)
        self.body.addLayout(rows)
        for widget in (
            self.advanced,
            self.warnings,
            self.estimate,
            self.replace,
            self.button,
            self.progress,
            self.done,
        ):
            self.body.addWidget(widget)
        self.finish()
        self._show_running(False)

    def _connect(self) -> None:
        events = self.viewer.layers.events
        common.listen(self, events.inserted, self._show_layers)
        common.listen(self, events.removed, self._show_layers)
        common.listen(self, self.viewer.layers.selection.events.active, self._follow_selection)
        self.layers.currentIndexChanged.connect(self._layer_changed)
        self.models.currentIndexChanged.connect(self._changed.start)
        self.models.activated.connect(self._model_chosen)
        self.devices.currentIndexChanged.connect(self._changed.start)
        self.focus.currentIndexChanged.connect(self._changed.start)
        self.pixel_size.valueChanged.connect(self._changed.start)
        self.card.clicked.connect(lambda: show_card(self, self.models.currentData()))
        self.button.clicked.connect(self.start)
        self.progress.cancel.clicked.connect(self.stop)

    # choices

    def layer(self) -> Any | None:
        """Return the chosen layer while it is still in the viewer."""
        wanted = self.layers.currentData()
        return next((x for x in self.viewer.layers if str(x.unique_id) == wanted), None)

    def request(self) -> Any:
        """Build the frozen request that the dock stands for."""
        from napari_fluorgen.workflow import StainRequest

        return StainRequest.build(
            model=self.models.currentData(),
            device=self.devices.currentData() or "auto",
            focus=self.focus.currentData(),
            pixel_size_um=self.pixel_size.value() or None,
        )

    def _show_choices(self, found: tuple[list[Any], list[tuple[str, str]]]) -> None:
        models, devices = found
        self._pixel_sizes = {model.name: model.pixel_size_um for model in models}
        entries = [(f"{m.name} ({m.pixel_size_um:g} µm)", m.name) for m in models]
        common.fill(self.models, entries)
        common.fill(self.devices, devices)
        self._layer_changed()

    def _show_layers(self, _event: Any = None) -> None:
        stacks = [layer for layer in self.viewer.layers if is_stack_layer(layer)]
        before = self.layers.currentData()
        common.fill(self.layers, [(layer.name, str(layer.unique_id)) for layer in stacks])
        if self.layers.currentData() != before:
            self._layer_changed()
        self._follow_selection()
        self._enable()

    def _follow_selection(self, _event: Any = None) -> None:
        active = self.viewer.layers.selection.active
        if active is not None and is_stack_layer(active):
            common.choose(self.layers, str(active.unique_id))

    def _layer_changed(self, _index: int = 0) -> None:
        layer = self.layer()
        if layer is not None and not self._chosen_by_user and self._pixel_sizes:
            size = Spatial.of_layer(layer).pixel_size_um()
            suggestion = words.nearest_model(self._pixel_sizes, size)
            if suggestion is not None:
                common.choose(self.models, suggestion)
        self._changed.start()
        self._enable()

    def _model_chosen(self, _index: int) -> None:
        self._chosen_by_user = True

    def _enable(self) -> None:
        layer, model = self.layer(), self.models.currentData()
        common.say(self.hint, _EMPTY if layer is None else "" if self._ready(model) else _NO_MODEL)
        earlier = layer is not None and bool(self._runs_of(str(layer.unique_id)))
        self.replace.setVisible(earlier and not self.book.running)
        self.button.setEnabled(layer is not None and model is not None)
        self.card.setEnabled(model is not None)

    def _ready(self, model: Any) -> bool:
        """Whether there is a model, or the list of models is still being read."""
        return model is not None or self.devices.count() == 0

    def _runs_of(self, layer_id: str) -> list[Any]:
        return [run for run in find_runs(self.viewer.layers) if run.source_id == layer_id]

    # what will happen

    def _look_ahead(self) -> None:
        layer, model = self.layer(), self.models.currentData()
        if layer is None or model is None:
            self._show_preview((), "")
            return
        try:
            self.preview.ask(stack_of_layer(layer), self.request())
        except Exception as error:
            self._show_preview((str(error),), "")

    def _show_preview(self, warnings: tuple[str, ...], estimate: str) -> None:
        common.say(self.warnings, "\n".join(warnings))
        common.say(self.estimate, estimate)

    # the run

    def start(self) -> None:
        """Stain the chosen layer in the background."""
        layer = self.layer()
        if layer is None or self.book.running:
            return
        try:
            stack, request = stack_of_layer(layer), self.request()
        except Exception as error:
            report(error)
            return
        ticket = self.book.open(str(layer.unique_id))
        self._show_running(True)
        model = self.preview.model(request.model)

        def work(should_stop: StopCheck) -> Steps:
            from napari_fluorgen.workflow import stain_field

            return stain_field(stack, request, model=model, should_stop=should_stop)

        self.job = Job(
            self,
            work,
            on_event=self.progress.show_event,
            on_value=lambda field: self._show_result(ticket, field),
            on_finished=lambda cancelled: self._finish(ticket, cancelled),
            description=f"Virtual stain: {stack.identity.name}",
        )

    def stop(self) -> None:
        """Stop the run after the tile in work."""
        if self.job is not None:
            self.job.cancel()
            self.progress.stopping()

    def _show_result(self, ticket: words.RunTicket, field: StainedField) -> None:
        if not self.book.is_current(ticket):
            return
        source = next((x for x in self.viewer.layers if str(x.unique_id) == ticket.layer_id), None)
        if source is None:
            common.say(
                self.done,
                f"The layer of {field.identity.name} was removed while it was stained: "
                "its result was dropped.",
            )
            return
        if self.replace.isChecked():
            for run in self._runs_of(ticket.layer_id):
                for layer in run.layers.values():
                    self.viewer.layers.remove(layer)
        suffix = words.run_suffix((x.name for x in self.viewer.layers), field.identity.name)
        specs = result_layers(
            field,
            Spatial.of_layer(source).plane(),
            run=ticket.key,
            source_id=ticket.layer_id,
            suffix=suffix,
        )
        for spec in specs:
            common.add_layer(self.viewer, spec)
        self.viewer.layers.selection.active = source
        nuclei = int(field.nuclei_labels.max(initial=0))
        common.say(self.done, words.done_text(nuclei, self.progress.seconds))

    def _finish(self, ticket: words.RunTicket, cancelled: bool) -> None:
        if not self.book.is_current(ticket):
            return
        self.book.close()
        self.job = None
        self._show_running(False)
        if cancelled:
            common.say(self.done, "Stopped; nothing was added.")
        self._enable()

    def _show_running(self, running: bool) -> None:
        self.button.setVisible(not running)
        self.estimate.setVisible(not running and bool(self.estimate.text()))
        if running:
            self.progress.begin()
            common.say(self.done, "")
            self.replace.setVisible(False)
        else:
            self.progress.hide()
