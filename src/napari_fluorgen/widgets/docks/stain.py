"""*Virtual stain*: choose a stack and a model, press one button."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QCheckBox

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.installed import installed
from napari_fluorgen.widgets.docks.job import Job, report
from napari_fluorgen.widgets.docks.model_card import show_card
from napari_fluorgen.widgets.docks.plate_button import PlateButton
from napari_fluorgen.widgets.docks.preview import Preview, discover
from napari_fluorgen.widgets.docks.progress import RunProgress
from napari_fluorgen.widgets.docks.run_layers import show_run
from napari_fluorgen.widgets.docks.stain_controls import StainControls
from napari_fluorgen.widgets.presenters import staining as words
from napari_fluorgen.widgets.presenters.layers import STAINING, record_of
from napari_fluorgen.widgets.presenters.results import (
    corrections,
    find_runs,
    is_stack_layer,
    stack_of_layer,
)
from napari_fluorgen.widgets.presenters.spatial import Spatial
from napari_fluorgen.widgets.steps import Steps, StopCheck, once

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_fluorgen.stack import BrightfieldStack, StainedField

_EMPTY = (
    "There is no brightfield stack yet. Load one with the Load stacks dock, open a sample "
    "(File > Open Sample > Fluorgen virtual staining), or drop a TIFF with several focus planes."
)
_LOOKING = "Looking for models and devices …"
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
        self._discovered = False
        self._said: tuple[str, ...] = ()  # warnings shown before the click
        self._ears = common.Ears()
        self._warm = False  # whether the engine has started in this session
        self._build()
        self.preview = Preview(self, self._show_preview)
        self._changed = QTimer(self)
        self._changed.setSingleShot(True)
        self._changed.setInterval(200)
        self._changed.timeout.connect(self._look_ahead)
        self._connect()
        self._discover()
        self._show_layers()

    def _build(self) -> None:
        self.hint = common.text(_EMPTY)
        self.controls = StainControls()
        self.warnings = common.amber()
        self.estimate = common.text()
        self.replace = QCheckBox("Replace the earlier result of this stack")
        self.replace.setToolTip("Off: the new result is added beside the earlier one")
        self.button = common.main_button("Stain", "Predict nuclei, lipids and cytoplasm")
        self.plate = PlateButton(self.viewer, self.layer, self._task)
        self.progress = RunProgress()
        self.done = common.text()
        self.notes = common.amber()
        for widget in (
            self.hint,
            self.controls,
            self.warnings,
            self.estimate,
            self.replace,
            self.button,
            self.plate,
            self.progress,
            self.done,
            self.notes,
        ):
            self.body.addWidget(widget)
        self.finish()

    def _connect(self) -> None:
        common.listen_layers(self.viewer.layers, self._show_layers)
        common.listen(self.viewer.layers.selection.events.active, self._follow_selection)
        installed.changed.connect(self._discover)
        self.controls.layers.currentIndexChanged.connect(self._layer_changed)
        self.controls.changed.connect(self._changed.start)
        self.controls.changed.connect(self.plate.pass_on)
        self.controls.card.clicked.connect(lambda: show_card(self, self.controls.model))
        self.controls.copy.clicked.connect(self._copy_call)
        self.button.clicked.connect(self.start)
        self.progress.cancel.clicked.connect(self.stop)

    # choices

    def layer(self) -> Any | None:
        """Return the chosen layer while it is still in the viewer."""
        return self._layer_with(self.controls.layers.currentData())

    def _layer_with(self, layer_id: str | None) -> Any | None:
        return next((x for x in self.viewer.layers if str(x.unique_id) == layer_id), None)

    def _discover(self) -> None:
        """Read the list of models and devices, in the background."""
        Job(
            self,
            lambda _stop: once(discover),
            on_value=self._show_choices,
            on_error=self._show_no_choices,
        )

    def _show_choices(self, found: tuple[list[Any], list[tuple[str, str]]]) -> None:
        self._discovered = True
        self.controls.offer(*found)
        self._layer_changed()

    def _show_no_choices(self, error: Exception) -> None:
        self._discovered = True
        self._enable()
        report(error)

    def _show_layers(self) -> None:
        stacks = {str(x.unique_id): x.name for x in self.viewer.layers if is_stack_layer(x)}
        box = self.controls.layers
        before, listed = box.currentData(), {box.itemData(i) for i in range(box.count())}
        common.fill(box, [(name, key) for key, name in stacks.items()])
        if listed != stacks.keys():  # a new name is no reason to choose another stack
            self._follow_selection()
        if box.currentData() != before:
            self._layer_changed()
        self._enable()

    def _follow_selection(self) -> None:
        active = self.viewer.layers.selection.active
        if active is not None and is_stack_layer(active):
            common.choose(self.controls.layers, str(active.unique_id))

    def _layer_changed(self, _index: int = 0) -> None:
        self._ears.forget()
        layer = self.layer()
        if layer is not None:
            for event in (layer.events.scale, layer.events.units):
                self._ears.hear(event, self._suit_layer)
        self._suit_layer()

    def _suit_layer(self) -> None:
        """Suggest the model for the stack as it is now, and look ahead again."""
        layer = self.layer()
        if layer is not None:
            self.controls.suggest(Spatial.of_layer(layer).pixel_size_um())
        self.plate.pass_on()
        self._changed.start()
        self._enable()

    def _enable(self) -> None:
        layer, model = self.layer(), self.controls.model
        no_model = _NO_MODEL if self._discovered else _LOOKING
        common.say(self.hint, _EMPTY if layer is None else no_model if model is None else "")
        earlier = layer is not None and bool(self._runs_of(str(layer.unique_id)))
        self.replace.setVisible(earlier and not self.book.running)
        self.button.setEnabled(layer is not None and model is not None)
        self.controls.card.setEnabled(model is not None)
        self.controls.copy.setEnabled(layer is not None and model is not None)
        self.plate.follow(ready=model is not None)

    def _runs_of(self, layer_id: str) -> list[Any]:
        return [run for run in find_runs(self.viewer.layers) if run.source_id == layer_id]

    def _task(self, layer: Any) -> tuple[BrightfieldStack, Any]:
        """Return the stack of a layer and the request that the settings stand for."""
        stack, request = stack_of_layer(layer), self.controls.request()
        if request.pixel_size_um is not None:
            stack = replace(stack, pixel_size_um=(request.pixel_size_um, request.pixel_size_um))
        return stack, request

    # what a run would do

    def _look_ahead(self) -> None:
        layer = self.layer()
        if layer is None or self.controls.model is None:
            self._show_preview((), "")
            return
        try:
            stack, request = self._task(layer)
            doubts = words.unit_doubts(layer.scale[-2:], stack.pixel_size_um)
            self.preview.ask(stack, request, doubts)
        except FluorgenError as error:
            self._show_preview((str(error),), "")

    def _show_preview(self, warnings: tuple[str, ...], estimate: str) -> None:
        self._said = warnings
        common.say(self.warnings, "\n".join(warnings))
        common.say(self.estimate, words.first_run_text(estimate, warm=self._warm))
        self.estimate.setVisible(bool(estimate) and not self.book.running)

    def _copy_call(self) -> None:
        layer = self.layer()
        if layer is None or self.controls.model is None:
            return
        try:
            stack, request = self._task(layer)
            corrected = corrections(layer)
        except FluorgenError as error:
            report(error)
            return
        saved = Path(stack.source).exists()
        call = words.python_call(stack, request, corrected=corrected, saved=saved)
        QApplication.clipboard().setText(call)

    # the run

    def start(self) -> None:
        """Stain the chosen layer in the background."""
        layer = self.layer()
        if layer is None or self.book.running:
            return
        try:
            stack, request = self._task(layer)
        except FluorgenError as error:
            report(error)
            return
        ticket = self.book.open(str(layer.unique_id))
        record = record_of(layer.metadata)
        record[STAINING] = True
        said = self._said
        self._show_running(True)
        model = self.preview.model(request.model)

        def work(should_stop: StopCheck) -> Steps:
            from napari_fluorgen.workflow import stain_field

            return stain_field(stack, request, model=model, should_stop=should_stop)

        def unmark() -> None:
            record.pop(STAINING, None)

        def finished(cancelled: bool) -> None:
            unmark()
            self._finish(ticket, cancelled)

        self.job = Job(
            self,
            work,
            on_event=self.progress.show_event,
            on_value=lambda field: self._show_result(ticket, field, said),
            on_finished=finished,
            on_abandoned=unmark,
            description=f"Virtual stain: {stack.identity.name}",
        )

    def stop(self) -> None:
        """Stop the run after the tile in work."""
        if self.job is not None:
            self.job.cancel()
            self.progress.stopping()

    def _show_result(
        self, ticket: words.RunTicket, field: StainedField, said: tuple[str, ...]
    ) -> None:
        if not self.book.is_current(ticket):
            return
        source = self._layer_with(ticket.layer_id)
        if source is None:
            common.say(self.done, words.dropped_text(field.identity.name))
            return
        shown = show_run(self.viewer, source, ticket, field, replace=self.replace.isChecked())
        nuclei = int(field.nuclei_labels.max(initial=0))
        self._warm = True
        self._changed.start()  # the estimate is better now
        common.say(self.done, words.done_text(nuclei, self.progress.seconds, shown=shown))
        news = [x for x in field.provenance.get("messages", ()) if x not in said]
        common.say(self.notes, "\n".join(news))

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
            common.say(self.notes, "")
            self.replace.setVisible(False)
        else:
            self.progress.hide()
