"""The held-out preview and the table of figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.train.picture import GAP, SIDE
from napari_fluorgen.widgets.train.report import Figure

_ARROWS = {1: "▲", -1: "▼", 0: ""}
_WORDS = {1: "Better than before.", -1: "Worse than before.", 0: ""}


class HeldOutView(QWidget):
    """Prediction and truth of a held-out part, side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.title = common.text()
        self.picture = QLabel()
        self.picture.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.picture.setToolTip(
            "A part that is not learned from: predicted now (left), true (right), with the same "
            "limits"
        )
        self.picture.setAccessibleName("Preview of a held-out part")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self.title)
        layout.addWidget(self.picture)
        self.hide()

    def show_picture(self, stain: str, picture: NDArray[np.uint8]) -> None:
        """Show a grey picture of `napari_fluorgen.widgets.train.picture`."""
        rows, columns = picture.shape
        # The image borrows the pixels: a copy owns them.
        image = QImage(
            picture.tobytes(), columns, rows, columns, QImage.Format.Format_Grayscale8
        ).copy()
        pixels = QPixmap.fromImage(image)
        # Small parts are enlarged, so that their cells are seen.
        width = max(1, min(self.width() or 2 * SIDE + GAP, 2 * SIDE + GAP))
        pixels = pixels.scaledToWidth(width, Qt.TransformationMode.SmoothTransformation)
        self.picture.setPixmap(pixels)
        self.picture.setFixedHeight(pixels.height())
        common.say(self.title, f"Held-out part, {stain}: predicted (left), true (right)")
        self.show()

    def clear(self) -> None:
        """Forget the picture."""
        self.picture.clear()
        self.hide()


class FigureTable(QWidget):
    """Figures before and after, a row each; an arrow says what got better."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = QGridLayout(self)
        self.rows.setContentsMargins(0, 0, 0, 0)
        self.rows.setVerticalSpacing(2)
        self.rows.setHorizontalSpacing(8)
        self.rows.setColumnStretch(0, 1)
        self.hide()

    def show_figures(self, figures: Sequence[Figure]) -> None:
        """Show other figures; without any the table takes no room."""
        while (item := self.rows.takeAt(0)) is not None:
            item.widget().deleteLater()
        if figures:
            for column, title in enumerate(("Held-out parts", "before", "after", "")):
                self._put(0, column, title, "", bold=True)
        for row, figure in enumerate(figures, start=1):
            tip = " ".join(part for part in (figure.meaning, _WORDS[figure.change]) if part)
            cells = (figure.title, figure.before, figure.after, _ARROWS[figure.change])
            for column, content in enumerate(cells):
                self._put(row, column, content, tip)
        self.setVisible(bool(figures))

    def _put(self, row: int, column: int, content: str, tip: str, *, bold: bool = False) -> None:
        label = QLabel(content)
        label.setToolTip(tip)
        if bold:
            label.setStyleSheet("font-weight: bold;")
        if column == 0:  # the numbers have their room first
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        elif column in (1, 2):
            label.setAlignment(Qt.AlignmentFlag.AlignRight)
        self.rows.addWidget(label, row, column)
