"""Results of a folder, of which one field is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_fluorgen.widgets.docks.job import Reader
from napari_fluorgen.widgets.docks.result_list import ResultList
from napari_fluorgen.widgets.opening import place_of
from napari_fluorgen.widgets.presenters.layers import record_of
from napari_fluorgen.widgets.presenters.results import layers_of_run


class FieldResults:
    """Shows the result of a field by the code of *Load stacks*, and no other field with it."""

    def __init__(self, viewer: Any, read: Reader) -> None:
        self._viewer = viewer
        self._list = ResultList(viewer, read)  # only its layers are seen

    def expect_new(self) -> None:
        """A run begins: layers that were read before may be older than its files."""
        self._list.forget_files()

    def show(self, folder: Path, name: str) -> None:
        """Show a result, from its files where these were written since they were read."""
        run = self._list.run_at(place_of(folder, name))
        mine = [] if run is None else layers_of_run(self._viewer.layers, run.key)
        for layer in self._viewer.layers:
            if record_of(layer.metadata) and layer not in mine:
                layer.visible = False
        self._list.open_result(folder, name)
