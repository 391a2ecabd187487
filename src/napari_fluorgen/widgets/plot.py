"""What the small plots of the docks share: where values lie, ticks, and keys of lines."""

# ruff: noqa: N802 - these methods override Qt's
from __future__ import annotations

from collections.abc import Iterable

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QPainter, QPaintEvent, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

FAINT = 70
"""Opacity, of 255, of what must not hide the lines."""


class Plot(QWidget):
    """A plot in the colours of napari's theme, as wide as its dock.

    What is drawn is up to `draw`, with the other methods.

    Parameters
    ----------
    name, tooltip : str
        What it is for a screen reader, and what it means.
    margins : tuple of int
        Pixels left of, above, right of and below the axes.
    least : tuple of int
        Least width, and height, in pixels.

    Attributes
    ----------
    ends : tuple of float
        Largest x and y; the smallest are zero.
    """

    def __init__(
        self, name: str, tooltip: str, margins: tuple[int, int, int, int], least: tuple[int, int]
    ) -> None:
        super().__init__()
        self.ends = (1.0, 1.0)
        self._margins, self._least = margins, least
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(tooltip)
        self.setAccessibleName(name)

    def sizeHint(self) -> QSize:
        """Ask for most of the width of a dock."""
        return QSize(240, self._least[1])

    def minimumSizeHint(self) -> QSize:
        """Leave the width to the dock."""
        return QSize(*self._least)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw everything again."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPixelSize(11)
        painter.setFont(font)
        self.draw(painter)

    def draw(self, painter: QPainter) -> None:
        """Draw axes, keys and lines."""
        raise NotImplementedError

    def renew(self, description: str) -> None:
        """Draw again what a screen reader describes like this."""
        self.setAccessibleDescription(description)
        self.update()

    @property
    def area(self) -> QRectF:
        """What the axes enclose."""
        left, top, right, bottom = self._margins
        return QRectF(left, top, max(1, self.width() - left - right), self.height() - top - bottom)

    def pen(self, alpha: int = 255) -> QPen:
        """Pen in the colour of text, opaque or fainter."""
        color = self.palette().windowText().color()
        color.setAlpha(alpha)
        return QPen(color, 1)

    def place(self, x: float, y: float) -> QPointF:
        """Pixel of a pair of values."""
        area, (end_x, end_y) = self.area, self.ends
        across, up = x / end_x * area.width(), y / end_y * area.height()
        return QPointF(area.left() + across, area.bottom() - up)

    def polygon(self, points: Iterable[tuple[float, float]]) -> QPolygonF:
        """Pixels of pairs of values."""
        return QPolygonF([self.place(x, y) for x, y in points])

    def draw_level(self, painter: QPainter, y: float) -> None:
        """Draw a faint line at a share, with its percentage to the left."""
        area, place = self.area, self.place(0, y)
        painter.setPen(self.pen(FAINT))
        painter.drawLine(place, QPointF(area.right(), place.y()))
        painter.setPen(self.pen())
        box = QRectF(0, place.y() - 8, area.left() - 4, 16)
        flags = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(box, flags, f"{100 * y:.0f} %")

    def caption(self, painter: QPainter, text: str, side: Qt.AlignmentFlag, down: int = 2) -> None:
        """Write under one side of the x axis or its middle, so many pixels down."""
        area = self.area
        painter.setPen(self.pen())
        painter.drawText(QRectF(area.left(), area.bottom() + down, area.width(), 16), side, text)

    def draw_key(self, painter: QPainter, left: float, name: str, line: QPen | None) -> float:
        """Name a line above the plot, after a piece of it; return where the name ends."""
        middle = self._margins[1] // 2
        if line is not None:
            painter.setPen(line)
            painter.drawLine(QPointF(left, middle - 2), QPointF(left + 18, middle - 2))
            left += 22
        painter.setPen(self.pen())
        painter.drawText(QPointF(left, middle + 2), name)
        return left + painter.fontMetrics().horizontalAdvance(name)
