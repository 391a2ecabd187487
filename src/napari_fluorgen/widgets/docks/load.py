"""*Load stacks*: choose a file, a folder, or a field of a plate."""

# ruff: noqa: N802 - these methods override Qt's
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
)

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity
from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.job import Reader, report
from napari_fluorgen.widgets.docks.result_list import ResultList
from napari_fluorgen.widgets.docks.run_layers import hide_run, reveal_run
from napari_fluorgen.widgets.docks.well_grid import WellGridView
from napari_fluorgen.widgets.opening import (
    Opened,
    open_path,
    read_entry,
)
from napari_fluorgen.widgets.presenters.layers import (
    STAINING,
    LayerSpec,
    record_of,
    short_name,
    stack_layers,
)
from napari_fluorgen.widgets.presenters.plate import (
    describe_stack,
    place_text,
    problem_text,
    several_text,
    site_labels,
    stained_wells,
    well_grid,
)
from napari_fluorgen.widgets.presenters.results import (
    LABELS,
    Run,
    find_runs,
    layers_of_field,
    stack_of_layer,
)

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_fluorgen.io import FieldEntry, Plate

_EMPTY = (
    "Choose the folder of a plate or of one stack, or a TIFF file; you can also drop it here. "
    "No data at hand? Open the sample."
)


class LoadDock(common.Dock):
    """Reads stacks and shows plates as a grid of wells."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.plate: Plate | None = None
        self._read = Reader(self, lambda message: common.say(self.status, message))
        self._field_layers: list[Any] = []
        self._build()
        self.setAcceptDrops(True)
        common.listen_layers(self.viewer.layers, self._mark_wells)

    def _build(self) -> None:
        self.folder_button = common.main_button(
            "Choose folder…", "A plate, a folder of planes of one stack, an OME-Zarr, or results"
        )
        self.file_button = common.button_for("File…", "A TIFF file with the planes of one stack")
        self.sample_button = common.button_for(
            "Open sample", "Two simulated fields of adipocytes with their true stains"
        )
        self.hint = common.text(_EMPTY)
        self.status = common.text()
        self.title = common.text()
        self.grid = WellGridView()
        self.sites = QListWidget()
        self.sites.setFixedWidth(80)
        self.sites.setFixedHeight(128)
        self.sites.setToolTip(
            "Sites (fields of view) and time points of the chosen well; click to load one"
        )
        self.sites.setAccessibleName("Sites of the well")
        self.site_title = QLabel("Sites")
        self.fields = ResultList(self.viewer, self._read)
        self.replace = QCheckBox("Close the field shown before")
        self.replace.setChecked(True)
        self.replace.setToolTip(
            "Removes the brightfield of the last field unless it was stained; results stay, hidden"
        )
        self.line = common.text()
        self.problems = common.amber()

        buttons = QHBoxLayout()
        buttons.addWidget(self.folder_button, 2)
        buttons.addWidget(self.file_button, 1)
        plate = QHBoxLayout()
        plate.setSpacing(6)
        plate.addWidget(self.grid, 1, Qt.AlignmentFlag.AlignTop)
        beside = QVBoxLayout()
        beside.addWidget(self.site_title)
        beside.addWidget(self.sites)
        beside.addStretch(1)
        plate.addLayout(beside)
        self.body.addLayout(buttons)
        for widget in (self.hint, self.sample_button, self.status, self.title):
            self.body.addWidget(widget)
        self.body.addLayout(plate)
        for widget in (self.fields, self.replace, self.line, self.problems):
            self.body.addWidget(widget)
        self.finish()
        self._show_plate(None)

        self.folder_button.clicked.connect(self._choose_folder)
        self.file_button.clicked.connect(self._choose_file)
        self.sample_button.clicked.connect(self._open_sample)
        self.grid.picked.connect(self._pick_well)
        self.sites.itemClicked.connect(self._pick_site)
        self.sites.itemActivated.connect(self._pick_site)

    # what the user asks for

    def _choose_folder(self) -> None:
        if path := QFileDialog.getExistingDirectory(self, "Folder of a plate or stack"):
            self.open(path)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Stack", "", "TIFF (*.tif *.tiff);;All (*)")
        if path:
            self.open(path)

    def _open_sample(self) -> None:
        from napari_fluorgen.workflow.sample import sample_folder

        try:
            self.open(sample_folder())
        except FluorgenError as error:
            report(error)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept files and folders."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        paths = [url.toLocalFile() for url in event.mimeData().urls()]
        if paths:
            self.open(paths[0])
        if len(paths) > 1:
            common.say(self.problems, several_text(paths[0], len(paths)))

    def open(self, path: str | Path) -> None:
        """Read a path in the background and show what it is."""
        path = Path(path)
        common.say(self.line, "")
        common.say(self.problems, "")
        self._read(lambda: open_path(path), self._show_opened, f"Reading {path.name} …")

    def load_field(self, entry: FieldEntry) -> None:
        """Show one field of the plate: its layers where it is open, else read in the background."""
        folder = str(entry.planes[0].parent)
        if layers := layers_of_field(self.viewer.layers, entry.identity, folder):
            self._read.forget()  # a field that is still being read must not take its place
            self._show_again(entry, layers)
            return

        def read() -> tuple[BrightfieldStack, list[LayerSpec]]:
            stack = read_entry(entry)
            return stack, stack_layers(stack)  # contrast limits read pixels, too

        name = short_name(entry.identity)
        self._read(read, lambda answer: self._show_stack(*answer), f"Reading {name} …")

    # what is shown

    def _show_opened(self, opened: Opened) -> None:
        if opened.problems:
            common.say(self.problems, problem_text(opened.problems))
        self._show_plate(opened.plate)
        if opened.stack is not None:
            self._show_stack(opened.stack, opened.layers)
        if opened.results:
            self.fields.show_folder(opened)
            count = len(opened.results)
            fields = "1 stained field" if count == 1 else f"{count} stained fields; click one"
            common.say(self.line, f"{opened.path.name}: {fields}")
        if opened.plate is not None:
            common.say(self.line, "Click a well to load its first site.")

    def _show_plate(self, plate: Plate | None) -> None:
        self.plate = plate
        self.sites.clear()
        self.fields.close_folder()
        for widget in (self.grid, self.sites, self.site_title, self.replace):
            widget.setVisible(plate is not None)
        self.hint.setVisible(plate is None)
        self.sample_button.setVisible(plate is None)
        if plate is None:
            common.say(self.title, "")
            return
        count = len(plate.fields)
        fields = "1 field" if count == 1 else f"{count} fields"
        wells = "1 well" if len(plate.wells) == 1 else f"{len(plate.wells)} wells"
        common.say(self.title, f"Plate {plate.name}: {fields} in {wells}")
        self._mark_wells()

    def _mark_wells(self, _event: Any = None) -> None:
        plate = self.plate
        if plate is None:
            return
        records = [record_of(run.layers[LABELS].metadata) for run in self._runs()]
        identities = [
            r["identity"] for r in records if isinstance(r.get("identity"), FieldIdentity)
        ]
        sites = {well: len(plate.sites(well)) for well in plate.wells}
        self.grid.show_grid(well_grid(sites, stained_wells(identities, plate.name)))

    def _runs(self) -> list[Run]:
        return find_runs(self.viewer.layers)

    def _runs_of(self, brightfield: Any) -> list[Run]:
        source = str(brightfield.unique_id)
        return [run for run in self._runs() if run.source_id == source]

    def _pick_well(self, well: str) -> None:
        if self.plate is None:
            return
        self.sites.clear()
        labels = site_labels(e.identity for e in self.plate.fields if e.identity.well == well)
        for entry in self.plate.entries(well):
            item = QListWidgetItem(labels[entry.identity])
            item.setData(Qt.ItemDataRole.UserRole, entry)
            item.setToolTip(place_text(entry.identity))
            self.sites.addItem(item)
        if self.sites.count():
            self.sites.setCurrentRow(0)
            self._pick_site(self.sites.item(0))
        else:
            common.say(self.line, f"Well {well} has no complete field (see the list below).")

    def _pick_site(self, item: QListWidgetItem) -> None:
        self.load_field(item.data(Qt.ItemDataRole.UserRole))

    def _show_stack(self, stack: BrightfieldStack, specs: Sequence[LayerSpec]) -> None:
        if self.plate is not None:
            self._close_previous()
        self._describe(stack, [common.add_layer(self.viewer, spec) for spec in specs])

    def _show_again(self, entry: FieldEntry, layers: Sequence[Any]) -> None:
        """Show a field that is among the layers, under its newest result."""
        self._close_previous(keep=layers)
        brightfield, *truth = layers
        runs = self._runs_of(brightfield)
        brightfield.visible = not runs
        if runs:
            reveal_run(self.viewer, runs[0].key)
        stains = {record_of(x.metadata)["role"].removeprefix("true "): x.data for x in truth}
        stack = replace(stack_of_layer(brightfield), truth=stains, notes=entry.notes)
        self._describe(stack, layers)

    def _describe(self, stack: BrightfieldStack, layers: Sequence[Any]) -> None:
        """Select the layers of the field that is shown now and say what it is."""
        if self.plate is not None:
            common.say(self.problems, problem_text((*self.plate.notes, *stack.notes)))
            self.grid.select(stack.identity.well or "")
        self._field_layers = list(layers)
        self.viewer.layers.selection.active = layers[0]
        common.say(self.line, describe_stack(stack))

    def _close_previous(self, keep: Sequence[Any] = ()) -> None:
        """Hide the field before with its results, or remove it where nothing came of it."""
        if not self.replace.isChecked():
            return
        gone = [x for x in self._field_layers if x in self.viewer.layers and x not in keep]
        if not gone:
            return
        runs = self._runs_of(gone[0])
        if runs or record_of(gone[0].metadata).get(STAINING):
            for layer in gone:
                layer.visible = False
            for run in runs:
                hide_run(self.viewer, run.key)
        else:
            for layer in gone:
                self.viewer.layers.remove(layer)
