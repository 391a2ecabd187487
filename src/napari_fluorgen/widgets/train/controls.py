"""The settings of a training: where it starts, how long it takes, how the model is called."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLineEdit, QSpinBox, QVBoxLayout
from qtpy.QtWidgets import QWidget as Widget

from napari_fluorgen.models.free_names import numbered
from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.model_choice import ModelChoice
from napari_fluorgen.widgets.train.report import check_name, free_name

MINUTES = 10


class TrainControls(Widget):
    """Start model, minutes and name; device, shift, seed and folder under *Advanced*.

    Emits ``changed`` when another start model is chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._taken: set[str] = set()
        self._suggested = ""  # name of the new model as long as the user gives no other
        self.choice = ModelChoice(
            "The model that goes on learning; suggested by the pixel size of the pairs"
        )
        self.models, self.card = self.choice.box, self.choice.card
        self.minutes = QSpinBox()
        self.minutes.setRange(1, 24 * 60)
        self.minutes.setValue(MINUTES)
        self.minutes.setSuffix(" min")
        self.minutes.setToolTip(
            "Minutes of learning; calibration and figures come on top. On a CPU, 10 minutes adapt "
            "brightness and contrast, an hour learns new shapes"
        )
        self.name = QLineEdit()
        self.name.setToolTip(
            "Name under which the new model is installed: letters, digits, dot, dash, underscore"
        )
        self.devices = common.combo("Where the networks learn; only what this computer has")
        self.steps = QSpinBox()
        self.steps.setRange(0, 1_000_000)
        self.steps.setSpecialValueText("by time")
        self.steps.setToolTip("Steps of each network, instead of minutes")
        self.correct = QCheckBox("Correct a shift of the stains")
        self.correct.setToolTip(
            "Off: a shift between brightfield and stains is only reported. On: stains are moved by "
            "the whole pixels that are found"
        )
        self.simulated = QCheckBox("The pairs are simulated")
        self.simulated.setToolTip("The card of the new model and its results will say so")
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setValue(42)
        self.seed.setToolTip("Same pairs, same steps, same seed: same model")
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("installed only")
        self.folder.setToolTip("Also keep a copy of the model package in this folder")
        self.browse = common.button_for("…", "Choose a folder for a copy of the model package")
        self.browse.setFixedWidth(32)

        rows = common.form()
        rows.addRow("Start from", self.choice)
        rows.addRow("Minutes", self.minutes)
        rows.addRow("Name", self.name)
        copy = QHBoxLayout()
        copy.addWidget(self.folder, 1)
        copy.addWidget(self.browse)
        self.advanced = common.Advanced()
        self.advanced.rows.addRow("Device", self.devices)
        self.advanced.rows.addRow("Steps", self.steps)
        self.advanced.rows.addRow("Seed", self.seed)
        self.advanced.rows.addRow(self.correct)
        self.advanced.rows.addRow(self.simulated)
        self.advanced.rows.addRow("Copy to", copy)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addWidget(self.advanced)

        self.models.currentIndexChanged.connect(self._model_changed)
        self.steps.valueChanged.connect(lambda steps: self.minutes.setEnabled(steps == 0))
        self.browse.clicked.connect(self._choose_folder)

    @property
    def model(self) -> str | None:
        """Name of the model to start from."""
        return self.choice.name

    def offer(self, models: Iterable[Any], devices: Iterable[tuple[str, str]]) -> None:
        """List the installed models and the devices of this machine, best first."""
        models = list(models)
        self._taken = {model.name for model in models}
        self.choice.offer(models)
        common.fill(self.devices, devices)
        self._model_changed()

    def suggest(self, pixel_size_um: tuple[float, float] | None) -> None:
        """Choose the model that suits a pixel size, unless the user has chosen one."""
        self.choice.suggest(pixel_size_um)

    def _model_changed(self, _index: int = 0) -> None:
        if not self.name.text().strip() or self.name.text() == self._suggested:
            self._suggested = free_name(self.model, self._taken)
            self.name.setText(self._suggested)
        self.changed.emit()

    def next_name(self, name: str) -> None:
        """Suggest a name for another model after the one that has got this name."""
        self.name.setText(numbered(name, {*self._taken, self.name.text(), name}))

    def _choose_folder(self) -> None:
        if path := QFileDialog.getExistingDirectory(self, "Copy to", self.folder.text()):
            self.folder.setText(path)

    def request(self, pairs: Path | None) -> Any:
        """Build the frozen request that the settings stand for.

        Parameters
        ----------
        pairs : Path or None
            Folder of pairs; None where they are in memory.

        Raises
        ------
        ConfigError
            A setting is out of range, or the name is taken.
        ModelError
            No model can be called so.
        """
        from napari_fluorgen.workflow.fine_tuning_request import FineTuneRequest

        name = check_name(self.name.text(), self._taken)
        copy = self.folder.text().strip()
        steps = self.steps.value() or None
        return FineTuneRequest.build(
            init=self.model,
            pairs=pairs,
            name=name,
            output=Path(copy).expanduser() / name if copy else None,
            install=True,
            minutes=None if steps else float(self.minutes.value()),
            steps=steps,
            device=self.devices.currentData() or "auto",
            registration="correct" if self.correct.isChecked() else "report",
            seed=self.seed.value(),
            simulated=self.simulated.isChecked(),
        )
