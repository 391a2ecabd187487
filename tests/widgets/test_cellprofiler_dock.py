"""The real CellProfiler from the Measure dock, with a program that stands in for it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.cellprofiler import REAL, EngineChoice
from napari_fluorgen.widgets.docks.measure import MeasureDock
from napari_fluorgen.widgets.presenters.layers import result_layers, stack_layers
from napari_fluorgen.widgets.presenters.results import find_runs
from napari_fluorgen.widgets.presenters.spatial import Spatial

WAIT = 60_000


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def dock(viewer, qtbot, stack, result, tmp_path):
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    source = common.add_layer(viewer, stack_layers(stack)[0])
    spatial = Spatial.of_layer(source).plane()
    for spec in result_layers(result, spatial, run="run", source_id=str(source.unique_id)):
        common.add_layer(viewer, spec)
    dock.folder.setText(str(tmp_path / "results"))
    return dock


@pytest.fixture
def shown(qtbot):
    """Call messages of napari's notifications."""
    from napari.utils.notifications import notification_manager

    messages: list[str] = []

    def keep(notification):
        messages.append(str(notification.message))

    notification_manager.notification_ready.connect(keep)
    yield messages
    notification_manager.notification_ready.disconnect(keep)


def choose_real(dock, qtbot):
    dock.engine.look()
    qtbot.waitUntil(lambda: dock.engine.cellprofiler is not None, timeout=WAIT)
    assert common.choose(dock.engine.engines, REAL)


def test_tables_and_masks_come_back(stand_in, dock, viewer, qtbot, result, tmp_path):
    choose_real(dock, qtbot)
    assert "found at" in dock.engine.found.text()
    assert dock.engine.setup_button.text() == "Use another CellProfiler…"
    dock.button.click()
    assert not dock.button.isEnabled()
    assert dock.engine.cancel_button.isVisibleTo(dock)
    qtbot.waitUntil(lambda: "Measured" in dock.done.text(), timeout=WAIT)
    qtbot.waitUntil(dock.button.isEnabled, timeout=WAIT)
    labels = find_runs(viewer.layers)[0].layers["nuclei labels"]
    assert labels.features["index"].tolist() == [1, 2, 3]
    areas = labels.features["AreaShape_Area"].to_numpy()
    np.testing.assert_array_equal(areas, np.bincount(result.nuclei_labels.ravel())[1:])
    cells = next(layer for layer in viewer.layers if layer.name.endswith("cells"))
    np.testing.assert_array_equal(cells.data, result.nuclei_labels)
    (folder,) = (tmp_path / "results").iterdir()
    assert {"Image.csv", "Nuclei.csv", "cellprofiler"} <= {path.name for path in folder.iterdir()}
    assert not dock.engine.cancel_button.isVisibleTo(dock)


def test_stopping_leaves_nothing(stand_in, dock, viewer, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("STAND_IN", "sleeps")
    choose_real(dock, qtbot)
    names = [layer.name for layer in viewer.layers]
    dock.button.click()
    qtbot.waitUntil(lambda: "measures" in dock.engine.line.text(), timeout=WAIT)
    dock.engine.cancel_button.click()
    qtbot.waitUntil(dock.button.isEnabled, timeout=WAIT)
    assert dock.done.text() == ""
    assert list((tmp_path / "results").iterdir()) == []
    assert [layer.name for layer in viewer.layers] == names


def test_a_failure_is_one_sentence(stand_in, dock, qtbot, shown, monkeypatch):
    monkeypatch.setenv("STAND_IN", "forgets")
    choose_real(dock, qtbot)
    dock.button.click()
    qtbot.waitUntil(lambda: bool(shown), timeout=WAIT)
    assert "counted 0 nuclei" in shown[0]
    qtbot.waitUntil(dock.button.isEnabled, timeout=WAIT)
    assert dock.done.text() == ""


def test_without_cellprofiler_it_is_set_up_from_here(no_cellprofiler, dock, qtbot, shown, tmp_path):
    dock.engine.look()
    assert common.choose(dock.engine.engines, REAL)
    assert dock.engine.setup_button.isVisibleTo(dock)
    assert dock.engine.setup_button.text() == "Set up CellProfiler…"
    assert not dock.button.isEnabled()
    assert dock.export_button.isEnabled()
    dock.engine.install_action.trigger()
    # PATH is empty, so that there is nothing to compile with
    qtbot.waitUntil(lambda: bool(shown), timeout=WAIT)
    assert shown[0].startswith("CellProfiler cannot be installed without a C compiler")
    qtbot.waitUntil(lambda: not dock.engine.working, timeout=WAIT)
    dock.engine.use(str(tmp_path / "gone"))
    assert "is no program" in shown[1]


def test_a_chosen_program_is_remembered(stand_in, qtbot, monkeypatch):
    monkeypatch.delenv("FLUORGEN_CELLPROFILER")
    choice = EngineChoice()
    qtbot.addWidget(choice)
    choice.use(str(stand_in))
    qtbot.waitUntil(lambda: choice.cellprofiler is not None, timeout=WAIT)
    assert choice.cellprofiler.program == str(stand_in)
    assert choice.cellprofiler.origin == "setting"
