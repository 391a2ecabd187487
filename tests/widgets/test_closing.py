"""What napari's own buttons do to a dock: x ends it, all others leave it alone."""

from __future__ import annotations

import time
from importlib import import_module, resources

import pytest
import yaml
from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QApplication, QWidget

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.job import Job

from .conftest import WAIT


@pytest.fixture
def gone():
    """Names of the docks that were deleted."""
    return []


@pytest.fixture
def make(gone):
    def make_dock(name):
        dock = common.Dock()
        dock.destroyed.connect(lambda *_: gone.append(name))
        return dock

    return make_dock


def settle():
    """Let all happen that was left for later."""
    for _ in range(3):
        QApplication.processEvents()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_the_x_ends_a_dock_and_its_work(viewer, qtbot, make, gone):
    dock = make("dock")
    frame = viewer.window.add_dock_widget(dock, name="dock")
    checks, abandoned = [], []

    def work(should_stop):
        checks.append(should_stop)
        for _ in range(1000):
            if should_stop():
                return
            time.sleep(0.01)
            yield None

    job = Job(
        dock,
        work,
        on_value=abandoned.append,
        on_finished=abandoned.append,
        on_abandoned=lambda: abandoned.append("abandoned"),
    )
    worker = job._worker
    qtbot.waitUntil(lambda: bool(checks), timeout=WAIT)
    assert not checks[0]()
    with qtbot.waitSignal(worker.finished, timeout=WAIT):
        frame.destroyOnClose()
    assert gone == ["dock"]
    assert checks[0]()
    assert worker.abort_requested
    assert abandoned == ["abandoned"]


def test_floating_hiding_tabbing_and_moving_leave_a_dock_alone(viewer, make, gone):
    dock = make("dock")
    window = viewer.window
    frame = window.add_dock_widget(dock, name="dock")
    frame.setFloating(True)
    settle()
    frame.setFloating(False)
    frame.hide()
    settle()
    frame.show()
    window.add_dock_widget(QWidget(), name="beside", tabify=True)
    settle()
    window.remove_dock_widget(frame)
    window.add_dock_widget(dock, name="moved", area="left")
    settle()
    assert gone == []


def test_a_dock_of_its_own_window_is_left_alone(viewer, qtbot, make, gone):
    dock = make("dock")
    qtbot.addWidget(dock)
    dock.setParent(None)
    dock.setWindowFlags(Qt.WindowType.Window)
    dock.show()
    dock.close()
    settle()
    assert gone == []


def test_all_docks_of_the_plugin_go_with_the_x():
    manifest = yaml.safe_load(
        resources.files("napari_fluorgen").joinpath("napari.yaml").read_text()
    )
    commands = {one["id"]: one["python_name"] for one in manifest["contributions"]["commands"]}
    for widget in manifest["contributions"]["widgets"]:
        module, name = commands[widget["command"]].split(":")
        assert issubclass(getattr(import_module(module), name), common.Dock), name
