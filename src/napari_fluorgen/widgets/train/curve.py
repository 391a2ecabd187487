"""The loss while it falls: one line a stain."""

# ruff: noqa: N802 - these methods override Qt's
from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_fluorgen.widgets.train.record import Curve

# Okabe and Ito's palette, near the colours of the stains; dashes tell them apart without colour.
_LINES = {
    "nuclei": (QColor("#56B4E9"), Qt.PenStyle.SolidLine),
    "lipids": (QColor("#009E73"), Qt.PenStyle.DashLine),
    "cytoplasm": (QColor("#D55E00"), Qt.PenStyle.DotLine),
}
_OTHER = (QColor("#999999"), Qt.PenStyle.SolidLine)
_LEFT, _TOP, _RIGHT, _BOTTOM = 40, 22, 8, 18
_HEIGHT = 150


class LossCurve(QWidget):
    """Draws the loss of each stain as a share of its loss at the start."""

    def __init__(self) -> None:
        super().__init__()
        self._curves: tuple[Curve, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Loss on the crops that are learned from, smoothed, as a share of the loss at the "
            "start; lower is better"
        )
        self.setAccessibleName("Loss curve")

    @property
    def curves(self) -> tuple[Curve, ...]:
        """What is drawn."""
        return self._curves

    def show_curves(self, curves: Sequence[Curve]) -> None:
        """Draw other curves."""
        self._curves = tuple(curves)
        described = [f"{c.stain} {100 * c.now:.0f} % of the start" for c in self._curves]
        self.setAccessibleDescription(", ".join(described))
        self.update()

    def sizeHint(self) -> QSize:
        """Ask for a low, wide picture."""
        return QSize(240, _HEIGHT)

    def minimumSizeHint(self) -> QSize:
        """Leave the width to the dock."""
        return QSize(120, _HEIGHT)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw axes, legend and lines."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        plot = QRectF(
            _LEFT, _TOP, max(1, self.width() - _LEFT - _RIGHT), self.height() - _TOP - _BOTTOM
        )
        top = max([1.0, *(y for curve in self._curves for _, y in curve.points)]) * 1.05
        self._draw_axes(painter, plot, top)
        self._draw_legend(painter)
        painter.setClipRect(plot)
        for curve in self._curves:
            color, style = _LINES.get(curve.stain, _OTHER)
            painter.setPen(QPen(color, 2, style))
            line = [
                QPointF(plot.left() + x * plot.width(), plot.bottom() - y / top * plot.height())
                for x, y in curve.points
            ]
            painter.drawPolyline(QPolygonF(line))
            painter.setPen(QPen(color, 6, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            painter.drawPoint(line[-1])  # seen from the first step on

    def _draw_axes(self, painter: QPainter, plot: QRectF, top: float) -> None:
        ink = self.palette().windowText().color()
        faint = QColor(ink)
        faint.setAlpha(70)
        step = 0.5 if top < 2.5 else top / 4
        level = 0.0
        while level <= top:
            y = plot.bottom() - level / top * plot.height()
            painter.setPen(QPen(faint, 1))
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
            painter.setPen(ink)
            box = QRectF(0, y - 8, _LEFT - 4, 16)
            flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(box, flags, f"{100 * level:.0f} %")
            level += step
        painter.setPen(ink)
        below = QRectF(plot.left(), plot.bottom() + 2, plot.width(), _BOTTOM)
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "start")
        painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, "loss over the steps")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, "end")

    def _draw_legend(self, painter: QPainter) -> None:
        ink = self.palette().windowText().color()
        left = float(_LEFT)
        for curve in self._curves:
            color, style = _LINES.get(curve.stain, _OTHER)
            painter.setPen(QPen(color, 2, style))
            painter.drawLine(QPointF(left, 9), QPointF(left + 18, 9))
            painter.setPen(ink)
            painter.drawText(QPointF(left + 22, 13), curve.stain)
            left += 30 + painter.fontMetrics().horizontalAdvance(curve.stain)
