"""Empirical against nominal error: lines on the diagonal keep their promise."""

# ruff: noqa: N802 - these methods override Qt's
from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_fluorgen.widgets.presenters.error_curves import NOMINAL, ErrorCurves

# Okabe and Ito's palette; dashes tell the lines apart without colour.
_LINES = {
    "nucleus": (QColor("#56B4E9"), Qt.PenStyle.SolidLine),
    "background": (QColor("#E69F00"), Qt.PenStyle.DashLine),
}
_LEFT, _TOP, _RIGHT, _BOTTOM = 40, 24, 20, 34
_HEIGHT = 220


class ErrorPlot(QWidget):
    """Draws `ErrorCurves` up to a nominal error of one half."""

    def __init__(self) -> None:
        super().__init__()
        self._curves: ErrorCurves | None = None
        self._marked = 0.05
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Share of true pixels that lose their class, against the significance that allows it. "
            "On or below the diagonal the promise is kept; above it too much is missed"
        )
        self.setAccessibleName("Calibration plot")

    @property
    def curves(self) -> ErrorCurves | None:
        """What is drawn."""
        return self._curves

    def show_curves(self, curves: ErrorCurves | None, significance: float) -> None:
        """Draw other curves, and mark the chosen significance."""
        self._curves, self._marked = curves, significance
        self.setAccessibleDescription("" if curves is None else curves.at(significance))
        self.update()

    def sizeHint(self) -> QSize:
        """Ask for a picture that is nearly square in a dock."""
        return QSize(240, _HEIGHT)

    def minimumSizeHint(self) -> QSize:
        """Leave the width to the dock."""
        return QSize(160, _HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw band, axes, diagonal and lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        plot = QRectF(
            _LEFT, _TOP, max(1, self.width() - _LEFT - _RIGHT), self.height() - _TOP - _BOTTOM
        )
        self._draw_axes(painter, plot)
        if self._curves is None:
            return
        self._draw_legend(painter, self._curves)
        painter.setClipRect(plot)
        if self._curves.low is not None and self._curves.high is not None:
            shade = QColor(_LINES["nucleus"][0])
            shade.setAlpha(60)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(shade)
            upper = _points(plot, self._curves.high)
            painter.drawPolygon(QPolygonF(upper + _points(plot, self._curves.low)[::-1]))
        for name, line in self._curves.lines.items():
            color, style = _LINES[name]
            painter.setPen(QPen(color, 2, style))
            painter.drawPolyline(QPolygonF(_points(plot, line)))

    def _draw_axes(self, painter: QPainter, plot: QRectF) -> None:
        ink = self.palette().windowText().color()
        faint = QColor(ink)
        faint.setAlpha(70)
        right, center = Qt.AlignmentFlag.AlignRight, Qt.AlignmentFlag.AlignHCenter
        for tenth in range(6):
            place = _place(plot, tenth / 10, tenth / 10)
            painter.setPen(QPen(faint, 1))
            painter.drawLine(QPointF(plot.left(), place.y()), QPointF(plot.right(), place.y()))
            painter.setPen(ink)
            label = f"{10 * tenth} %"
            box = QRectF(0, place.y() - 8, _LEFT - 4, 16)
            painter.drawText(box, right | Qt.AlignmentFlag.AlignVCenter, label)
            painter.drawText(QRectF(place.x() - 20, plot.bottom() + 2, 40, 14), center, label)
        below = QRectF(plot.left(), plot.bottom() + 17, plot.width(), 16)
        painter.drawText(below, center, "allowed (significance)")
        painter.setPen(QPen(ink, 1, Qt.PenStyle.DotLine))
        painter.drawLine(_place(plot, 0, 0), _place(plot, 0.5, 0.5))
        painter.setPen(QPen(faint, 1))
        mark = _place(plot, self._marked, 0)
        painter.drawLine(mark, QPointF(mark.x(), plot.top()))

    def _draw_legend(self, painter: QPainter, curves: ErrorCurves) -> None:
        ink = self.palette().windowText().color()
        left = 4.0
        painter.setPen(ink)
        painter.drawText(QPointF(left, 14), "missed:")
        left += painter.fontMetrics().horizontalAdvance("missed:") + 8
        for name in curves.lines:
            color, style = _LINES[name]
            painter.setPen(QPen(color, 2, style))
            painter.drawLine(QPointF(left, 10), QPointF(left + 18, 10))
            painter.setPen(ink)
            painter.drawText(QPointF(left + 22, 14), name)
            left += 32 + painter.fontMetrics().horizontalAdvance(name)


def _place(plot: QRectF, allowed: float, missed: float) -> QPointF:
    return QPointF(
        plot.left() + 2 * allowed * plot.width(), plot.bottom() - 2 * missed * plot.height()
    )


def _points(plot: QRectF, line: Iterable[float]) -> list[QPointF]:
    return [_place(plot, float(x), float(y)) for x, y in zip(NOMINAL, line, strict=True)]
