"""The table of a plate's fields: a row each."""

# ruff: noqa: N802 - these methods override Qt's
from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem

from napari_fluorgen.widgets.presenters.plate_run import COLUMNS, FieldRow, State

_WIDTHS = (56, 44, 200, 60, 72)  # what the longest usual text takes; remarks have the rest
_NUMBERS = (1, 3, 4)
_FAILED = QColor("#E69F00")  # the amber of the docks; the word says it, too


class FieldTable(QTableWidget):
    """Shows `FieldRow`; whole rows are selected, nothing can be edited."""

    def __init__(self) -> None:
        super().__init__(0, len(COLUMNS))
        for column, (title, tooltip) in enumerate(COLUMNS):
            header = QTableWidgetItem(title)
            header.setToolTip(tooltip)
            self.setHorizontalHeaderItem(column, header)
        for column, width in enumerate(_WIDTHS):
            self.setColumnWidth(column, width)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        self.horizontalHeader().setStretchLastSection(True)
        self.verticalHeader().hide()
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)  # Tab goes on to the buttons
        self.setMinimumHeight(90)
        self.setAccessibleName("Fields of the plate")

    def sizeHint(self) -> QSize:
        """Ask for little: a dock that scrolls gives no less than this, and more where it can."""
        return QSize(super().sizeHint().width(), self.minimumHeight())

    def show_rows(self, rows: Sequence[FieldRow]) -> None:
        """Show these rows in place of all."""
        self.setRowCount(len(rows))
        for index, row in enumerate(rows):
            self.show_row(index, row)

    def show_row(self, index: int, row: FieldRow) -> None:
        """Show the new state of a row."""
        for column, content in enumerate(row.cells):
            item = QTableWidgetItem(content)
            item.setToolTip(row.tooltip)
            if column in _NUMBERS:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            if row.state is State.FAILED:
                item.setForeground(_FAILED)
            self.setItem(index, column, item)

    def follow(self, index: int) -> None:
        """Keep a row in sight, unless the user is in the table."""
        if not self.hasFocus():
            self.scrollToItem(self.item(index, 0))
