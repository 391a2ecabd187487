"""Results of a folder, of which one field is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_fluorgen.widgets.docks.job import Reader
from napari_fluorgen.widgets.docks.result_list import ResultList
from napari_fluorgen.widgets.opening import result_key
from napari_fluorgen.widgets.presenters.layers import record_of
from napari_fluorgen.widgets.presenters.results import layers_of_run


class FieldResults:
    """Shows the result of a field by the code of *Load stacks*, and no other field with it."""

    def __init__(self, viewer: Any, read: Reader) -> None:
        self._viewer = viewer
        self._list = ResultList(viewer, read)  # only its layers are seen
        self._current: set[str] = set()

    def expect_new(self) -> None:
        """A run begins: layers that were read before may be older than its files."""
        self._current.clear()

    def show(self, folder: Path, name: str, *, rewritten: bool) -> None:
        """Show a result; layers of an earlier one of a field that was `rewritten` go."""
        layers, key = self._viewer.layers, result_key(folder, name)
        if rewritten and key not in self._current:
            for layer in layers_of_run(layers, key):
                layers.remove(layer)
        self._current.add(key)
        mine = layers_of_run(layers, key)
        for layer in layers:
            if record_of(layer.metadata) and layer not in mine:
                layer.visible = False
        self._list.open_result(folder, name)
