"""Where the results of many fields go, and what becomes of those that are there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLineEdit, QVBoxLayout, QWidget

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.job import Job
from napari_fluorgen.widgets.presenters import plate_run as words
from napari_fluorgen.widgets.steps import once

if TYPE_CHECKING:
    from napari_fluorgen.io import FoundFields


class OutputFolder(QWidget):
    """A folder and the button that starts; asks before results of the same fields are touched.

    ``chosen`` is emitted with the folder and the settings of `stain_batch` that say what becomes
    of its results: none, ``overwrite`` or ``resume``.
    """

    chosen = Signal(object, dict)

    def __init__(self) -> None:
        super().__init__()
        self._found: FoundFields | None = None
        self.path = QLineEdit()
        self.path.setPlaceholderText("Folder for the results")
        self.path.setToolTip("Stains, masks and confidence maps of all fields go here, as TIFF")
        self.browse = common.button_for("…", "Choose the folder for the results")
        self.browse.setFixedWidth(32)
        self.button = common.main_button("Stain", "Stain the fields of the table, one by one")
        self.question = common.amber()
        self.resume = common.button_for("Resume", "Stain the fields that are not finished")
        self.replace = common.button_for("Replace", "Stain all; the results there are lost")
        self.leave = common.button_for("Cancel", "Leave the folder as it is")
        self.answers = common.beside((self.resume, 1), (self.replace, 1), (self.leave, 1))
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        body.addWidget(common.beside((self.path, 1), (self.browse, 0), (self.button, 0)))
        body.addWidget(self.question)
        body.addWidget(self.answers)
        self.show_fields(None)

        self.path.textChanged.connect(lambda _text: self._ask(""))
        self.browse.clicked.connect(self._choose)
        self.button.clicked.connect(self.check)
        self.resume.clicked.connect(lambda: self._answer(resume=True))
        self.replace.clicked.connect(lambda: self._answer(overwrite=True))
        self.leave.clicked.connect(lambda: self._ask(""))

    @property
    def folder(self) -> Path | None:
        """The folder as it stands there, None where there is none yet."""
        written = self.path.text().strip()
        return Path(written).expanduser() if written else None

    def show_fields(self, found: FoundFields | None) -> None:
        """Offer to stain these fields; None while they are being listed."""
        self._found = found
        count = len(found.fields) if found is not None else 0
        self.button.setText(f"Stain {words.fields_text(count)}" if count else "Stain")
        self.button.setEnabled(count > 0)
        self._ask("")

    def check(self) -> None:
        """Go on, or ask first where the folder holds results of these fields."""
        if self.folder is None:
            self._choose()
        folder, found = self.folder, self._found
        if folder is None or found is None:
            return

        def call() -> list[str]:
            from napari_fluorgen.io.atomic import check_output_folder
            from napari_fluorgen.workflow.batch import names_with_results

            check_output_folder(folder)
            return names_with_results(found, folder)

        def value(names: list[str]) -> None:
            if folder != self.folder or found is not self._found:  # changed since
                return
            if names:
                self._ask(words.question_text(folder, len(names), len(found.fields)))
            else:
                self._answer()

        Job(self, lambda _stop: once(call), on_value=value)

    def _choose(self) -> None:
        if path := QFileDialog.getExistingDirectory(self, "Folder for the results"):
            self.path.setText(path)

    def _ask(self, question: str) -> None:
        common.say(self.question, question)
        self.answers.setVisible(bool(question))

    def _answer(self, **settings: bool) -> None:
        self._ask("")
        self.chosen.emit(self.folder, settings)
