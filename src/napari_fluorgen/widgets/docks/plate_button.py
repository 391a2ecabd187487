"""The button of *Virtual stain* that opens the table of a whole plate."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtWidgets import QPushButton

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.widgets.docks.job import report
from napari_fluorgen.widgets.docks.plate import PlateDock
from napari_fluorgen.widgets.presenters.layers import record_of
from napari_fluorgen.widgets.presenters.plate_run import plate_folder, plate_request
from napari_fluorgen.widgets.presenters.results import corrections

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_fluorgen.stack import BrightfieldStack

_TITLE = "Stain plate"


class PlateButton(QPushButton):
    """Opens the table of all fields of a layer's plate; hidden for other layers.

    Parameters
    ----------
    viewer : Viewer
        The window of the table.
    layer : callable
        Gives the chosen layer.
    task : callable
        Takes a layer and returns its stack and the request that the settings stand for.
    """

    def __init__(
        self,
        viewer: Viewer,
        layer: Callable[[], Any | None],
        task: Callable[[Any], tuple[BrightfieldStack, Any]],
    ) -> None:
        super().__init__("Stain all sites of this plate…")
        self.setToolTip("Opens a table of the plate's fields, to stain them with these settings")
        self.setAutoDefault(True)
        self.viewer = viewer
        self.dock: PlateDock | None = None
        self._layer, self._task = layer, task
        self.clicked.connect(self.open)
        self.hide()

    def follow(self, *, ready: bool) -> None:
        """Show the button where the chosen layer is of a plate, and a model is `ready`."""
        self.setVisible(ready and self._folder() is not None)

    def open(self) -> None:
        """Show the plate in a table below the image; one that was closed is made again."""
        try:
            folder, request = self._folder(), self._request()
        except FluorgenError as error:
            report(error)
            return
        if folder is None:
            return
        dock = self._open_dock() or self._new_dock()
        dock.parentWidget().show()
        dock.parentWidget().raise_()
        if not dock.running:
            dock.show_plate(folder, request)

    def pass_on(self) -> None:
        """Let an open table of the chosen layer's plate follow the settings."""
        dock = self._open_dock()
        # Another plate's layer may have brought its own model with it.
        if dock is not None and not self.isHidden() and dock.plate_folder == self._folder():
            with contextlib.suppress(FluorgenError):  # it is said at the click
                dock.show_settings(self._request())

    def _open_dock(self) -> PlateDock | None:
        return self.dock if self.dock is not None and isalive(self.dock) else None

    def _new_dock(self) -> PlateDock:
        self.dock = dock = PlateDock(self.viewer)
        self.viewer.window.add_dock_widget(
            dock, name=_TITLE, area="bottom", add_vertical_stretch=False
        )
        return dock

    def _record(self) -> dict[str, Any]:
        layer = self._layer()
        return {} if layer is None else record_of(layer.metadata)

    def _folder(self) -> Path | None:
        return plate_folder(self._record())

    def _request(self) -> Any:
        layer = self._layer()
        return plate_request(self._task(layer)[1], corrections(layer).get("pixel_size_um"))
