"""*Train*: choose pairs and a model to start from, press one button, get a model of one's own."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.stack import STAINS
from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.installed import installed
from napari_fluorgen.widgets.docks.job import Job, report
from napari_fluorgen.widgets.docks.model_card import show_card
from napari_fluorgen.widgets.docks.preview import discover
from napari_fluorgen.widgets.steps import Steps, StopCheck, once
from napari_fluorgen.widgets.train import report as words
from napari_fluorgen.widgets.train.controls import TrainControls
from napari_fluorgen.widgets.train.found import FoundPairs, found_in_stacks, look_at_folder
from napari_fluorgen.widgets.train.pair_controls import PairControls
from napari_fluorgen.widgets.train.pairs import stacks_of_pairs
from napari_fluorgen.widgets.train.progress import TrainProgressView
from napari_fluorgen.widgets.train.views import FigureTable
from napari_fluorgen.widgets.train.work import train_steps

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_fluorgen.workflow.fine_tuning_request import FineTuneRequest, FineTuneResult

_LOOKING = "Looking for models and devices …"


class TrainDock(common.Dock):
    """Fine-tunes an installed model on pairs and installs what comes out."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.job: Job | None = None
        self._enough = threading.Event()  # set when the best so far is good enough
        self._found: FoundPairs | None = None  # what lies in the chosen folder
        self._result: FineTuneResult | None = None
        self._question = 0  # counts what was asked; an older answer is dropped
        self._discovered = False
        self._build()
        self._connect()
        self._discover()
        self._follow()
        self._show_pairs()

    def _build(self) -> None:
        self.hint = common.text(words.NO_PAIRS)
        self.pairs = PairControls()
        self.found = common.text()
        self.controls = TrainControls()
        self.warnings = common.amber()
        self.button = common.main_button("Train", "Learn from the pairs and install the new model")
        self.progress = TrainProgressView()
        self.done = common.text()
        self.figures = FigureTable()
        self.basis = common.text()
        self.notes = common.amber()
        for widget in (
            self.hint,
            self.pairs,
            self.found,
            self.controls,
            self.warnings,
            self.button,
            self.done,
            self.figures,
            self.basis,
            self.notes,
            self.progress,
        ):
            self.body.addWidget(widget)
        self.finish()

    def _connect(self) -> None:
        common.listen_layers(self.viewer.layers, self._follow)
        installed.changed.connect(self._discover)
        self.pairs.changed.connect(self._show_pairs)
        self.controls.changed.connect(self._enable)
        self.controls.card.clicked.connect(lambda: show_card(self, self.controls.model))
        self.button.clicked.connect(self.start)
        self.progress.cancel.clicked.connect(self.stop)

    @property
    def running(self) -> bool:
        """Whether a training is under way."""
        return self.job is not None

    # choices

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
        self._show_pairs()

    def _show_no_choices(self, error: Exception) -> None:
        self._discovered = True
        self._enable()
        report(error)

    def _follow(self) -> None:
        self.pairs.follow(self.viewer.layers)

    def _show_pairs(self) -> None:
        """Say what the chosen pairs are, and suggest a model that suits them."""
        self._question += 1
        self._found = None
        common.say(self.found, "")
        common.say(self.warnings, "")
        if self.pairs.uses_layers:
            self._show_layers()
        elif (path := self.pairs.path) is not None:
            self._look_at(path)
        self._enable()

    def _show_layers(self) -> None:
        chosen = self.pairs.book.pairs
        if not chosen:
            return
        try:
            stacks = stacks_of_pairs(chosen, copy=False)
        except FluorgenError as error:
            common.say(self.warnings, str(error))
            return
        self._show_found(found_in_stacks(stacks))

    def _look_at(self, path: Path) -> None:
        question = self._question
        common.say(self.found, f"Looking into {path.name} …")

        def value(found: FoundPairs) -> None:
            if question == self._question:
                self._show_found(found)

        def error(problem: Exception) -> None:
            if question != self._question:
                return
            common.say(self.found, "")
            if isinstance(problem, FluorgenError):
                common.say(self.warnings, str(problem))
            else:
                report(problem)

        Job(self, lambda _stop: once(lambda: look_at_folder(path)), on_value=value, on_error=error)

    def _show_found(self, found: FoundPairs) -> None:
        self._found = found
        common.say(self.found, found.text)
        common.say(self.warnings, "\n".join(found.doubts))
        self.controls.suggest(found.pixel_size_um)
        self._enable()

    def _enable(self) -> None:
        chosen = bool(self.pairs.book.pairs) if self.pairs.uses_layers else self.pairs.path
        missing = words.missing_package()
        if missing:
            hint = missing
        elif not chosen:
            hint = words.NO_PAIRS
        elif self.controls.model is None:
            hint = words.NO_MODEL if self._discovered else _LOOKING
        else:
            hint = ""
        common.say(self.hint, hint)
        self.button.setEnabled(not hint and not self.running)

    # the run

    def start(self) -> None:
        """Train on the chosen pairs in the background."""
        if self.running:
            return
        try:
            layers = self.pairs.uses_layers
            request = self.controls.request(None if layers else self.pairs.path)
            stacks = stacks_of_pairs(self.pairs.book.pairs) if layers else None
        except (FluorgenError, OSError) as error:
            report(error)
            return
        self._enough.clear()
        self._result = None
        self._show_running(True, request)
        enough = self._enough.is_set

        def work(should_stop: StopCheck) -> Steps:
            return train_steps(request, stacks, enough, should_stop)

        self.job = Job(
            self,
            work,
            on_event=self.progress.show_events,
            on_value=self._show_result,
            on_error=lambda error: report(words.explained(error)),
            on_finished=self._finish,
            description=f"Train: {request.name}",
        )

    def stop(self) -> None:
        """Stop learning and keep the best so far; asked again, keep nothing."""
        if self.job is None:
            return
        if not self._enough.is_set():
            self._enough.set()
            self.progress.stopping()
        else:
            self.job.cancel()
            self.progress.discarding()

    def _show_result(self, result: FineTuneResult) -> None:
        self._result = result
        common.say(self.done, words.done_text(result))
        self.figures.show_figures(words.figures(result.before, result.after))
        common.say(self.basis, words.held_out_text(result.fields))
        common.say(self.notes, "\n".join(result.notes))
        self.controls.next_name(result.name)

    def _finish(self, cancelled: bool) -> None:
        self.job = None
        self._show_running(False)
        if self._result is None and (cancelled or self._enough.is_set()):
            common.say(self.done, "Stopped; nothing was kept.")
        installed.changed.emit()
        self._enable()

    def _show_running(self, running: bool, request: FineTuneRequest | None = None) -> None:
        # While it learns, curve and preview take the place of the settings.
        for widget in (self.pairs, self.controls, self.button):
            widget.setVisible(not running)
        self.warnings.setVisible(not running and bool(self.warnings.text()))
        if request is not None:
            stains = self._found.stains if self._found else STAINS
            self.progress.begin(stains, request.minutes, words.running_text(request))
            for label in (self.done, self.basis, self.notes):
                common.say(label, "")
            self.figures.show_figures(())
        if not running:
            self.progress.end(keep_curve=self._result is not None)
