"""The line that says that nuclei were edited after they were measured."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.presenters.layers import record_of
from napari_fluorgen.widgets.presenters.results import LABELS, Run

_OUTDATED = (
    "The outlines were changed after they were measured: tables and measured objects are of the "
    "older outlines. Measure again."
)
_MEASURED = "measured"  # in the record of the labels, so that a dock opened later knows it too


class Outdated(QWidget):
    """Follows the outlines of a result and speaks up when its measurements are of others."""

    def __init__(self) -> None:
        super().__init__()
        self.line = common.amber()
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        body.addWidget(self.line)
        self._layer: Any = None
        self._edits = common.Edits(self, self._look)

    def show_run(self, run: Run | None) -> None:
        """Follow the outlines of another result, or of none."""
        self._layer = None if run is None else run.layers[LABELS]
        self._edits.follow(self._layer)
        self._look()

    def _look(self) -> None:
        known = {} if self._layer is None else record_of(self._layer.metadata).get(_MEASURED, {})
        outdated = bool(known) and known["state"] != state_of(self._layer)
        common.say(self.line, _OUTDATED if outdated else "")
        self.setVisible(outdated)

    @staticmethod
    def remember(layer: Any, columns: tuple[str, ...], state: int) -> None:
        """Note which columns of a labels layer were measured, and from which outlines."""
        record_of(layer.metadata)[_MEASURED] = {"columns": columns, "state": state}

    @staticmethod
    def without_earlier(layer: Any) -> Any:
        """Features of a labels layer without the columns of an earlier measurement."""
        known = record_of(layer.metadata).get(_MEASURED, {})
        return layer.features.drop(columns=list(known.get("columns", ())), errors="ignore")


def state_of(layer: Any) -> int:
    """Checksum of the pixels, by which painting and undoing it is no change; 0 if not in memory."""
    held = isinstance(layer.data, np.ndarray)
    return zlib.crc32(np.ascontiguousarray(layer.data).data) if held else 0
