"""How far a run is, and the button to stop it."""

from __future__ import annotations

import time
from typing import Any

from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.presenters import staining as words


class RunProgress(QWidget):
    """A bar of tiles, the time left, and Cancel; hidden while nothing runs."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.line = common.text()
        self.notices = common.amber()
        self.cancel = common.button_for("Cancel", "Stops after the tile in work; nothing is added")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget in (self.bar, self.line, self.notices, self.cancel):
            layout.addWidget(widget)
        self._begun = self._first_tile = time.monotonic()
        self.hide()

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._begun

    def begin(self) -> None:
        """Show the start of a run."""
        self._begun = self._first_tile = time.monotonic()
        self.bar.setRange(0, 0)
        self.cancel.setEnabled(True)
        common.say(self.line, "Loading the model …")
        common.say(self.notices, "")
        self.show()

    def stopping(self) -> None:
        """Show that the run ends with the tile in work."""
        self.cancel.setEnabled(False)
        common.say(self.line, "Stopping after this tile …")

    def show_event(self, event: Any) -> None:
        """Show an event of `napari_fluorgen.workflow.stain_field`."""
        from napari_fluorgen.staining import Notice, Planned, TileDone
        from napari_fluorgen.workflow import Stage

        if isinstance(event, Planned):
            # From here on the pace of the tiles counts, not the start of the engine.
            self._first_tile = time.monotonic()
            common.say(self.line, f"{event.device.label}, {event.precision}: first tile …")
            unsaid = [x for x in event.messages if x not in event.adaptation.messages]
            common.say(self.notices, "\n".join(unsaid))
        elif isinstance(event, TileDone):
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
            elapsed = time.monotonic() - self._first_tile
            common.say(self.line, words.progress_text(event.done, event.total, elapsed))
        elif isinstance(event, Stage):
            self.bar.setRange(0, 0)
            common.say(self.line, words.STAGES.get(event.name, event.name))
        elif isinstance(event, Notice):
            common.say(self.notices, event.message)
