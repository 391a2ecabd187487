"""Empirical against nominal error: lines on the diagonal keep their promise."""

from __future__ import annotations

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen

from napari_fluorgen.widgets.plot import FAINT, Plot
from napari_fluorgen.widgets.presenters.error_curves import NOMINAL, ErrorCurves

# Okabe and Ito's palette; dashes tell the lines apart without colour.
_PENS = {
    "nucleus": QPen(QColor("#56B4E9"), 2, Qt.PenStyle.SolidLine),
    "background": QPen(QColor("#E69F00"), 2, Qt.PenStyle.DashLine),
}


class ErrorPlot(Plot):
    """Draws `ErrorCurves` up to a nominal error of one half."""

    def __init__(self) -> None:
        super().__init__(
            "Calibration plot",
            "Share of true pixels that lose their class, against the significance that allows it. "
            "On or below the diagonal the promise is kept; above it too much is missed",
            margins=(40, 24, 20, 34),
            least=(160, 220),
        )
        self.ends = (0.5, 0.5)
        self._curves: ErrorCurves | None = None
        self._marked = 0.05

    @property
    def curves(self) -> ErrorCurves | None:
        """What is drawn."""
        return self._curves

    def show_curves(self, curves: ErrorCurves | None, significance: float) -> None:
        """Draw other curves, and mark the chosen significance."""
        self._curves, self._marked = curves, significance
        self.renew("" if curves is None else curves.at(significance))

    def draw(self, painter: QPainter) -> None:
        """Draw axes, diagonal, keys, band and lines."""
        self._draw_axes(painter)
        if self._curves is None:
            return
        lines, low, high = self._curves.lines, self._curves.low, self._curves.high
        left = self.draw_key(painter, 4, "missed:", None) + 8
        for name in lines:
            left = self.draw_key(painter, left, name, _PENS[name]) + 10
        painter.setClipRect(self.area)
        if low is not None and high is not None:
            shade = _PENS["nucleus"].color()
            shade.setAlpha(60)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(shade)
            there = [*zip(NOMINAL, high, strict=True)]
            back = [*zip(NOMINAL, low, strict=True)][::-1]
            painter.drawPolygon(self.polygon(there + back))
        for name, line in lines.items():
            painter.setPen(_PENS[name])
            painter.drawPolyline(self.polygon(zip(NOMINAL, line, strict=True)))

    def _draw_axes(self, painter: QPainter) -> None:
        area, center = self.area, Qt.AlignmentFlag.AlignHCenter
        for tenth in range(6):
            self.draw_level(painter, tenth / 10)
            x = self.place(tenth / 10, 0).x()
            painter.drawText(QRectF(x - 20, area.bottom() + 2, 40, 14), center, f"{10 * tenth} %")
        self.caption(painter, "allowed (significance)", center, down=17)
        painter.setPen(QPen(self.pen().color(), 1, Qt.PenStyle.DotLine))
        painter.drawLine(self.place(0, 0), self.place(*self.ends))
        painter.setPen(self.pen(FAINT))
        mark = self.place(self._marked, 0)
        painter.drawLine(mark, QPointF(mark.x(), area.top()))
