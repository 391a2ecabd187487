"""Building blocks that make the docks look and behave alike."""

# ruff: noqa: N802 - these methods override Qt's
from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterable
from types import MethodType
from typing import Any, cast

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_fluorgen.widgets.presenters.layers import LayerSpec

_SETTLE_MS = 300
WIDTH = 320
"""Width in pixels that every dock fits."""

# White on this blue has a contrast of 5:1, in the dark and in the light theme.
_MAIN = (
    "QPushButton {background-color: #0072B2; color: white; font-weight: bold; padding: 6px;}"
    "QPushButton:hover {background-color: #0A86CB;}"
    "QPushButton:focus {border: 2px solid #E69F00;}"
    "QPushButton:disabled {background-color: rgba(120, 120, 120, 0.35); color: #999999;}"
)
_AMBER = (
    "QLabel {border-left: 4px solid #E69F00; background-color: rgba(230, 159, 0, 0.16);"
    " padding: 4px 6px;}"
)

_RED = (
    "QLabel {border-left: 4px solid #D55E00; background-color: rgba(213, 94, 0, 0.22);"
    " padding: 4px 6px; font-weight: bold;}"
)


class Dock(QScrollArea):
    """A dock that scrolls when it is short and never needs more than `WIDTH` pixels.

    Once napari's x has closed it, it is deleted, which ends its work and frees its keys.
    """

    _framed = False  # whether it was put into a dock of the window

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        body = QWidget()
        self.body = QVBoxLayout(body)
        self.body.setContentsMargins(8, 6, 8, 6)
        self.body.setSpacing(6)
        self.setWidget(body)
        self.setMinimumWidth(WIDTH - 40)

    def sizeHint(self) -> QSize:
        """Ask for the width that the layout is made for."""
        return QSize(WIDTH, super().sizeHint().height())

    def event(self, event: QEvent) -> bool:
        """Notice when napari's x takes the dock out of its frame, where it would live on unseen."""
        if event.type() == QEvent.Type.ParentChange:
            framed = self.parentWidget() is not None
            if self._framed and not framed:
                # Later, for whoever moves it to another frame. The timer keeps it from Python's
                # garbage collection meanwhile, after which nobody would hear of its end.
                QTimer.singleShot(0, lambda: self._leave())
            self._framed = framed
        return bool(super().event(event))

    def _leave(self) -> None:
        if isalive(self) and self.parentWidget() is None:
            self.deleteLater()

    def finish(self) -> None:
        """Push everything to the top once all rows are added."""
        self.body.addStretch(1)


def text(content: str = "") -> QLabel:
    """Make a paragraph that wraps; empty paragraphs take no room."""
    label = QLabel(content)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    # An ignored width lets long words (file names) shrink the text, not widen the dock.
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    label.setVisible(bool(content))
    return label


def amber(content: str = "") -> QLabel:
    """Make a paragraph that asks for attention."""
    label = text(content)
    label.setStyleSheet(_AMBER)
    return label


def red(content: str = "") -> QLabel:
    """Make a paragraph that warns of results that may not be relied on."""
    label = text(content)
    label.setStyleSheet(_RED)
    return label


def swatch(color: tuple[float, float, float, float], tooltip: str, filled: bool = True) -> QLabel:
    """Make the square of a legend: filled, or an outline on black as it is drawn on the image."""
    red, green, blue, opacity = (round(255 * part) for part in color)
    square = QLabel()
    square.setFixedSize(16, 16)
    paint = f"rgb({red}, {green}, {blue})"
    fill, border = (paint if opacity else "transparent", "1px solid #888888")
    if not filled:
        fill, border = "black", f"3px solid {paint}"
    square.setStyleSheet(f"background-color: {fill}; border: {border};")
    square.setToolTip(tooltip)
    return square


def say(label: QLabel, content: str) -> None:
    """Set a paragraph and hide it when there is nothing to say."""
    # Zero-width spaces let file names and paths wrap.
    label.setText(re.sub(r"([_/\\])", "\\1\u200b", content))
    label.setVisible(bool(content))


def main_button(title: str, tooltip: str) -> QPushButton:
    """Make the one main button of a dock."""
    button = button_for(title, tooltip)
    button.setStyleSheet(_MAIN)
    return button


def button_for(title: str, tooltip: str) -> QPushButton:
    """Make a button that is reached with the keyboard."""
    button = QPushButton(title)
    button.setToolTip(tooltip)
    button.setAutoDefault(True)
    return button


def combo(tooltip: str) -> QComboBox:
    """Make a list to choose from that does not grow with its longest entry."""
    box = QComboBox()
    box.setToolTip(tooltip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(6)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box


def fill(box: QComboBox, entries: Iterable[tuple[str, Any]], keep: bool = True) -> None:
    """Replace the entries of a list; the chosen one stays where it still exists."""
    before = box.currentData()
    box.blockSignals(True)
    box.clear()
    for title, data in entries:
        box.addItem(title, data)
        box.setItemData(box.count() - 1, title, Qt.ItemDataRole.ToolTipRole)
    if keep:
        choose(box, before)
    box.blockSignals(False)


def choose(box: QComboBox, data: Any) -> bool:
    """Select the entry with this data; False where there is none."""
    for index in range(box.count()):
        if box.itemData(index) == data:
            box.setCurrentIndex(index)
            return True
    return False


def form() -> QFormLayout:
    """Make rows of a title and a control."""
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
    return layout


def beside(*widgets: tuple[QWidget, int]) -> QWidget:
    """Put widgets in a row, each with its share of the room that is left."""
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for widget, share in widgets:
        layout.addWidget(widget, share)
    return row


class Advanced(QWidget):
    """Settings that most people never touch, closed at first."""

    def __init__(self, title: str = "Advanced") -> None:
        super().__init__()
        self.toggle = QToolButton()
        self.toggle.setText(title)
        self.toggle.setCheckable(True)
        self.toggle.setArrowType(Qt.ArrowType.RightArrow)
        self.toggle.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.toggle.setStyleSheet("QToolButton {border: none; background: transparent;}")
        self._content = QWidget()
        self.rows = form()
        self._content.setLayout(self.rows)
        self._content.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.toggle)
        layout.addWidget(self._content)
        self.toggle.toggled.connect(self._show)

    def _show(self, opened: bool) -> None:
        self.toggle.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self._content.setVisible(opened)


def add_layer(viewer: Any, spec: LayerSpec) -> Any:
    """Add a described layer to the viewer and return it."""
    add = viewer.add_labels if spec.kind == "labels" else viewer.add_image
    layer = add(spec.data, **spec.kwargs)
    for name, value in spec.attributes.items():
        setattr(layer, name, value)
    return layer


def listen(emitter: Any, method: Callable[[], Any]) -> Callable[..., None]:
    """Call a method of a widget at a napari event, until the widget is gone.

    What is left then does nothing: to disconnect it while Qt takes the widget down has crashed.
    A living widget that has heard enough disconnects what this returns.
    """
    reference = weakref.WeakMethod(method)

    def callback(event: Any = None) -> None:
        found = reference()
        if found is not None and isalive(cast(MethodType, found).__self__):
            found()

    emitter.connect(callback)
    return callback


def listen_layers(layers: Any, method: Callable[[], Any]) -> None:
    """Call a method of a widget when layers come, go or get another name."""
    for name in ("inserted", "removed", "renamed"):
        if name in layers.events.emitters:  # napari 0.6 tells of no new name
            listen(layers.events.emitters[name], method)


class Ears:
    """What a widget hears of the one layer that it shows."""

    def __init__(self) -> None:
        self._heard: list[tuple[Any, Callable[..., None]]] = []

    def hear(self, emitter: Any, method: Callable[[], Any]) -> None:
        """Call a method of the widget at an event of the layer."""
        self._heard.append((emitter, listen(emitter, method)))

    def forget(self) -> None:
        """Hear no more of the layer."""
        while self._heard:
            emitter, callback = self._heard.pop()
            emitter.disconnect(callback)


class Edits(QObject):
    """Calls a method of a widget once painting in the layer that it follows has come to rest.

    napari tells of undoing as it does of any drawing, so that nothing may have changed.
    """

    def __init__(self, widget: QWidget, method: Callable[[], Any]) -> None:
        super().__init__(widget)
        self._layer: Any = None
        self._ears = Ears()
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(method)

    def follow(self, layer: Any | None) -> None:
        """Follow another layer, or none."""
        if layer is self._layer:
            return
        self._ears.forget()
        self._layer = layer
        for name in ("data", "paint", "set_data"):
            if layer is not None and name in layer.events.emitters:
                self._ears.hear(layer.events.emitters[name], self._begin)

    def _begin(self) -> None:
        self._settle.start()
