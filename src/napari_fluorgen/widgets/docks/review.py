"""Nuclei outlined by decision, and the walk through those that a person has to judge."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.job import Job, report
from napari_fluorgen.widgets.docks.region_map import add_map
from napari_fluorgen.widgets.presenters import review as words
from napari_fluorgen.widgets.presenters.layers import record_of
from napari_fluorgen.widgets.presenters.outlines import Outlines, find_outlines
from napari_fluorgen.widgets.presenters.results import LABELS, Run, layer_of_run
from napari_fluorgen.widgets.steps import once

_ROLE = "decisions"
_ON_SCREEN = (50.0, 300.0)  # pixels between which a nucleus is neither too small nor too large
_COMFORTABLE = 110.0


class Review(QWidget):
    """Counts the nuclei by decision, shows them, and takes a person's decisions.

    Parameters
    ----------
    viewer : Viewer
        Its camera moves, and its keys work while the window has the keyboard.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._run: Run | None = None
        self._layer: Any = None  # the labels layer of the run
        self._outlines: Outlines | None = None
        self._nuclei: words.Judged | None = None
        self._current: int | None = None
        self._question = 0  # counts what was asked; an older answer is dropped
        self._moving = False
        self._ears = common.Ears()
        self._build()
        self._edits = common.Edits(self, self._look)

    def _build(self) -> None:
        self.counts = common.text()
        self.legend = QGridLayout()
        self.legend.setContentsMargins(0, 0, 0, 0)
        self.legend.setColumnStretch(1, 1)
        self._numbers: dict[str, QLabel] = {}
        for row, one in enumerate(words.DECISIONS):
            number = self._numbers[one.name] = QLabel()
            number.setAlignment(Qt.AlignmentFlag.AlignRight)
            line = (common.swatch(one.color, one.meaning, filled=False), QLabel(one.title), number)
            for column, widget in enumerate(line):
                widget.setToolTip(one.meaning)
                self.legend.addWidget(widget, row, column)
        self.outline = QCheckBox("Outline nuclei by decision")
        self.outline.setChecked(True)
        self.outline.setToolTip(
            "Colours told apart with any colour blindness; the nucleus you look at is white"
        )
        self.line = common.text()
        self.previous = common.button_for(
            "Previous  ⇧N", "Nucleus to review before this one (Shift+N)"
        )
        self.next = common.button_for("Next  N", "Next nucleus that waits for your decision (N)")
        self.accept = common.button_for("Accept  A", "Trust this nucleus (A); again: take it back")
        self.reject = common.button_for(
            "Reject  R",
            "Mark this nucleus as wrong (R); again: take it back. It keeps its outline and its row "
            "in tables; 'Only trusted nuclei' in Measure & export leaves it out",
        )
        self.save = common.button_for(
            "Save review", "Writes your decisions to the folder that this result was read from"
        )
        self.saved = common.text()
        buttons = QGridLayout()
        buttons.setContentsMargins(0, 0, 0, 0)
        for place, button in enumerate((self.previous, self.next, self.accept, self.reject)):
            buttons.addWidget(button, *divmod(place, 2))
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        body.addWidget(self.counts)
        body.addLayout(self.legend)
        body.addWidget(self.outline)
        body.addLayout(buttons)
        for widget in (self.line, self.save, self.saved):
            body.addWidget(widget)
        self.previous.clicked.connect(lambda: self.walk(-1))
        self.next.clicked.connect(lambda: self.walk(1))
        self.accept.clicked.connect(lambda: self.decide("accept"))
        self.reject.clicked.connect(lambda: self.decide("reject"))
        self.save.clicked.connect(self.save_review)
        self.outline.toggled.connect(self._toggle_outlines)

    @property
    def _buttons(self) -> tuple[QPushButton, ...]:
        return (self.previous, self.next, self.accept, self.reject)

    def bind_keys(self, dock: QWidget) -> None:
        """Let the keys work on the canvas, and in the dock where that floats."""
        keys = {
            "Shift-N": lambda: self.walk(-1),
            "N": lambda: self.walk(1),
            "A": lambda: self.decide("accept"),
            "R": lambda: self.decide("reject"),
        }
        viewer = self._viewer
        for key, action in keys.items():
            shortcut = QShortcut(QKeySequence(key.replace("-", "+")), dock)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(action)
            viewer.bind_key(key, lambda _viewer, action=action: action(), overwrite=True)

        def release(*_: object) -> None:
            for key in keys:
                viewer.bind_key(key, None)

        dock.destroyed.connect(release)

    # what is shown

    @property
    def nuclei(self) -> words.Judged | None:
        """What is known of the nuclei; None until they were found."""
        return self._nuclei

    @property
    def current(self) -> int | None:
        """Label of the nucleus that is looked at."""
        return self._current

    def show_run(self, run: Run | None) -> None:
        """Judge the nuclei of another result, or of none."""
        layer = None if run is None else run.layers[LABELS]
        if layer is not self._layer:
            self._forget()
            self._layer = layer
            self._edits.follow(layer)
            if layer is not None:
                self._listen(layer.events)
        self._run = run
        self._offer_save()
        common.say(self.saved, "")
        self._look()

    def refresh(self) -> None:
        """Read the table of the nuclei again."""
        self._read()
        self._say()
        self._show_outlines()

    def _listen(self, events: Any) -> None:
        for event, method in (
            (events.data, self._replaced),
            (events.features, self._features_changed),
            (events.selected_label, self._picked),
            (events.visible, self._follow_eye),
        ):
            self._ears.hear(event, method)

    def _forget(self) -> None:
        self._ears.forget()
        self._outlines = self._nuclei = self._current = None

    def _replaced(self) -> None:
        """Forget the nuclei until they are found again, because they may have other numbers."""
        self._question += 1
        self._outlines = self._nuclei = self._current = None
        self._say()

    def _look(self) -> None:
        """Find the nuclei that are in the layer, in the background."""
        self._question += 1
        question, layer = self._question, self._layer
        if layer is None:
            self._say()
            return
        # A copy, because the user may paint meanwhile.
        image = np.array(layer.data)

        def show(found: Outlines) -> None:
            if question == self._question:
                self._outlines = found
                self.refresh()

        Job(self, lambda _stop: once(lambda: find_outlines(image)), on_value=show)

    def _features_changed(self) -> None:
        if not self._moving:
            self.refresh()

    def _read(self) -> None:
        if self._outlines is not None and self._layer is not None:
            self._nuclei = words.judged(self._layer, self._outlines.labels)

    def _say(self) -> None:
        nuclei, run = self._nuclei, self._run
        known = nuclei is not None and run is not None
        self.outline.setEnabled(known)
        if nuclei is None or run is None:
            for button in self._buttons:
                button.setEnabled(False)
            common.say(self.counts, "")
            common.say(self.line, "")
            for number in self._numbers.values():
                number.setText("")
            return
        fdr, holds = words.fdr_of(run.provenance), run.verdict is None
        common.say(self.counts, words.summary_text(nuclei, fdr=fdr, holds=holds))
        common.say(self.line, words.current_text(nuclei, self._current))
        for name, count in nuclei.counts().items():
            self._numbers[name].setText(str(count))
        there = self._current is not None and nuclei.row(self._current) is not None
        self.accept.setEnabled(there)
        self.reject.setEnabled(there)
        self.next.setEnabled(words.neighbour(nuclei, self._current, 1) is not None)
        self.previous.setEnabled(words.neighbour(nuclei, self._current, -1) is not None)

    def layer(self) -> Any | None:
        """Return the layer with the outlines of the chosen result, if there is one."""
        return (
            None if self._run is None else layer_of_run(self._viewer.layers, self._run.key, _ROLE)
        )

    def _toggle_outlines(self, _checked: bool = False) -> None:
        self._show_outlines()
        self._follow_eye()

    def _show_outlines(self) -> None:
        run, nuclei, found, layer = self._run, self._nuclei, self._outlines, self.layer()
        if run is None or nuclei is None or found is None or not self.outline.isChecked():
            return
        codes = nuclei.codes
        row = None if self._current is None else nuclei.row(self._current)
        if row is not None:
            codes[row] = words.CURRENT
        shape = self._layer.data.shape
        if layer is not None and layer.data.shape == shape:
            # Drawn where the old outlines are: far quicker than new colours for the labels,
            # whose contours napari would compute again.
            _draw(layer.data, found, codes)
            layer.refresh(thumbnail=False, highlight=False, extent=False)
            return
        image = np.zeros(shape, np.uint8)
        _draw(image, found, codes)
        layer = add_map(
            self._viewer,
            run,
            image,
            "nuclei by decision",
            {"role": _ROLE},
            words.outline_colors(),
            [(one.code, one.title) for one in words.DECISIONS] + [(words.CURRENT, "Current")],
            opacity=1.0,
        )
        layer.visible = self._layer.visible

    def _follow_eye(self) -> None:
        layer = self.layer()
        if layer is not None and self._layer is not None:
            layer.visible = self._layer.visible and self.outline.isChecked()

    # the walk

    def walk(self, step: int) -> None:
        """Go to the next nucleus that waits, or to the one before."""
        if self._nuclei is not None:
            label = words.neighbour(self._nuclei, self._current, step)
            if label is not None:
                self.look_at(label)

    def look_at(self, label: int) -> None:
        """Bring a nucleus to the middle of the view."""
        nuclei, found = self._nuclei, self._outlines
        row = None if nuclei is None else nuclei.row(label)
        if row is None or found is None:
            return
        self._current = label
        self._moving = True
        self._layer.selected_label = label  # napari's tools and the Features table follow
        self._moving = False
        self._move_camera(found.centers[row], int(found.sizes[row]))
        self._say()
        self._show_outlines()

    def _move_camera(self, center: Any, size: int) -> None:
        camera = self._viewer.camera
        world = self._layer.data_to_world(center)
        camera.center = (*camera.center[:-2], *world[-2:])
        extent = size * float(np.max(np.abs(self._layer.scale[-2:])))
        if not _ON_SCREEN[0] <= extent * camera.zoom <= _ON_SCREEN[1]:
            camera.zoom = _COMFORTABLE / extent

    def _picked(self) -> None:
        """Judge a nucleus that the user has picked with napari's own tool."""
        if self._moving or self._nuclei is None:
            return
        label = int(self._layer.selected_label)
        if self._nuclei.row(label) is not None:
            self._current = label
            self._say()
            self._show_outlines()

    def decide(self, word: str) -> None:
        """Accept or reject the nucleus that is looked at, and go on to the next that waits.

        The same decision a second time is taken back.
        """
        nuclei, label = self._nuclei, self._current
        row = None if nuclei is None or label is None else nuclei.row(label)
        if nuclei is None or label is None or row is None:
            return
        waited = label in nuclei.open
        self._moving = True
        words.set_review(self._layer, label, "" if nuclei.reviewed[row] == word else word)
        self._moving = False
        self._unsaved = True
        self._read()
        following = words.neighbour(self._nuclei, label, 1) if waited and self._nuclei else None
        if following is not None:
            self.look_at(following)
        else:
            self._say()
            self._show_outlines()

    # keeping it

    @property
    def _unsaved(self) -> bool:
        return bool(record_of(self._layer.metadata).get("unsaved_review"))

    @_unsaved.setter
    def _unsaved(self, unsaved: bool) -> None:
        record_of(self._layer.metadata)["unsaved_review"] = unsaved
        self._offer_save()
        common.say(self.saved, "")

    def _offer_save(self) -> None:
        """Show the button where there is something to write and a place for it."""
        from_files = self._run is not None and self._run.saved_as is not None
        self.save.setVisible(from_files and self._unsaved)
        self.save.setEnabled(True)

    def save_review(self) -> None:
        """Write the decisions to the files of a result that was read from a folder."""
        run, nuclei = self._run, self._nuclei
        if run is None or nuclei is None or run.saved_as is None:
            return
        (folder, name), version = run.saved_as, run.version
        reviewed, new = words.reviews_to_save(self._layer, nuclei.labels)
        count = sum(word != "" for word in reviewed.values())
        self.save.setEnabled(False)

        def write() -> None:
            from napari_fluorgen.io.reviews import write_reviews

            write_reviews(folder, name, reviewed, version=version)

        def show(_nothing: None) -> None:
            if self._run is not None and self._run.key == run.key:
                self._unsaved = False
                common.say(self.saved, words.saved_text(count, new, folder))

        def failed(error: Exception) -> None:
            self.save.setEnabled(True)
            report(error)

        Job(self, lambda _stop: once(write), on_value=show, on_error=failed)


def _draw(image: NDArray[np.uint8], found: Outlines, codes: NDArray[np.uint8]) -> None:
    image[...] = 0
    flat = image.reshape(-1)
    flat[found.halo] = words.HALO
    flat[found.pixels] = codes[found.rows]
