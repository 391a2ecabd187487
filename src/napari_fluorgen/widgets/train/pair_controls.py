"""Where the pairs come from: a folder, or layers of the viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.presenters.layers import key_of
from napari_fluorgen.widgets.presenters.truth import ROLES, TRUE_LABELS
from napari_fluorgen.widgets.train.book import PairBook

_TOOLTIPS = {
    "nuclei": "True nuclei: one plane, in camera counts (a projection of a fluorescence stack)",
    "lipids": "True lipids: one plane, in camera counts",
    "cytoplasm": "True cytoplasm: one plane, in camera counts",
    TRUE_LABELS: (
        "Outlined nuclei, for instance a result that you corrected by hand; without them nuclei "
        "are outlined in the true nuclear stain"
    ),
}
_TITLES = {TRUE_LABELS: "Nuclei labels"}
_LIST_HEIGHT = 66  # three fields; more scroll


class PairControls(QWidget):
    """A folder of pairs, or a list of loaded fields with a combo box for each true stain.

    Emits ``changed`` when other pairs are chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.book = PairBook()
        self.where = common.combo("Where brightfield and true stains of the same fields are")
        common.fill(self.where, [("A folder", "folder"), ("Loaded layers", "layers")])
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("folder of pairs")
        self.folder.setToolTip(
            "A plate, or a folder of stacks with their true stains; see the documentation"
        )
        self.folder.setAccessibleName("Folder of pairs")
        self.browse = common.button_for("…", "Choose a folder of pairs")
        self.browse.setFixedWidth(32)
        self.fields = QListWidget()
        self.fields.setFixedHeight(_LIST_HEIGHT)
        self.fields.setToolTip(
            "Loaded brightfield stacks: ticked ones are learned from; the true layers of the "
            "chosen one are below"
        )
        self.fields.setAccessibleName("Fields to learn from")
        self.truth = {role: common.combo(_TOOLTIPS[role]) for role in ROLES}

        rows = common.form()
        rows.addRow("Pairs", self.where)
        line = QHBoxLayout()
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.folder, 1)
        line.addWidget(self.browse)
        self._folder_part = QWidget()
        self._folder_part.setLayout(line)
        self._layers_part = QWidget()
        part = QVBoxLayout(self._layers_part)
        part.setContentsMargins(0, 0, 0, 0)
        part.addWidget(self.fields)
        truth_rows = common.form()
        for role, box in self.truth.items():
            truth_rows.addRow(_TITLES.get(role, f"True {role}"), box)
        part.addLayout(truth_rows)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addWidget(self._folder_part)
        layout.addWidget(self._layers_part)

        self.where.currentIndexChanged.connect(self._where_changed)
        self.folder.editingFinished.connect(self.changed)
        self.browse.clicked.connect(self._choose_folder)
        self.fields.currentItemChanged.connect(self._show_truth)
        self.fields.itemChanged.connect(self._ticked)
        for role, box in self.truth.items():
            box.activated.connect(lambda _index, role=role: self._truth_chosen(role))
        self._where_changed()

    @property
    def uses_layers(self) -> bool:
        """Whether pairs are taken from the viewer."""
        return self.where.currentData() == "layers"

    @property
    def path(self) -> Path | None:
        """The chosen folder, None while there is none."""
        entered = self.folder.text().strip()
        return Path(entered).expanduser() if entered else None

    def follow(self, layers: Any) -> None:
        """Show the layers that are there now."""
        had_pairs = bool(self.book.pairs)
        self.book.follow(layers)
        if self.book.pairs and not had_pairs and self.path is None:
            common.choose(self.where, "layers")
        current = self._key()
        self.fields.blockSignals(True)
        self.fields.clear()
        for layer in self.book.fields:
            item = QListWidgetItem(layer.name.removesuffix(" brightfield"))
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setData(Qt.ItemDataRole.UserRole, key_of(layer))
            item.setToolTip(layer.name)
            self.fields.addItem(item)
            if key_of(layer) == current:
                self.fields.setCurrentItem(item)
        if self.fields.currentItem() is None and self.fields.count():
            self.fields.setCurrentRow(0)
        self.fields.blockSignals(False)
        self._show_ticks()
        self._show_truth()
        if self.uses_layers:  # a folder has not changed, and to look into it takes time
            self.changed.emit()

    def _key(self) -> str | None:
        item = self.fields.currentItem()
        return None if item is None else item.data(Qt.ItemDataRole.UserRole)

    def _show_ticks(self) -> None:
        self.fields.blockSignals(True)
        for row in range(self.fields.count()):
            item = self.fields.item(row)
            ticked = self.book.is_checked(item.data(Qt.ItemDataRole.UserRole))
            item.setCheckState(Qt.CheckState.Checked if ticked else Qt.CheckState.Unchecked)
        self.fields.blockSignals(False)

    def _show_truth(self, *_: object) -> None:
        key = self._key()
        for role, box in self.truth.items():
            common.fill(box, self.book.options(key, role), keep=False)
            common.choose(box, self.book.choice(key, role))
            box.setEnabled(key is not None)

    def _ticked(self, item: QListWidgetItem) -> None:
        key = item.data(Qt.ItemDataRole.UserRole)
        self.book.check(key, item.checkState() == Qt.CheckState.Checked)
        self.changed.emit()

    def _truth_chosen(self, role: str) -> None:
        self.book.choose(self._key(), role, self.truth[role].currentData())
        self._show_ticks()
        self.changed.emit()

    def _where_changed(self, _index: int = 0) -> None:
        self._folder_part.setVisible(not self.uses_layers)
        self._layers_part.setVisible(self.uses_layers)
        self.changed.emit()

    def _choose_folder(self) -> None:
        if path := QFileDialog.getExistingDirectory(self, "Folder of pairs", self.folder.text()):
            self.folder.setText(path)
            self.changed.emit()
