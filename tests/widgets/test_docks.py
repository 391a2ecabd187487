"""The docks in a real viewer."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.cellprofiler import BUILT_IN, REAL
from napari_fluorgen.widgets.docks.confidence import ConfidenceDock
from napari_fluorgen.widgets.docks.load import LoadDock
from napari_fluorgen.widgets.docks.measure import MeasureDock
from napari_fluorgen.widgets.presenters.layers import (
    result_layers,
    stack_layers,
)
from napari_fluorgen.widgets.presenters.results import find_runs
from napari_fluorgen.widgets.presenters.spatial import Spatial

from .conftest import WAIT

SCROLL_BAR = 24


def add_stack(viewer, stack):
    return [common.add_layer(viewer, spec) for spec in stack_layers(stack)]


def add_result(viewer, result, source, run="run"):
    specs = result_layers(
        result, Spatial.of_layer(source).plane(), run=run, source_id=str(source.unique_id)
    )
    return [common.add_layer(viewer, spec) for spec in specs]


def measuring(viewer, qtbot, stack, result, folder):
    """The dock that measures a result into a folder, and the outlines of the result."""
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    dock.folder.setText(str(folder))
    return dock, add_result(viewer, result, add_stack(viewer, stack)[0])[-1]


@pytest.mark.parametrize("dock", [LoadDock, ConfidenceDock, MeasureDock])
def test_docks_fit_and_explain_their_empty_state(viewer, qtbot, dock):
    widget = dock(viewer)
    qtbot.addWidget(widget)
    assert widget.minimumSizeHint().width() <= common.WIDTH
    assert widget.widget().minimumSizeHint().width() <= common.WIDTH - SCROLL_BAR
    assert widget.hint.isVisibleTo(widget)
    assert len(widget.hint.text()) > 40


def test_outlines_are_white_whatever_the_label(viewer, stack, result):
    labels = add_result(viewer, result, add_stack(viewer, stack)[0])[-1]
    colors = labels.colormap.map(np.array([0, 1, 2, 3, 50]))
    np.testing.assert_array_equal(colors[0], [0, 0, 0, 0])
    np.testing.assert_array_equal(colors[1:], np.ones((4, 4)))


def test_world_of_results_is_that_of_their_stack(viewer, stack, result):
    source = add_stack(viewer, stack)[0]
    source.translate = (3.0, 10.0, 20.0)
    for layer in add_result(viewer, result, source):
        assert tuple(layer.scale) == (0.3, 0.35)
        assert tuple(layer.translate) == (10.0, 20.0)
        assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
        assert layer.axis_labels == ("y", "x")
    assert Spatial.of_layer(source).pixel_size_um() == pytest.approx((0.3, 0.35))


def test_rotated_and_transformed_sources_carry_their_results(viewer, stack, result):
    source = add_stack(viewer, stack)[0]
    source.rotate = 30
    affine = np.eye(4)
    affine[1:3, 3] = (5, 7)
    source.affine = affine
    labels = add_result(viewer, result, source)[-1]
    corner = (0, *labels.data_to_world((12, 34)))
    np.testing.assert_allclose(source.data_to_world((0, 12, 34))[1:], corner[1:])


def test_sheared_sources_carry_their_results(viewer, stack, result):
    source = add_stack(viewer, stack)[0]
    source.shear = (0.0, 0.0, 0.2)
    labels = add_result(viewer, result, source)[-1]
    np.testing.assert_allclose(
        source.data_to_world((0, 12, 34))[1:], labels.data_to_world((12, 34))
    )


def test_measure_fills_features_and_writes_tables(viewer, qtbot, stack, result, tmp_path):
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    add_result(viewer, result, add_stack(viewer, stack)[0])
    labels = find_runs(viewer.layers)[0].layers["nuclei labels"]
    dock.folder.setText(str(tmp_path))
    dock.button.click()
    qtbot.waitUntil(lambda: "Measured" in dock.done.text(), timeout=WAIT)
    assert labels.features["index"].tolist() == [1, 2, 3]
    areas = labels.features["AreaShape_Area"].to_numpy()
    np.testing.assert_array_equal(areas, np.bincount(result.nuclei_labels.ravel())[1:])
    (folder,) = tmp_path.iterdir()
    assert {"Image.csv", "Nuclei.csv", "Cells.csv"} <= {file.name for file in folder.iterdir()}
    names = [layer.name for layer in viewer.layers]
    assert "B03 s1 cells" in names
    qtbot.waitUntil(dock.button.isEnabled, timeout=WAIT)
    dock.button.click()
    qtbot.waitUntil(lambda: len(list(tmp_path.iterdir())) == 2, timeout=WAIT)
    qtbot.waitUntil(lambda: "Measured" in dock.done.text(), timeout=WAIT)
    assert [layer.name for layer in viewer.layers] == names, "objects are updated, not doubled"


def test_erased_nuclei_are_not_measured(viewer, qtbot, stack, result, tmp_path):
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    add_result(viewer, result, add_stack(viewer, stack)[0])
    labels = find_runs(viewer.layers)[0].layers["nuclei labels"]
    labels.data = np.where(labels.data == 1, 0, labels.data)
    for name in ("cells", "cytoplasm", "droplets"):
        dock.objects[name].setChecked(False)
    dock.folder.setText(str(tmp_path))
    dock.button.click()
    viewer.add_image(np.zeros((8, 8)))
    assert not dock.button.isEnabled(), "one piece of work at a time"
    qtbot.waitUntil(lambda: "2 nuclei" in dock.done.text(), timeout=WAIT)
    features = labels.features
    assert features["index"].tolist() == [2, 3], "the layer keeps its numbers"
    assert features["ObjectNumber"].tolist() == [1, 2], "those of the tables"
    areas = np.bincount(labels.data.ravel())[2:]
    np.testing.assert_array_equal(features["AreaShape_Area"], areas)


def test_what_is_undone_after_measuring_is_as_before(viewer, qtbot, stack, result, tmp_path):
    dock, labels = measuring(viewer, qtbot, stack, result, tmp_path)
    labels.data_setitem(np.nonzero(labels.data == 1), 0)
    dock.button.click()
    qtbot.waitUntil(lambda: "2 nuclei" in dock.done.text(), timeout=WAIT)
    assert dock.outdated.isHidden()
    labels.undo()
    np.testing.assert_array_equal(labels.data, result.nuclei_labels)
    qtbot.waitUntil(lambda: "changed after they were measured" in dock.outdated.line.text())


def test_answers_go_to_the_nuclei_that_were_asked_about(
    viewer, qtbot, stack, result, tmp_path, monkeypatch
):
    from napari_fluorgen import measurement

    erased, measure = threading.Event(), measurement.measure_field

    def wait_and_measure(*arguments, **options):
        assert erased.wait(WAIT / 1000)
        return measure(*arguments, **options)

    monkeypatch.setattr(measurement, "measure_field", wait_and_measure)
    dock, labels = measuring(viewer, qtbot, stack, result, tmp_path)
    labels.data_setitem(np.nonzero(labels.data == 1), 0)
    dock.button.click()
    labels.data_setitem(np.nonzero(labels.data == 2), 0)
    erased.set()
    qtbot.waitUntil(lambda: "2 nuclei" in dock.done.text(), timeout=WAIT)
    area = labels.features.set_index("index")["AreaShape_Area"]
    assert area[3] == np.count_nonzero(result.nuclei_labels == 3)
    assert "Measure again" in dock.outdated.line.text()


def test_a_new_measurement_leaves_nothing_of_the_older_one(viewer, qtbot, stack, result, tmp_path):
    dock, labels = measuring(viewer, qtbot, stack, result, tmp_path)
    labels.features = labels.features.assign(mine=[7, 8, 9])
    dock.button.click()
    qtbot.waitUntil(lambda: "Measured" in dock.done.text(), timeout=WAIT)
    qtbot.waitUntil(dock.button.isEnabled, timeout=WAIT)
    assert "Children_Cells_Count" in labels.features
    for name in ("cells", "cytoplasm", "droplets"):
        dock.objects[name].setChecked(False)
    dock.button.click()
    qtbot.waitUntil(lambda: "Measured 3 nuclei." in dock.done.text(), timeout=WAIT)
    assert "Children_Cells_Count" not in labels.features
    assert labels.features["mine"].tolist() == [7, 8, 9]
    assert not [layer for layer in viewer.layers if "cells" in layer.name]


@pytest.mark.parametrize("kind", [ConfidenceDock, MeasureDock])
def test_results_are_listed_under_their_new_name(viewer, qtbot, stack, result, kind):
    dock = kind(viewer)
    qtbot.addWidget(dock)
    labels = add_result(viewer, result, add_stack(viewer, stack)[0])[-1]
    labels.name = "treated nuclei outlines"
    assert dock.results.currentText() == "treated"
    assert dock.run().title == "treated"


def test_only_trusted_nuclei_are_measured(viewer, qtbot, stack, judged, tmp_path):
    from napari_fluorgen.widgets.presenters.review import set_review

    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    labels = add_result(viewer, judged, add_stack(viewer, stack)[0])[-1]
    set_review(labels, 1, "reject")
    set_review(labels, 3, "accept")
    dock.trusted.setChecked(True)
    dock.folder.setText(str(tmp_path))
    dock.button.click()
    qtbot.waitUntil(lambda: "Measured 1 nuclei" in dock.done.text(), timeout=WAIT)
    areas = labels.features.set_index("index")["AreaShape_Area"]
    expected = np.count_nonzero(judged.nuclei_labels == 3)
    np.testing.assert_array_equal(areas[[1, 2, 3]], [np.nan, np.nan, expected])
    assert labels.features["reviewed"].tolist() == ["reject", "", "accept"]
    assert labels.data.max() == 3, "none is erased"
    assert viewer.layers["B03 s1 cells"].data.max() == 1


def test_cellprofiler_measures_all_nuclei(viewer, qtbot):
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    dock.trusted.setChecked(True)
    assert "rejected" in dock.trusted.toolTip()
    assert common.choose(dock.engine.engines, REAL)
    assert not dock.trusted.isEnabled()
    assert not dock.trusted.isChecked()
    assert "CellProfiler measures all nuclei" in dock.trusted.toolTip()
    assert common.choose(dock.engine.engines, BUILT_IN)
    assert dock.trusted.isEnabled()


def test_export_says_how_to_open_it(viewer, qtbot, stack, result, tmp_path):
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    add_result(viewer, result, add_stack(viewer, stack)[0])
    dock.folder.setText(str(tmp_path))
    dock.export_button.click()
    qtbot.waitUntil(lambda: "CellProfiler" in dock.done.text(), timeout=WAIT)
    (folder,) = tmp_path.iterdir()
    assert list(folder.rglob("*.cppipe"))


def test_folders_that_cannot_be_written_are_named(viewer, qtbot, stack, result, tmp_path):
    from napari.utils.notifications import notification_manager

    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    add_result(viewer, result, add_stack(viewer, stack)[0])
    (tmp_path / "file").write_text("x")
    seen = []
    notification_manager.notification_ready.connect(lambda n: seen.append(str(n.message)))
    dock.folder.setText(str(tmp_path / "file"))
    dock.button.click()
    assert "is a file" in seen[0]


def test_saved_results_come_back_where_they_lay(viewer, qtbot, stack, result, tmp_path):
    source = add_stack(viewer, stack)[0]
    source.translate = (0, 100, 200)
    source.rotate = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    labels = add_result(viewer, result, source)[-1]
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    dock.folder.setText(str(tmp_path))
    dock.save_button.click()
    qtbot.waitUntil(lambda: "written to" in dock.done.text(), timeout=WAIT)
    (folder,) = tmp_path.iterdir()
    again = viewer.open(folder, plugin="napari-fluorgen")[-1]
    np.testing.assert_allclose(again.extent.world, labels.extent.world)
    viewer.layers.selection = [x for x in viewer.layers if x.source.path is None]
    viewer.layers.save(str(tmp_path / "napari"), selected=True, plugin="napari-fluorgen")
    again = viewer.open(tmp_path / "napari", plugin="napari-fluorgen")[-1]
    np.testing.assert_allclose(again.extent.world, labels.extent.world)


def test_saved_results_are_opened_again(viewer, qtbot, stack, result, tmp_path):
    measure, load = MeasureDock(viewer), LoadDock(viewer)
    for dock in (measure, load):
        qtbot.addWidget(dock)
    add_result(viewer, result, add_stack(viewer, stack)[0])
    measure.folder.setText(str(tmp_path))
    measure.save_button.click()
    qtbot.waitUntil(lambda: "files written" in measure.done.text(), timeout=WAIT)
    viewer.layers.clear()
    (folder,) = tmp_path.iterdir()
    load.open(folder)
    qtbot.waitUntil(lambda: len(find_runs(viewer.layers)) == 1, timeout=WAIT)
    again = find_runs(viewer.layers)[0]
    np.testing.assert_array_equal(again.layers["nuclei labels"].data, result.nuclei_labels)
    assert again.has_confidence
