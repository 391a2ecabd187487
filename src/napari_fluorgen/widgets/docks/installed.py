"""News of the list of models: whoever installs one says so, whoever lists them reads it again."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal


class InstalledModels(QObject):
    """Emits ``changed`` after a model was installed, replaced or removed."""

    changed = Signal()


installed = InstalledModels()
"""The one of this session: every dock of every window hears it."""
