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
from napari_fluorgen.widgets.opening import Opened, place_of, read_result
from napari_fluorgen.widgets.presenters.layers import LayerSpec, record_of
from napari_fluorgen.widgets.presenters.results import Run, find_runs, layers_of_run


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
        self._known: set[tuple[str, str]] = set()  # places whose layers are those of the files
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

    def forget_files(self) -> None:
        """Files may be others than those that were read: look when they are shown again."""
        self._known.clear()

    def show_folder(self, opened: Opened) -> None:
        """List the results of a folder and show the one that was read with it."""
        self.close_folder()
        self.forget_files()
        for name in opened.results:
            item = QListWidgetItem(name)
            item.setData(Qt.ItemDataRole.UserRole, (opened.path, name))
            self.addItem(item)
        self.setVisible(len(opened.results) > 1)
        if opened.layers:
            name = record_of(opened.layers[0].kwargs["metadata"])["identity"].name
            self.setCurrentRow(opened.results.index(name))
            self._show(place_of(opened.path, name), opened.layers)

    def _pick(self, item: QListWidgetItem) -> None:
        self.open_result(*item.data(Qt.ItemDataRole.UserRole))

    def open_result(self, folder: Path, name: str) -> None:
        """Show a result of a folder, also of one that is not listed."""
        place = place_of(folder, name)
        if place in self._known and self.run_at(place) is not None:
            self._read.forget()  # a result that is still being read must not take its place
            self._show(place, ())
        else:
            self._read(
                lambda: read_result(folder, name),
                lambda specs: self._show(place, specs),
                f"Reading {name} …",
            )

    def run_at(self, place: tuple[str, str]) -> Run | None:
        """Return the layers that were read last from a place, None where none are left."""
        return next((x for x in find_runs(self._viewer.layers) if x.saved_as == place), None)

    def _show(self, place: tuple[str, str], specs: Sequence[LayerSpec]) -> None:
        """Show the layers of a place as the user left them, or new ones where the files changed."""
        self._known.add(place)
        run = self.run_at(place)
        new = record_of(specs[0].kwargs["metadata"]) if specs else {}
        if new and (run is None or run.version != new["version"]):
            self._clear(place)
            key = new["run"]
        else:
            key, specs = run.key if run else "", ()
        if self._shown != key:
            hide_run(self._viewer, self._shown)
        self._shown = key
        reveal_run(self._viewer, key)
        for spec in specs:
            add_layer(self._viewer, spec)

    def _clear(self, place: tuple[str, str]) -> None:
        """Remove what is left of an earlier reading, and what was made of it."""
        records = [record_of(layer.metadata) for layer in self._viewer.layers]
        for key in {one["run"] for one in records if one.get("saved_as") == place}:
            for layer in layers_of_run(self._viewer.layers, key):
                self._viewer.layers.remove(layer)
