"""The list of models with the card beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QHBoxLayout, QWidget

from napari_fluorgen.stack import square_pixel
from napari_fluorgen.widgets.docks import common

if TYPE_CHECKING:
    from napari_fluorgen.models import ModelSummary


class ModelChoice(QWidget):
    """Follows the pixel size until the user chooses a model.

    Parameters
    ----------
    tooltip : str
        What the model is chosen for.
    """

    def __init__(self, tooltip: str) -> None:
        super().__init__()
        self.box = common.combo(tooltip)
        self.card = common.button_for("Card", "What this model was trained on and how good it is")
        self._models: Sequence[ModelSummary] = ()
        self._suggest = True
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.box, 1)
        row.addWidget(self.card)
        self.box.activated.connect(self._keep)

    def _keep(self) -> None:
        """Suggest no more once the user has chosen."""
        self._suggest = False

    @property
    def name(self) -> str | None:
        """The chosen model."""
        return self.box.currentData()

    def offer(self, models: Sequence[ModelSummary]) -> None:
        """List the installed models."""
        self._models = models
        entries = [(f"{model.name} ({model.pixel_size_um:g} µm)", model.name) for model in models]
        common.fill(self.box, entries)

    def suggest(self, pixel_size_um: tuple[float, float] | None) -> None:
        """Choose the model that suits a pixel size, unless the user has chosen one."""
        from napari_fluorgen.models import suggest_model

        if self._suggest and self._models:
            size = None if pixel_size_um is None else square_pixel(pixel_size_um)
            common.choose(self.box, suggest_model(size, self._models, current=self.name))
