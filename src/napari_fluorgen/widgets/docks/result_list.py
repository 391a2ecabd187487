"""The stained fields of a results folder, of which one is shown at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QListWidget, QListWidgetItem

from napari_fluorgen.widgets.docks.common import add_layer
from napari_fluorgen.widgets.docks.job import Reader
from napari_fluorgen.widgets.docks.run_layers import hide_run, reveal_run
from napari_fluorgen.widgets.opening import Opened, read_result, result_key
from napari_fluorgen.widgets.presenters.layers import LayerSpec, record_of
from napari_fluorgen.widgets.presenters.results import find_runs, layers_of_run


class ResultList(QListWidget):
    """Names of stained fields; a click shows one and hides the one before.

    Parameters
    ----------
    viewer : Viewer
        Where the layers go.
    read : Reader
        Reads in the background.
    """

    def __init__(self, viewer: Any, read: Reader) -> None:
        super().__init__()
        self._viewer = viewer
        self._read = read
        self._shown = ""  # key of the result that was shown last
        self.setFixedHeight(128)
        self.setToolTip("Stained fields in this folder; click to load one")
        self.setAccessibleName("Stained fields")
        self.hide()
        self.itemClicked.connect(self._pick)
        self.itemActivated.connect(self._pick)

    def close_folder(self) -> None:
        """Forget the folder; its layers stay."""
        self.clear()
        self.hide()

    def show_folder(self, opened: Opened) -> None:
        """List the results of a folder and show the one that was read with it."""
        self.close_folder()
        for name in opened.results:
            item = QListWidgetItem(name)
            item.setData(Qt.ItemDataRole.UserRole, (opened.path, name))
            self.addItem(item)
        self.setVisible(len(opened.results) > 1)
        if opened.layers:
            name = record_of(opened.layers[0].kwargs["metadata"])["identity"].name
            self.setCurrentRow(opened.results.index(name))
            self._show(result_key(opened.path, name), opened.layers)

    def _pick(self, item: QListWidgetItem) -> None:
        self.open_result(*item.data(Qt.ItemDataRole.UserRole))

    def open_result(self, folder: Path, name: str) -> None:
        """Show a result of a folder, also of one that is not listed."""
        key = result_key(folder, name)
        if self._is_open(key):
            self._read.forget()  # a result that is still being read must not take its place
            self._show(key, ())
        else:
            self._read(
                lambda: read_result(folder, name),
                lambda specs: self._show(key, specs),
                f"Reading {name} …",
            )

    def _is_open(self, key: str) -> bool:
        return any(run.key == key for run in find_runs(self._viewer.layers))

    def _show(self, key: str, specs: Sequence[LayerSpec]) -> None:
        if self._shown != key:
            hide_run(self._viewer, self._shown)
        self._shown = key
        if self._is_open(key):
            reveal_run(self._viewer, key)
            return
        for layer in layers_of_run(self._viewer.layers, key):
            self._viewer.layers.remove(layer)
        for spec in specs:
            add_layer(self._viewer, spec)
