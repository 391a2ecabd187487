"""Line charts drawn with Pillow, which the package needs anyway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from napari_fluorgen.io.atomic import atomic_path

COLOURS = ((0, 114, 178), (0, 158, 115), (213, 94, 0), (60, 60, 60))
"""Of Okabe and Ito, which colour-blind people tell apart, and dark grey."""

_SCALE = 3  # drawn larger, then reduced: smooth lines
_WIDTH, _HEIGHT, _COLUMNS = 360, 250, 3
_LEFT, _TOP, _RIGHT, _BOTTOM = 44, 34, 14, 44
_LEGEND = 34


@dataclass(frozen=True)
class Panel:
    """One chart: several lines over the same places, evenly spaced.

    Attributes
    ----------
    title, label : str
        Above the chart and below its x axis.
    places : sequence of str
        Names of the places on the x axis.
    lines : dict of str to sequence of float
        Values between 0 and 1, by the name in the legend; the same names in every panel.
    usual : int
        The place that the model was made for; a faint line marks it.
    """

    title: str
    label: str
    places: Sequence[str]
    lines: dict[str, Sequence[float]]
    usual: int


def draw(panels: Sequence[Panel], path: Path) -> Path:
    """Write the panels as one PNG."""
    rows = -(-len(panels) // _COLUMNS)
    columns = min(len(panels), _COLUMNS)
    size = columns * _WIDTH * _SCALE, (rows * _HEIGHT + _LEGEND) * _SCALE
    picture = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(picture)
    for index, panel in enumerate(panels):
        row, column = divmod(index, _COLUMNS)
        _draw_panel(pen, panel, column * _WIDTH, row * _HEIGHT)
    left = _LEFT
    for index, name in enumerate(panels[0].lines):
        y = rows * _HEIGHT + _LEGEND / 2
        _line(pen, [(left, y), (left + 28, y)], COLOURS[index])
        _dot(pen, left + 14, y, COLOURS[index])
        _text(pen, left + 36, y, name, "lm")
        left += 60 + 8 * len(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, overwrite=True) as temporary:
        picture.resize((size[0] // _SCALE, size[1] // _SCALE), Image.Resampling.LANCZOS).save(
            temporary, format="PNG", optimize=True
        )
    return path


def _draw_panel(pen: ImageDraw.ImageDraw, panel: Panel, left: float, top: float) -> None:
    x0, x1 = left + _LEFT, left + _WIDTH - _RIGHT
    y0, y1 = top + _HEIGHT - _BOTTOM, top + _TOP
    step = (x1 - x0) / max(len(panel.places), 1)

    def x(place: int) -> float:
        return x0 + (place + 0.5) * step

    def y(value: float) -> float:
        return y0 + (y1 - y0) * min(max(value, 0.0), 1.0)

    _text(pen, (x0 + x1) / 2, top + 16, panel.title, "mm", 14)
    for tenth in range(0, 11, 2):
        _line(pen, [(x0, y(tenth / 10)), (x1, y(tenth / 10))], (225, 225, 225), 1)
        _text(pen, x0 - 6, y(tenth / 10), f"{tenth / 10:.1f}", "rm", 11)
    _line(pen, [(x(panel.usual), y0), (x(panel.usual), y1)], (190, 190, 190), 1)
    for place, name in enumerate(panel.places):
        _text(pen, x(place), y0 + 11, name, "mm", 11)
    _text(pen, (x0 + x1) / 2, y0 + 30, panel.label, "mm", 12)
    for colour, values in zip(COLOURS, panel.lines.values(), strict=False):
        points = [(x(i), y(value)) for i, value in enumerate(values) if value == value]
        _line(pen, points, colour)
        for point in points:
            _dot(pen, *point, colour)


def _line(pen: ImageDraw.ImageDraw, points: list, colour: tuple, width: float = 1.8) -> None:
    scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
    pen.line(scaled, fill=colour, width=round(width * _SCALE), joint="curve")


def _dot(pen: ImageDraw.ImageDraw, x: float, y: float, colour: tuple) -> None:
    pen.circle((x * _SCALE, y * _SCALE), 3 * _SCALE, fill=colour)


def _text(
    pen: ImageDraw.ImageDraw, x: float, y: float, text: str, anchor: str, size: float = 12
) -> None:
    font = ImageFont.load_default(size=size * _SCALE)
    text = text.replace("µ", "u")  # which Pillow's own font lacks
    pen.text((x * _SCALE, y * _SCALE), text, fill="black", font=font, anchor=anchor)
