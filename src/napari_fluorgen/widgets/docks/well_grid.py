"""The picture of a plate: a grid of wells to click or walk through with the arrow keys."""

# ruff: noqa: N802 - these methods override Qt's
from __future__ import annotations

from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import (
    QBrush,
    QColor,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
)
from qtpy.QtWidgets import QSizePolicy, QToolTip, QWidget

from napari_fluorgen.widgets.presenters.plate import Well, WellGrid, WellState, row_name

_FILL = {WellState.DATA: QColor("#56B4E9"), WellState.STAINED: QColor("#009E73")}
_MARGIN = 16
_ARROWS = {
    Qt.Key.Key_Left: (0, -1),
    Qt.Key.Key_Right: (0, 1),
    Qt.Key.Key_Up: (-1, 0),
    Qt.Key.Key_Down: (1, 0),
}


class WellGridView(QWidget):
    """Shows a `WellGrid`; wells with data are filled, stained ones carry a dot.

    Emits ``picked`` with the well's name after a click, Enter or the space bar; arrow keys move
    the mark only.
    """

    picked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._grid = WellGrid(8, 12, ())
        self._current: Well | None = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Wells of the plate")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_grid(self, grid: WellGrid) -> None:
        """Draw another plate, or the same with new states."""
        name = self._current.name if self._current else ""
        self._grid = grid
        self._current = grid.named(name)
        self.updateGeometry()
        self.update()

    def select(self, name: str) -> None:
        """Mark a well as the chosen one."""
        self._current = self._grid.named(name)
        self.update()

    def sizeHint(self) -> QSize:
        """Keep wells square in the width of a dock."""
        pitch = self._pitch()
        return QSize(180, int(_MARGIN + pitch * self._grid.rows + 3))

    def minimumSizeHint(self) -> QSize:
        """Leave the width to the dock."""
        return QSize(120, self.sizeHint().height())

    def resizeEvent(self, event: QEvent) -> None:
        """Ask for the height that goes with the new width."""
        super().resizeEvent(event)
        self.setFixedHeight(self.sizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw names of rows and columns, then the wells."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        ink = self.palette().windowText().color()
        faint = QColor(ink)
        faint.setAlpha(70)
        if self._grid.lettered:
            self._draw_names(painter, ink)
        for row in range(self._grid.rows):
            for column in range(self._grid.columns):
                well = self._grid.at(row, column)
                place = self._place(row, column)
                painter.setPen(QPen(faint, 1))
                painter.setBrush(QBrush(_FILL[well.state]) if well else Qt.BrushStyle.NoBrush)
                painter.drawEllipse(place)
                if well and well.state is WellState.STAINED:
                    painter.setPen(Qt.PenStyle.NoPen)
                    painter.setBrush(QColor("white"))
                    painter.drawEllipse(place.center(), place.width() / 6, place.width() / 6)
                if well and well == self._current:
                    painter.setPen(QPen(QColor("#E69F00"), 2))
                    painter.setBrush(Qt.BrushStyle.NoBrush)
                    painter.drawEllipse(place.adjusted(-1.5, -1.5, 1.5, 1.5))

    def _draw_names(self, painter: QPainter, ink: QColor) -> None:
        painter.setPen(ink)
        font = painter.font()
        font.setPixelSize(int(min(10, max(7, self._pitch() * 0.7))))
        painter.setFont(font)
        pitch = self._pitch()
        every = 1 if pitch >= 13 else 2 if pitch >= 7 else 4
        for column in range(0, self._grid.columns, every):
            box = QRectF(_MARGIN + (column - 1) * pitch, 0, 3 * pitch, _MARGIN)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, str(column + 1))
        for row in range(0, self._grid.rows, every):
            box = QRectF(0, _MARGIN + (row - 1) * pitch, _MARGIN - 2, 3 * pitch)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, row_name(row))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the well under the mouse."""
        well = self._well_at(event.position())
        if well is not None:
            self._pick(well)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Walk to the next well with data, or load the chosen one."""
        if not self._grid.wells:
            return
        here = self._current or self._grid.wells[0]
        if event.key() in _ARROWS:
            self._current = self._grid.neighbour(here, *_ARROWS[event.key()])
            self.update()
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Space):
            self._pick(here)
        else:
            super().keyPressEvent(event)

    def event(self, event: QEvent) -> bool:
        """Show what a well holds while the mouse rests on it."""
        if isinstance(event, QHelpEvent):
            well = self._well_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), well.tooltip if well else "", self)
            return True
        return bool(super().event(event))

    def _pick(self, well: Well) -> None:
        self._current = well
        self.update()
        self.picked.emit(well.name)

    def _pitch(self) -> float:
        return float(min(26, max(4, (self.width() - _MARGIN - 3) / self._grid.columns)))

    def _place(self, row: int, column: int) -> QRectF:
        pitch = self._pitch()
        gap = max(0.8, pitch * 0.1)
        left, top = _MARGIN + column * pitch + gap, _MARGIN + row * pitch + gap
        return QRectF(left, top, pitch - 2 * gap, pitch - 2 * gap)

    def _well_at(self, point: QPointF) -> Well | None:
        pitch = self._pitch()
        column = int((point.x() - _MARGIN) // pitch)
        row = int((point.y() - _MARGIN) // pitch)
        return self._grid.at(row, column)
