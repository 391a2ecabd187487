"""The *Train* dock in a real viewer."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.installed import installed
from napari_fluorgen.widgets.docks.stain import StainDock
from napari_fluorgen.widgets.presenters.layers import stack_layers
from napari_fluorgen.widgets.train import report
from napari_fluorgen.widgets.train.dock import TrainDock

from ..conftest import MODEL, OnDisk, make_planes  # noqa: TID252 - the plate and the model of all docks
from .test_report import result as result_of

WAIT = 120_000
SCROLL_BAR = 24


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def dock(viewer, qtbot, models):
    dock = TrainDock(viewer)
    qtbot.addWidget(dock)
    qtbot.waitUntil(lambda: dock.controls.devices.count() > 0, timeout=WAIT)
    return dock


def add_stack(viewer, stack):
    return [common.add_layer(viewer, spec) for spec in stack_layers(stack)]


def notifications():
    from napari.utils.notifications import notification_manager

    seen = []
    notification_manager.notification_ready.connect(lambda n: seen.append(str(n.message)))
    return seen


def test_empty_state(dock):
    assert "Load stacks" in dock.hint.text()
    assert not dock.button.isEnabled()
    assert not dock.progress.isVisibleTo(dock)
    assert dock.controls.name.text() == f"{MODEL}-tuned"
    assert dock.controls.minutes.value() == 10
    dock.controls.advanced.toggle.setChecked(True)
    for where in ("layers", "folder"):
        common.choose(dock.pairs.where, where)
        assert dock.widget().minimumSizeHint().width() <= common.WIDTH - SCROLL_BAR


def test_every_control_says_what_it_is(dock):
    boxes = [*dock.pairs.truth.values(), dock.pairs.folder, dock.pairs.fields, dock.pairs.where]
    controls = dock.controls
    boxes += [controls.models, controls.minutes, controls.name, controls.devices, controls.seed]
    boxes += [controls.correct, controls.folder, controls.steps, dock.button]
    assert all(len(box.toolTip()) > 10 for box in boxes)


def test_loaded_fields_are_offered_with_their_true_stains(viewer, qtbot, dock, stack):
    _, lipids, nuclei = add_stack(viewer, stack)
    assert dock.pairs.uses_layers
    assert dock.pairs.truth["nuclei"].currentText() == nuclei.name
    assert dock.pairs.truth["lipids"].currentText() == lipids.name
    assert dock.pairs.truth["cytoplasm"].currentData() is None
    assert dock.found.text().replace("\u200b", "") == (
        "1 field · 7 planes · 0.35 µm/px · true nuclei, lipids"
    )
    assert dock.button.isEnabled()
    nuclei.name = "Hoechst"
    assert dock.pairs.truth["nuclei"].currentText() == "Hoechst"
    viewer.layers.remove(nuclei)
    assert dock.pairs.truth["nuclei"].currentData() is None
    assert "true lipids" in dock.found.text()
    viewer.layers.clear()
    assert not dock.button.isEnabled()
    assert dock.pairs.fields.count() == 0


def test_pairs_that_do_not_fit_are_said_before_the_click(viewer, dock, stack):
    add_stack(viewer, stack)
    viewer.add_image(stack.data[0, :50], name="cut")
    box = dock.pairs.truth["cytoplasm"]
    box.setCurrentText("cut")
    box.activated.emit(box.currentIndex())
    assert "'cut' has 50×128" in dock.warnings.text().replace("\u200b", "")
    seen = notifications()
    dock.start()
    assert len(seen) == 1
    assert not dock.running


def test_a_chosen_folder_is_not_read_again_for_layers(viewer, qtbot, dock, stack, plate_folder):
    dock.pairs.folder.setText(str(plate_folder))
    with qtbot.assertNotEmitted(dock.pairs.changed):
        brightfield, *_ = add_stack(viewer, stack)
        viewer.layers.remove(brightfield)
    common.choose(dock.pairs.where, "layers")
    with qtbot.waitSignal(dock.pairs.changed):
        add_stack(viewer, stack)


def test_a_folder_is_looked_at(qtbot, dock, plate_folder):
    dock.pairs.folder.setText(str(plate_folder))
    dock.pairs.folder.editingFinished.emit()
    qtbot.waitUntil(lambda: "2 fields" in dock.found.text(), timeout=WAIT)
    assert "true nuclei, lipids, cytoplasm" in dock.found.text()
    assert "D04" in dock.warnings.text()
    assert dock.button.isEnabled()
    dock.pairs.folder.setText(str(plate_folder / "nowhere"))
    dock.pairs.folder.editingFinished.emit()
    qtbot.waitUntil(lambda: "nowhere" in dock.warnings.text(), timeout=WAIT)
    assert not dock.found.text()


def test_a_name_that_is_taken_is_one_sentence(viewer, dock, stack):
    add_stack(viewer, stack)
    seen = notifications()
    dock.controls.name.setText(MODEL)
    dock.start()
    assert seen
    assert "installed already" in seen[0]
    assert not dock.running


def test_a_name_that_no_model_can_have_is_said_before_the_training(viewer, dock, stack):
    add_stack(viewer, stack)
    seen = notifications()
    dock.controls.name.setText("my cells / day 3")
    dock.start()
    assert seen == [
        "'my cells / day 3' cannot name a model: use up to 64 letters, digits, dots, dashes and "
        "underscores, a letter or digit first."
    ]
    assert not dock.running
    assert dock.controls.name.isVisibleTo(dock)


def test_a_model_that_got_another_name_is_told(dock):
    dock.controls.name.setText("mine")
    said = "The name 'mine' was taken during the training: the new model is installed as 'mine-2'."
    dock._show_result(result_of(name="mine-2", notes=(said,)))
    assert "The new model is 'mine-2'" in dock_says(dock.done)
    assert dock_says(dock.notes) == said
    assert dock.controls.name.text() == "mine-3", "the next one starts with a name that is free"


def test_a_missing_package_is_said_at_once(viewer, qtbot, models, stack, monkeypatch):
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    dock = TrainDock(viewer)
    qtbot.addWidget(dock)
    add_stack(viewer, stack)
    assert "pip install" in dock.hint.text()
    assert not dock.button.isEnabled()


def test_installed_models_are_listed_at_once(viewer, qtbot, dock, models, monkeypatch, tmp_path):
    stain = StainDock(viewer)
    qtbot.addWidget(stain)
    qtbot.waitUntil(lambda: stain.controls.models.count() > 0, timeout=WAIT)
    assert stain.controls.models.findData(MODEL) >= 0
    before = stain.controls.models.count()
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(tmp_path / "empty"))
    installed.changed.emit()
    qtbot.waitUntil(lambda: stain.controls.models.count() == before - 1, timeout=WAIT)
    qtbot.waitUntil(lambda: dock.controls.models.findData(MODEL) < 0, timeout=WAIT)


@pytest.fixture
def open_learning(viewer, qtbot, install_folder, result):
    """Open a dock beside one pair of loaded layers, nuclei labels among them."""

    def opened():
        dock = TrainDock(viewer)
        qtbot.waitUntil(lambda: dock.controls.devices.count() > 0, timeout=WAIT)
        grid = {"scale": (0.325, 0.325), "units": ("micrometer",) * 2}
        viewer.add_image(
            make_planes(5), name="mine", scale=(2, 0.325, 0.325), units=("micrometer",) * 3
        )
        for stain, image in result.images.items():
            viewer.add_image(image, name=f"my {stain}", **grid)
        viewer.add_labels(result.nuclei_labels.astype(np.int32), name="nuclei mask", **grid)
        common.choose(dock.controls.models, MODEL)
        dock.controls.steps.setValue(3)
        return dock

    return opened


@pytest.fixture
def learning(qtbot, open_learning):
    dock = open_learning()
    qtbot.addWidget(dock)
    return dock


def test_layers_on_disk_are_not_read_by_the_window(qtbot, learning, viewer):
    window = threading.current_thread().name
    learning.controls.steps.setValue(100_000)
    disks = []
    for layer in (viewer.layers["mine"], viewer.layers["my lipids"]):
        disks.append(OnDisk(layer.data))
        layer.data = disks[-1]
    for act in (learning._show_pairs, learning.start):
        for disk in disks:
            disk.readers.clear()
        act()
        assert all(window not in disk.readers for disk in disks)
    qtbot.waitUntil(lambda: all("fluorgen-train" in disk.readers for disk in disks), timeout=WAIT)
    learning.stop()
    learning.stop()
    qtbot.waitUntil(lambda: not learning.running, timeout=WAIT)


@pytest.mark.slow
def test_layers_become_a_model_in_the_list(viewer, qtbot, learning, install_folder):
    stain = StainDock(viewer)
    qtbot.addWidget(stain)
    assert dock_says(learning.found) == (
        "1 field · 7 planes · 0.325 µm/px · true nuclei, lipids, cytoplasm and nuclei labels"
    )
    seen = notifications()
    learning.controls.name.setText("mine")
    learning.button.click()
    assert learning.progress.isVisibleTo(learning)
    assert not learning.button.isVisibleTo(learning)
    assert not learning.controls.isVisibleTo(learning)
    assert "'mine' learns from these pairs" in dock_says(learning.progress.title)
    qtbot.waitUntil(lambda: not learning.running, timeout=WAIT)
    assert seen == []
    assert dock_says(learning.done).startswith("Learned for")
    assert (install_folder / "mine" / "rdf.yaml").is_file()
    assert [curve.stain for curve in learning.progress.curve.curves] == [
        "nuclei",
        "lipids",
        "cytoplasm",
    ]
    assert not learning.progress.preview.picture.pixmap().isNull()
    assert learning.figures.rows.rowCount() > 6
    assert learning.widget().minimumSizeHint().width() <= common.WIDTH - SCROLL_BAR
    qtbot.waitUntil(lambda: stain.controls.models.findData("mine") >= 0, timeout=WAIT)
    qtbot.waitUntil(lambda: learning.controls.models.findData("mine") >= 0, timeout=WAIT)
    assert learning.controls.name.text() == "mine-2"
    assert learning.controls.model == MODEL, "the new model does not take the old one's place"
    assert stain.controls.model == MODEL
    learning.controls.name.setText("mine")
    learning.start()
    assert "installed already" in seen[-1]


def test_cancel_keeps_the_best_and_a_second_click_nothing(qtbot, learning, install_folder):
    learning.controls.steps.setValue(100_000)
    learning.start()
    qtbot.waitUntil(lambda: bool(learning.progress.curve.curves), timeout=WAIT)
    learning.progress.cancel.click()
    assert learning.progress.cancel.text() == "Discard"
    learning.progress.cancel.click()
    qtbot.waitUntil(lambda: not learning.running, timeout=WAIT)
    assert dock_says(learning.done) == "Stopped; nothing was kept."
    assert [path.name for path in install_folder.iterdir()] == [MODEL]
    assert learning.button.isEnabled()
    assert learning.controls.isVisibleTo(learning)


def test_closing_the_dock_stops_the_training(qtbot, open_learning):
    learning = open_learning()
    learning.controls.steps.setValue(100_000)
    learning.start()
    qtbot.waitUntil(lambda: bool(learning.progress.curve.curves), timeout=WAIT)
    worker = learning.job._worker
    with qtbot.waitSignal(worker.finished, timeout=WAIT):
        learning.deleteLater()

    def over():
        return not any(x.name == "fluorgen-train" for x in threading.enumerate())

    qtbot.waitUntil(over, timeout=WAIT)


def test_trouble_in_the_pairs_is_one_sentence(qtbot, learning, viewer):
    seen = notifications()
    viewer.layers["my lipids"].data = np.full((96, 128), 7, np.uint16)
    learning.start()
    qtbot.waitUntil(lambda: not learning.running, timeout=WAIT)
    assert len(seen) == 1
    assert "constant" in seen[0]
    assert "\n" not in seen[0]
    assert learning.button.isEnabled()
    assert not learning.progress.isVisibleTo(learning)


def dock_says(label):
    """Return a paragraph without the places where it may wrap."""
    return label.text().replace("\u200b", "")
