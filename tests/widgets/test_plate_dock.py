"""A whole plate, stained from the *Virtual stain* dock with a real, tiny model."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_fluorgen.io import results
from napari_fluorgen.io.found import FieldSource, FoundFields
from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.plate import PlateDock
from napari_fluorgen.widgets.opening import open_path
from napari_fluorgen.widgets.presenters.layers import stack_layers
from napari_fluorgen.widgets.presenters.plate_run import State
from napari_fluorgen.widgets.presenters.results import field_of_run, find_runs
from napari_fluorgen.workflow import StainRequest

from .conftest import MODEL, WAIT, make_planes, write_site


@pytest.fixture
def plate_folder(tmp_path):
    """Three whole fields in two wells."""
    folder = tmp_path / "plate"
    folder.mkdir()
    write_site(folder, "B03", 1, 1)
    write_site(folder, "B03", 2, 2)
    write_site(folder, "D04", 1, 3)
    return folder


@pytest.fixture
def dock(viewer, qtbot, models, plate_folder):
    """The table of the plate, outside of a window."""
    dock = PlateDock(viewer)
    qtbot.addWidget(dock)
    show(qtbot, dock, plate_folder)
    return dock


@pytest.fixture
def seen():
    """Texts of napari's notifications."""
    from napari.utils.notifications import notification_manager

    seen = []
    notification_manager.notification_ready.connect(lambda n: seen.append(str(n.message)))
    return seen


def show(qtbot, dock, folder, **settings):
    request = StainRequest.build(model=MODEL, device="cpu", **settings)
    dock.show_plate(folder, request)
    qtbot.waitUntil(lambda: bool(dock.plate.rows), timeout=WAIT)


def stain(qtbot, dock, folder):
    dock.output.path.setText(str(folder))
    dock.output.button.click()
    finish(qtbot, dock)


def finish(qtbot, dock):
    """Wait for the run that was asked for, also where it has not begun."""
    qtbot.waitUntil(lambda: not dock.running and bool(dock.done.text()), timeout=WAIT)


def column(dock, number):
    return [dock.table.item(row, number).text() for row in range(dock.table.rowCount())]


def states(dock):
    return [row.state for row in dock.plate.rows]


def cut(folder, well, site):
    plane = next(folder.glob(f"*_{well}_T0001F{site:03d}*Z04C04.tif"))
    plane.write_bytes(plane.read_bytes()[:100])


def files_of(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def add_field(viewer, folder, well="B03", site=1):
    stack = open_path(folder).plate.read(well, site)
    return next(common.add_layer(viewer, spec) for spec in stack_layers(stack))


def test_it_fits_and_says_what_is_to_be_done(dock, plate_folder):
    assert dock.minimumSizeHint().width() <= common.WIDTH
    assert dock.widget().minimumSizeHint().width() <= common.WIDTH - 24
    assert "plate" in dock.title.text()
    assert MODEL in dock.title.text()
    assert column(dock, 0) == ["B03", "B03", "D04"]
    assert column(dock, 1) == ["1", "2", "1"]
    assert column(dock, 2) == ["waiting"] * 3
    assert dock.output.button.text() == "Stain 3 fields"


def test_a_plate_is_stained_past_a_damaged_field(viewer, qtbot, dock, plate_folder, tmp_path):
    cut(plate_folder, "B03", 2)
    stain(qtbot, dock, tmp_path / "out")
    assert column(dock, 2) == ["done", "failed", "done"]
    names = results.list_fields(tmp_path / "out")
    assert len(names) == 2
    nuclei = [len(results.read_field(tmp_path / "out", name).nuclei["label"]) for name in names]
    assert [column(dock, 3)[0], column(dock, 3)[2]] == [str(count) for count in nuclei]
    assert "Z04" in column(dock, 5)[1]
    assert "Z04" in dock.table.item(1, 2).toolTip()
    assert "2 of 3 fields stained, 0 skipped, 1 failed" in dock.done.text()
    dock.table.selectRow(1)
    assert "Z04" in dock.remarks.text().replace("\u200b", "")
    assert not dock.progress.isVisibleTo(dock)
    assert dock.output.isEnabled()


def test_the_settings_of_the_dock_are_those_of_the_run(qtbot, dock, plate_folder, tmp_path):
    show(qtbot, dock, plate_folder, focus="flipped", tile_px=64)
    stain(qtbot, dock, tmp_path / "out")
    request = results.read_field(tmp_path / "out", dock.plate.rows[0].identity.name).provenance[
        "request"
    ]
    assert (request["model"], request["focus"], request["tile_px"]) == (MODEL, "flipped", 64)


def test_results_that_exist_are_asked_about_first(qtbot, dock, tmp_path):
    out = tmp_path / "out"
    stain(qtbot, dock, out)
    before = files_of(out)
    dock.output.button.click()
    qtbot.waitUntil(lambda: dock.output.answers.isVisibleTo(dock), timeout=WAIT)
    assert "3 of these 3 fields" in dock.output.question.text()
    dock.output.leave.click()
    assert not dock.output.answers.isVisibleTo(dock)
    assert not dock.running
    assert files_of(out) == before


def test_a_changed_folder_takes_the_question_back(qtbot, dock, tmp_path):
    stain(qtbot, dock, tmp_path / "out")
    dock.output.button.click()
    qtbot.waitUntil(lambda: dock.output.answers.isVisibleTo(dock), timeout=WAIT)
    dock.output.path.setText(str(tmp_path / "other"))
    assert not dock.output.answers.isVisibleTo(dock)


def test_without_an_answer_nothing_is_overwritten(qtbot, dock, tmp_path, seen):
    out = tmp_path / "out"
    stain(qtbot, dock, out)
    before = files_of(out)
    dock.start(out)
    finish(qtbot, dock)
    assert "already holds results" in seen[0]
    assert files_of(out) == before


def test_resume_leaves_what_is_finished(qtbot, dock, plate_folder, tmp_path):
    out = tmp_path / "out"
    whole = next(plate_folder.glob("*_B03_T0001F002*Z04C04.tif")).read_bytes()
    cut(plate_folder, "B03", 2)
    stain(qtbot, dock, out)
    next(plate_folder.glob("*_B03_T0001F002*Z04C04.tif")).write_bytes(whole)
    before = files_of(out)
    dock.output.button.click()
    qtbot.waitUntil(lambda: dock.output.answers.isVisibleTo(dock), timeout=WAIT)
    assert "2 of these 3 fields" in dock.output.question.text()
    dock.output.resume.click()
    finish(qtbot, dock)
    assert states(dock) == [State.SKIPPED, State.DONE, State.SKIPPED]
    assert "1 of 3 fields stained, 2 skipped, 0 failed" in dock.done.text()
    changed = {path.name for path, time in files_of(out).items() if before.get(path) != time}
    assert not any("_D04_" in name or "F001" in name for name in changed)


def test_replace_stains_all_again_and_shows_the_new_result(
    viewer, qtbot, dock, plate_folder, tmp_path
):
    def tiles():
        return [run.provenance["request"]["tile_px"] for run in find_runs(viewer.layers)]

    out = tmp_path / "out"
    stain(qtbot, dock, out)
    dock.table.cellActivated.emit(0, 0)
    qtbot.waitUntil(lambda: tiles() == [None], timeout=WAIT)
    dock.show_settings(StainRequest.build(model=MODEL, device="cpu", tile_px=64))
    dock.output.button.click()
    qtbot.waitUntil(lambda: dock.output.answers.isVisibleTo(dock), timeout=WAIT)
    dock.output.replace.click()
    finish(qtbot, dock)
    assert states(dock) == [State.DONE] * 3
    dock.table.cellActivated.emit(0, 0)
    qtbot.waitUntil(lambda: tiles() == [64], timeout=WAIT)


def test_cancel_keeps_finished_fields(qtbot, dock, tmp_path):
    out, clicked = tmp_path / "out", threading.Event()
    first, second, third = dock._found.fields

    def opened():
        clicked.wait(WAIT / 1000)  # the work must not run ahead of the window
        return second.open()

    dock._show_found(FoundFields((first, FieldSource(second.identity, opened), third)))
    show_event = dock._show_event

    def watch(event):
        show_event(event)
        if dock.plate.rows[0].state is State.DONE and not clicked.is_set():
            dock.cancel.click()
            clicked.set()

    dock._show_event = watch
    stain(qtbot, dock, out)
    assert states(dock) == [State.DONE, State.LEFT, State.LEFT]
    assert results.list_fields(out) == [first.identity.name]
    assert dock.done.text().startswith("Stopped: 1 of 3 fields stained")
    assert "2 not done" in dock.done.text()
    assert dock.output.isEnabled()


def test_a_finished_field_is_opened_by_key_and_stands_alone(
    viewer, qtbot, dock, plate_folder, tmp_path
):
    stain(qtbot, dock, tmp_path / "out")
    brightfield = add_field(viewer, plate_folder)
    mine = viewer.add_image(np.zeros((8, 8)), name="mine")
    dock.table.setCurrentCell(1, 0)
    qtbot.keyClick(dock.table, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: len(find_runs(viewer.layers)) == 1, timeout=WAIT)
    (run,) = find_runs(viewer.layers)
    field = field_of_run(run)
    assert (field.identity.well, field.identity.site) == ("B03", 2)
    assert run.layers["lipids"].visible
    assert not brightfield.visible
    assert mine.visible, "what is not ours stays as it is"
    dock.table.cellActivated.emit(2, 0)
    qtbot.waitUntil(lambda: len(find_runs(viewer.layers)) == 2, timeout=WAIT)
    assert not run.layers["lipids"].visible
    dock.table.cellActivated.emit(1, 3)
    assert run.layers["lipids"].visible, "nothing is read twice"


def test_without_a_folder_one_is_asked_for(qtbot, dock, tmp_path, monkeypatch):
    chosen = ["", str(tmp_path / "out")]
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: chosen.pop(0))
    dock.output.button.click()
    assert not dock.running, "the chooser was closed"
    dock.output.button.click()
    finish(qtbot, dock)
    assert len(results.list_fields(tmp_path / "out")) == 3


def test_an_unfinished_field_opens_nothing(viewer, qtbot, dock):
    dock.table.cellActivated.emit(0, 0)
    assert len(viewer.layers) == 0
    assert dock.line.text() == ""


def test_trouble_with_the_folder_is_one_sentence(qtbot, dock, plate_folder, tmp_path, seen):
    (tmp_path / "file").write_text("x")
    dock.output.path.setText(str(tmp_path / "file" / "out"))
    dock.output.button.click()
    qtbot.waitUntil(lambda: bool(seen), timeout=WAIT)
    assert "is a file" in seen[0]
    assert states(dock) == [State.WAITING] * 3
    before = files_of(plate_folder)
    stain(qtbot, dock, plate_folder)
    assert "plate's own folder" in seen[-1]
    assert len(seen) == 2
    assert "\n" not in "".join(seen)
    assert files_of(plate_folder) == before
    assert states(dock) == [State.LEFT] * 3
    assert dock.output.button.isEnabled()


def test_fields_that_lack_planes_are_named(qtbot, dock, plate_folder):
    next(plate_folder.glob("*_D04_*Z02C04.tif")).unlink()
    show(qtbot, dock, plate_folder)
    qtbot.waitUntil(lambda: len(dock.plate.rows) == 2, timeout=WAIT)
    assert "D04" in dock.problems.text()


def test_a_plate_that_is_gone_is_said(qtbot, dock, tmp_path):
    dock.show_plate(tmp_path / "gone", StainRequest.build(model=MODEL))
    qtbot.waitUntil(lambda: "gone" in dock.problems.text(), timeout=WAIT)
    assert not dock.output.button.isEnabled()


# the way there from Virtual stain


def test_the_button_stands_for_layers_of_a_plate(viewer, stain_dock, plate_folder, tmp_path):
    assert not stain_dock.plate.isVisibleTo(stain_dock)
    field = add_field(viewer, plate_folder)
    assert stain_dock.plate.isVisibleTo(stain_dock)
    viewer.layers.selection.active = viewer.add_image(make_planes(9, (40, 40)), name="other")
    assert not stain_dock.plate.isVisibleTo(stain_dock)
    viewer.layers.selection.active = field
    assert stain_dock.plate.isVisibleTo(stain_dock)


def test_the_table_opens_below_and_follows_the_settings(
    viewer, qtbot, stain_dock, plate_folder, tmp_path
):
    field = add_field(viewer, plate_folder)
    stain_dock.controls.tile.setValue(128)
    stain_dock.plate.click()
    table = stain_dock.plate.dock
    qtbot.waitUntil(lambda: len(table.plate.rows) == 3, timeout=WAIT)
    assert "128 px" in table.title.text()
    stain_dock.controls.tile.setValue(64)
    assert "64 px" in table.title.text()
    field.scale, field.units = (2, 0.5, 0.5), ("um",) * 3
    assert "0.5 µm a pixel" in table.title.text()
    table.output.path.setText(str(tmp_path / "mine"))
    other = tmp_path / "other"
    other.mkdir()
    write_site(other, "B03", 1, 4)
    viewer.layers.selection.active = add_field(viewer, other)
    stain_dock.controls.tile.setValue(96)
    assert "64 px" in table.title.text(), "settings for another plate are not this plate's"
    viewer.layers.selection.active = field
    stain_dock.plate.click()
    assert stain_dock.plate.dock is table
    assert table.output.path.text(), "it is the same plate"
    assert "96 px" in table.title.text()
    qtbot.waitUntil(lambda: len(table.plate.rows) == 3, timeout=WAIT)
    stain(qtbot, table, tmp_path / "out")
    assert states(table) == [State.DONE] * 3


def test_closing_the_table_stops_the_run(viewer, qtbot, stain_dock, tmp_path):
    folder = tmp_path / "large"
    folder.mkdir()
    for index, plane in enumerate(make_planes(1, (768, 768)), start=1):
        tifffile.imwrite(folder / f"Demo_#1_B03_T0001F001L01A04Z{index:02d}C04.tif", plane)
    add_field(viewer, folder)
    stain_dock.controls.tile.setValue(64)
    stain_dock.plate.click()
    table = stain_dock.plate.dock
    qtbot.waitUntil(lambda: len(table.plate.rows) == 1, timeout=WAIT)
    table.start(tmp_path / "out")
    worker = table.job._worker
    qtbot.waitUntil(lambda: "of" in table.plate.rows[0].doing, timeout=WAIT)
    with qtbot.waitSignal(worker.finished, timeout=WAIT):
        viewer.window.remove_dock_widget(table.parentWidget())
    assert not (tmp_path / "out" / "run.json").exists()
    stain_dock.plate.click()
    assert stain_dock.plate.dock is not table
