"""The curve of nuclei found over the overlap that is asked for, as a drawing for a page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_fluorgen.segmentation import MatchScores

_WIDTH, _HEIGHT = 480, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 92, 16, 48
# Okabe and Ito's colours, and different lines for those who see none.
_LINES = (
    ("recall", "#d55e00", "2 4"),
    ("precision", "#0072b2", "8 4"),
    ("f1", "#000000", ""),
)
_NAMES = {"f1": "F1", "precision": "precision", "recall": "recall"}
_LABEL_PX = 15


def curve_svg(curve: Sequence[MatchScores], by_field: Sequence[Sequence[MatchScores]]) -> str:
    """Return precision, recall and F1 over IoU as SVG text, with the F1 of each field in grey."""
    first, last = curve[0].iou, curve[-1].iou

    def x(iou: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (iou - first) / ((last - first) or 1)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - value)

    def line(matches: Sequence[MatchScores], name: str, style: str) -> str:
        points = " ".join(f"{x(m.iou):.1f},{y(getattr(m, name)):.1f}" for m in matches)
        return f'<polyline points="{points}" fill="none" {style}/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" role="img" font-family="system-ui,sans-serif" '
        'font-size="13">',
        f"<title>F1 of nuclei: {curve[0].f1:.3f} at IoU {first:g}, {curve[-1].f1:.3f} at IoU "
        f"{last:g}</title>",
    ]
    for tick in range(6):
        value = tick / 5
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" '
            f'stroke="#ddd"/><text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" '
            f'text-anchor="end">{value:.1f}</text>'
        )
    parts += [
        f'<text x="{x(match.iou):.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">'
        f"{match.iou:g}</text>"
        for match in curve[::2]
    ]
    parts.append(
        f'<text x="{(x(first) + x(last)) / 2:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">'
        "IoU of a match, at least</text>"
    )
    if len(by_field) > 1:
        parts += [line(matches, "f1", 'stroke="#bbb" stroke-width="1"') for matches in by_field]
    labels = []
    for name, colour, dashes in _LINES:
        style = f'stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dashes}"'
        parts.append(line(curve, name, style))
        labels.append((y(getattr(curve[-1], name)) + 4, _NAMES[name], colour))
    parts += [
        f'<text x="{x(last) + 8:.0f}" y="{height:.1f}" fill="{colour}">{text}</text>'
        for height, text, colour in _apart(labels)
    ]
    return "".join(parts) + "</svg>"


def _apart(labels: list[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Move labels so that none covers another and none leaves the plot."""
    placed: list[tuple[float, str, str]] = []
    lowest = float(_HEIGHT - _BOTTOM + 4)
    for height, text, colour in sorted(labels, reverse=True):
        height = min(height, lowest)
        placed.append((height, text, colour))
        lowest = height - _LABEL_PX
    return placed
