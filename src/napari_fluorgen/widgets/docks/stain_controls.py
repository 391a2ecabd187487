"""The settings of the *Virtual stain* dock."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.model_choice import ModelChoice
from napari_fluorgen.widgets.presenters import staining as words


class StainControls(QWidget):
    """Stack, model and device; focus, pixel size and tiles under *Advanced*.

    Emits ``changed`` when a setting changes.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.layers = common.combo("The brightfield stack to stain: an image with focus planes")
        self.choice = ModelChoice("The model; suggested by the pixel size of the stack")
        self.models, self.card = self.choice.box, self.choice.card
        self.devices = common.combo("Where the networks run; only what this computer has")
        self.focus = common.combo(
            "Direction of the focus series; a wrong direction gives wrong stains"
        )
        common.fill(self.focus, words.FOCUS_CHOICES)
        self.pixel_size = QDoubleSpinBox()
        self.pixel_size.setRange(0.0, 100.0)
        self.pixel_size.setDecimals(4)
        self.pixel_size.setSingleStep(0.005)
        self.pixel_size.setSuffix(" µm")
        self.pixel_size.setSpecialValueText("as in the stack")
        self.pixel_size.setToolTip("Pixel size in micrometres, where the stack's own is wrong")
        self.tile = QSpinBox()
        self.tile.setRange(0, 8192)
        self.tile.setSingleStep(64)
        self.tile.setSuffix(" px")
        self.tile.setSpecialValueText("by memory")
        self.tile.setToolTip("Largest side of a tile in pixels; smaller tiles need less memory")
        self.intervals = QCheckBox("Width of the intensity intervals")
        self.intervals.setToolTip(
            "Adds a hidden layer for lipids and for cytoplasm: how far the true intensity may lie "
            "from the predicted one, in counts; the Confidence dock shows them"
        )
        self.copy = common.button_for(
            "Copy as Python", "Copies the call that gives the same result in a script"
        )

        rows = common.form()
        rows.addRow("Stack", self.layers)
        rows.addRow("Model", self.choice)
        rows.addRow("Device", self.devices)
        self.advanced = common.Advanced()
        self.advanced.rows.addRow("Focus", self.focus)
        self.advanced.rows.addRow("Pixel size", self.pixel_size)
        self.advanced.rows.addRow("Tile", self.tile)
        self.advanced.rows.addRow(self.intervals)
        self.advanced.rows.addRow(self.copy)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addWidget(self.advanced)

        for box in (self.models, self.devices, self.focus):
            box.currentIndexChanged.connect(self.changed)
        for spin in (self.pixel_size, self.tile):
            spin.valueChanged.connect(self.changed)
        self.intervals.toggled.connect(self.changed)

    @property
    def model(self) -> str | None:
        """Name of the chosen model."""
        return self.choice.name

    def offer(self, models: Iterable[Any], devices: Iterable[tuple[str, str]]) -> None:
        """List the installed models and the devices of this machine, best first."""
        models = list(models)
        self.choice.offer(models)
        common.fill(self.devices, devices)

    def suggest(self, pixel_size_um: tuple[float, float] | None) -> None:
        """Choose the model that suits a pixel size, unless the user has chosen one."""
        self.choice.suggest(pixel_size_um)

    def request(self) -> Any:
        """Build the frozen request that the settings stand for.

        Raises
        ------
        ConfigError
            A setting is out of range.
        """
        from napari_fluorgen.workflow import StainRequest

        return StainRequest.build(
            model=self.model,
            device=self.devices.currentData() or "auto",
            focus=self.focus.currentData(),
            pixel_size_um=self.pixel_size.value() or None,
            intervals=self.intervals.isChecked(),
            tile_px=max(64, self.tile.value()) if self.tile.value() else None,
        )
