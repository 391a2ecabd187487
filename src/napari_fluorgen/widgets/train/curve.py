"""The loss while it falls: one line a stain."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor, QPainter, QPen

from napari_fluorgen.widgets.plot import Plot
from napari_fluorgen.widgets.train.record import Curve

# Okabe and Ito's palette, near the colours of the stains; dashes tell them apart without colour.
_PENS = {
    "nuclei": QPen(QColor("#56B4E9"), 2, Qt.PenStyle.SolidLine),
    "lipids": QPen(QColor("#009E73"), 2, Qt.PenStyle.DashLine),
    "cytoplasm": QPen(QColor("#D55E00"), 2, Qt.PenStyle.DotLine),
}
_OTHER = QPen(QColor("#999999"), 2, Qt.PenStyle.SolidLine)


class LossCurve(Plot):
    """Draws the loss of each stain as a share of its loss at the start."""

    def __init__(self) -> None:
        super().__init__(
            "Loss curve",
            "Loss on the crops that are learned from, smoothed, as a share of the loss at the "
            "start; lower is better",
            margins=(40, 22, 8, 18),
            least=(120, 150),
        )
        self.show_curves(())

    @property
    def curves(self) -> tuple[Curve, ...]:
        """What is drawn."""
        return self._curves

    def show_curves(self, curves: Sequence[Curve]) -> None:
        """Draw other curves."""
        self._curves = tuple(curves)
        self.ends = (1, 1.05 * max([1.0, *(y for c in self._curves for _, y in c.points)]))
        self.renew(", ".join(f"{c.stain} {100 * c.now:.0f} % of the start" for c in self._curves))

    def draw(self, painter: QPainter) -> None:
        """Draw axes, keys and lines."""
        self._draw_axes(painter)
        left = self.area.left()
        drawn = [(curve, _PENS.get(curve.stain, _OTHER)) for curve in self._curves]
        for curve, pen in drawn:
            left = self.draw_key(painter, left, curve.stain, pen) + 8
        painter.setClipRect(self.area)
        for curve, pen in drawn:
            painter.setPen(pen)
            painter.drawPolyline(self.polygon(curve.points))
            painter.setPen(QPen(pen.color(), 6, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            painter.drawPoint(self.place(*curve.points[-1]))  # seen from the first step on

    def _draw_axes(self, painter: QPainter) -> None:
        _, top = self.ends
        step = 0.5 if top < 2.5 else top / 4
        for tick in range(int(top / step) + 1):
            self.draw_level(painter, tick * step)
        self.caption(painter, "start", Qt.AlignmentFlag.AlignLeft)
        self.caption(painter, "loss over the steps", Qt.AlignmentFlag.AlignHCenter)
        self.caption(painter, "end", Qt.AlignmentFlag.AlignRight)
