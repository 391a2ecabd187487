"""The dock *Load stacks* in a real viewer."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.load import LoadDock
from napari_fluorgen.widgets.docks.run_layers import show_run
from napari_fluorgen.widgets.presenters.layers import (
    STAINING,
    record_of,
    result_layers,
)
from napari_fluorgen.widgets.presenters.results import find_runs
from napari_fluorgen.widgets.presenters.spatial import Spatial
from napari_fluorgen.widgets.presenters.staining import RunTicket

from .conftest import make_planes, write_labels, write_site

WAIT = 60_000
SCROLL_BAR = 24


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


def add_result(viewer, result, source, run="run"):
    specs = result_layers(
        result, Spatial.of_layer(source).plane(), run=run, source_id=str(source.unique_id)
    )
    return [common.add_layer(viewer, spec) for spec in specs]


def dock_of(viewer, qtbot, folder):
    """The dock with a plate open."""
    dock = LoadDock(viewer)
    qtbot.addWidget(dock)
    dock.open(folder)
    qtbot.waitUntil(lambda: dock.plate is not None, timeout=WAIT)
    return dock


@pytest.fixture
def loaded(viewer, qtbot, plate_folder):
    """The dock after a click on a well."""
    dock = dock_of(viewer, qtbot, plate_folder)
    dock.grid.picked.emit("B03")
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=WAIT)
    return dock


def test_load_a_plate_and_click_a_well(viewer, qtbot, plate_folder):
    dock = dock_of(viewer, qtbot, plate_folder)
    assert "3 fields in 2 wells" in dock.title.text()
    assert "D04" in dock.problems.text()
    dock.grid.picked.emit("B03")
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=WAIT)
    brightfield, *truth = viewer.layers
    assert brightfield.data.shape == (7, 96, 128)
    assert not any(layer.visible for layer in truth)
    assert "well B03 · site 1 · 7 planes" in dock.line.text()
    assert [dock.sites.item(i).text() for i in range(dock.sites.count())] == ["1", "2"]
    dock.sites.itemClicked.emit(dock.sites.item(1))
    qtbot.waitUntil(lambda: "site 2" in dock.line.text(), timeout=WAIT)
    assert len(viewer.layers) == 4, "the field before is closed"
    assert viewer.layers.selection.active.name.endswith("brightfield")


def test_true_nuclei_outlines_of_a_plate_are_loaded_hidden(viewer, qtbot, plate_folder):
    labels = np.zeros((96, 128), np.uint16)
    labels[10:30, 10:30] = 7
    write_labels(plate_folder, "B03", 1, labels)
    write_labels(plate_folder, "B03", 2, labels[:50])
    dock = dock_of(viewer, qtbot, plate_folder)
    dock.grid.picked.emit("B03")
    qtbot.waitUntil(lambda: len(viewer.layers) == 5, timeout=WAIT)
    outlines, stain = viewer.layers[-1], viewer.layers[-2]
    assert outlines.name == "B03 s1 true nuclei outlines"
    np.testing.assert_array_equal(outlines.data, labels)
    assert not outlines.visible
    assert (tuple(outlines.scale), outlines.units) == (tuple(stain.scale), stain.units)
    assert dock.line.text().endswith("(hidden) · true nuclei outlines (hidden)")
    said = dock.line.text()
    record_of(viewer.layers[0].metadata)[STAINING] = True  # so that it stays open
    dock.sites.itemClicked.emit(dock.sites.item(1))
    qtbot.waitUntil(lambda: "site 2" in dock.line.text(), timeout=WAIT)
    assert "96×128" in dock.problems.text()
    assert "outlines" not in dock.line.text()
    dock.sites.itemClicked.emit(dock.sites.item(0))
    assert sorted(dock.line.text()) == sorted(said)
    assert [x.name for x in viewer.layers if x.name.endswith("outlines")] == [outlines.name]


def test_wells_without_complete_fields_say_so(viewer, qtbot, plate_folder):
    dock = dock_of(viewer, qtbot, plate_folder)
    dock.grid.picked.emit("D04")
    assert "no complete field" in dock.line.text()
    assert len(viewer.layers) == 0


def test_every_time_point_can_be_loaded(viewer, qtbot, tmp_path):
    write_site(tmp_path, "B03", 1, seed=1, planes=5)
    write_site(tmp_path, "B03", 1, seed=2, time=2)
    write_site(tmp_path, "B03", 2, seed=3)
    write_site(tmp_path, "B03", 2, seed=4, time=2)
    dock = dock_of(viewer, qtbot, tmp_path)
    dock.grid.picked.emit("B03")
    items = [dock.sites.item(row) for row in range(dock.sites.count())]
    assert [item.text() for item in items] == ["1 · t2", "2 · t1", "2 · t2"]
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=WAIT)
    np.testing.assert_array_equal(viewer.layers[0].data, make_planes(2))
    dock.sites.itemClicked.emit(items[2])
    qtbot.waitUntil(lambda: "site 2 · time point 2" in dock.line.text(), timeout=WAIT)
    np.testing.assert_array_equal(viewer.layers[0].data, make_planes(4))


def test_bad_files_become_one_sentence(viewer, qtbot, tmp_path):
    from napari.utils.notifications import notification_manager

    dock = LoadDock(viewer)
    qtbot.addWidget(dock)
    (tmp_path / "text.tif").write_text("no image")
    seen = []
    notification_manager.notification_ready.connect(lambda n: seen.append(str(n.message)))
    dock.open(tmp_path / "text.tif")
    qtbot.waitUntil(lambda: bool(seen), timeout=WAIT)
    assert "text.tif" in seen[0]
    assert "\n" not in seen[0]
    qtbot.waitUntil(lambda: not dock.status.text(), timeout=WAIT)


def test_a_late_answer_to_an_older_wish_is_dropped(viewer, qtbot, tmp_path, plate_folder):
    file = tmp_path / "stack.tif"
    tifffile.imwrite(file, np.zeros((7, 32, 32), np.uint16))
    dock = LoadDock(viewer)
    qtbot.addWidget(dock)
    dock.open(file)
    dock.open(plate_folder)
    qtbot.waitUntil(lambda: dock.plate is not None, timeout=WAIT)
    qtbot.waitUntil(lambda: not dock.status.text(), timeout=WAIT)
    assert len(viewer.layers) == 0


def test_stained_wells_are_marked(viewer, qtbot, loaded, result):
    from napari_fluorgen.widgets.presenters.plate import WellState

    dock, source = loaded, viewer.layers[0]
    from dataclasses import replace

    identity = replace(result.identity, plate=dock.plate.name, well="B03")
    add_result(viewer, replace(result, identity=identity), source)
    mine = viewer.add_image(np.zeros((8, 8)), name="mine")
    assert dock.grid._grid.named("B03").state is WellState.STAINED
    # a stained field is kept, hidden, when the next one is opened
    dock.load_field(dock.plate.entries("B03")[1])
    qtbot.waitUntil(lambda: "site 2" in dock.line.text(), timeout=WAIT)
    assert source in viewer.layers
    assert not source.visible
    assert not find_runs(viewer.layers)[0].layers["lipids"].visible
    assert mine.visible, "what is not ours stays as it is"


def test_a_field_in_work_is_not_closed(viewer, qtbot, loaded):
    dock, source = loaded, viewer.layers[0]
    record_of(source.metadata)[STAINING] = True
    dock.load_field(dock.plate.entries("B03")[1])
    qtbot.waitUntil(lambda: "site 2" in dock.line.text(), timeout=WAIT)
    assert source in viewer.layers
    assert not source.visible


def test_a_stained_field_is_shown_again_with_its_result(viewer, qtbot, loaded, result):
    dock, source = loaded, viewer.layers[0]
    said = dock.line.text()
    ticket = RunTicket(str(source.unique_id))
    show_run(viewer, source, ticket, result, replace=False)
    loaded = len(viewer.layers)
    lipids = find_runs(viewer.layers)[0].layers["lipids"]
    dock.sites.itemClicked.emit(dock.sites.item(1))
    qtbot.waitUntil(lambda: "site 2" in dock.line.text(), timeout=WAIT)
    assert not lipids.visible
    dock.grid.picked.emit("B03")
    assert len(viewer.layers) == loaded, "the unstained field is closed, nothing is read twice"
    (brightfield,) = [x for x in viewer.layers if x.name.endswith("brightfield")]
    assert brightfield.unique_id == source.unique_id == viewer.layers.selection.active.unique_id
    shown = {record_of(x.metadata)["role"] for x in viewer.layers if x.visible}
    assert shown == {"nuclei", "lipids", "cytoplasm", "nuclei labels"}
    assert sorted(dock.line.text()) == sorted(said)


def test_a_field_in_reading_does_not_cover_one_that_is_open(viewer, qtbot, plate_folder):
    dock = dock_of(viewer, qtbot, plate_folder)
    first, second = dock.plate.entries("B03")
    dock.load_field(first)
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=WAIT)
    dock.load_field(second)
    dock.load_field(first)
    assert QThreadPool.globalInstance().waitForDone(WAIT)
    QApplication.processEvents()  # the answer of the second
    assert "site 1" in dock.line.text()
    assert len(viewer.layers) == 4
    assert viewer.layers[0].visible


def test_of_many_results_one_is_shown_at_a_time(viewer, qtbot, result, tmp_path):
    from dataclasses import replace

    from napari_fluorgen.io.results import write_field
    from napari_fluorgen.stack import FieldIdentity

    for name in ("a", "b", "c"):
        write_field(replace(result, identity=FieldIdentity(name), channel_files={}), tmp_path)
    dock = LoadDock(viewer)
    qtbot.addWidget(dock)
    dock.open(tmp_path)
    qtbot.waitUntil(lambda: len(find_runs(viewer.layers)) == 1, timeout=WAIT)
    assert "3 stained fields" in dock.line.text()
    dock.fields.itemClicked.emit(dock.fields.item(1))
    qtbot.waitUntil(lambda: len(find_runs(viewer.layers)) == 2, timeout=WAIT)
    second, first = (run.layers["lipids"] for run in find_runs(viewer.layers))
    assert (first.visible, second.visible) == (False, True)
    dock.fields.itemClicked.emit(dock.fields.item(0))
    assert (first.visible, second.visible) == (True, False), "nothing is read twice"
    dock.fields.itemClicked.emit(dock.fields.item(2))
    dock.fields.itemClicked.emit(dock.fields.item(0))
    assert QThreadPool.globalInstance().waitForDone(WAIT)
    QApplication.processEvents()  # the answer of the third
    assert len(find_runs(viewer.layers)) == 2
    assert first.visible


def test_results_that_were_written_anew_are_read_anew(viewer, qtbot, result, tmp_path):
    from dataclasses import replace

    from napari_fluorgen.io.results import write_field

    def lipids():
        return [int(run.layers["lipids"].data.max()) for run in find_runs(viewer.layers)]

    write_field(result, tmp_path)
    dock = LoadDock(viewer)
    qtbot.addWidget(dock)
    dock.open(tmp_path)
    before = int(result.images["lipids"].max())
    qtbot.waitUntil(lambda: lipids() == [before], timeout=WAIT)
    labels = find_runs(viewer.layers)[0].layers["nuclei labels"]
    labels.data_setitem(np.nonzero(labels.data == 1), 0)
    dock.open(tmp_path)
    assert QThreadPool.globalInstance().waitForDone(WAIT)
    QApplication.processEvents()
    kept = find_runs(viewer.layers)[0].layers["nuclei labels"].data
    assert 1 not in kept, "the files are the same: edits stay"
    images = {**result.images, "lipids": result.images["lipids"] + 1000}
    anew = replace(result, images=images, provenance={**result.provenance, "started": "later"})
    write_field(anew, tmp_path, overwrite=True)
    dock.open(tmp_path)
    qtbot.waitUntil(lambda: lipids() == [before + 1000], timeout=WAIT)


def test_a_folder_that_is_dropped_twice_is_two_results(viewer, result, tmp_path):
    from napari_fluorgen.io.results import write_field

    write_field(result, tmp_path)
    for _ in range(2):
        viewer.open(tmp_path, plugin="napari-fluorgen")
    newest, older = find_runs(viewer.layers)
    assert newest.layers["nuclei labels"].name.endswith("[1]")
    assert not older.layers["nuclei labels"].name.endswith("[1]")


def test_dropped_files_are_opened(viewer, qtbot, tmp_path):
    from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
    from qtpy.QtGui import QDropEvent

    paths = [tmp_path / "a.tif", tmp_path / "b.tif"]
    for path in paths:
        tifffile.imwrite(path, np.zeros((7, 32, 32), np.uint16))
    dock = LoadDock(viewer)
    qtbot.addWidget(dock)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    dock.dropEvent(QDropEvent(QPointF(5, 5), Qt.DropAction.CopyAction, data, buttons, keys))
    qtbot.waitUntil(lambda: len(viewer.layers) == 1, timeout=WAIT)
    assert "only a.tif" in dock.problems.text()
