"""The *Virtual stain* dock with a real, tiny model in a real viewer."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtWidgets import QApplication

from napari_fluorgen.io import read_plate
from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.confidence import ConfidenceDock
from napari_fluorgen.widgets.docks.run_layers import show_run
from napari_fluorgen.widgets.docks.stain import StainDock
from napari_fluorgen.widgets.presenters.layers import STAINING, record_of, stack_layers
from napari_fluorgen.widgets.presenters.results import field_of_run, find_runs

from .conftest import MODEL, make_planes, write_site

WAIT = 120_000


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def dock(stain_dock):
    return stain_dock


def add_stack(viewer, stack):
    brightfield, *_ = [common.add_layer(viewer, spec) for spec in stack_layers(stack)]
    return brightfield


def idle(dock):
    return lambda: not dock.book.running


def notifications():
    from napari.utils.notifications import notification_manager

    seen = []
    notification_manager.notification_ready.connect(lambda n: seen.append(str(n.message)))
    return seen


def test_empty_state(dock):
    assert "Load stacks" in dock.hint.text()
    assert not dock.button.isEnabled()
    assert dock.widget().minimumSizeHint().width() <= common.WIDTH - 24
    devices = [dock.controls.devices.itemData(i) for i in range(dock.controls.devices.count())]
    assert devices[-1] == "cpu"


def test_no_model_says_how_to_get_one(viewer, qtbot, stack, tmp_path, monkeypatch):
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(tmp_path))
    monkeypatch.setattr("napari_fluorgen.models.library._search_folders", lambda: [tmp_path])
    dock = StainDock(viewer)
    qtbot.addWidget(dock)
    add_stack(viewer, stack)
    qtbot.waitUntil(lambda: "No model" in dock.hint.text(), timeout=WAIT)
    assert not dock.button.isEnabled()


def test_one_click_gives_stains_nuclei_and_confidence(viewer, qtbot, dock, stack):
    source = add_stack(viewer, stack)
    before = len(viewer.layers)
    assert dock.controls.model == MODEL
    qtbot.waitUntil(lambda: bool(dock.estimate.text()), timeout=WAIT)
    assert "memory" in dock.estimate.text()
    assert "simulated" in dock.warnings.text()
    dock.button.click()
    assert dock.progress.isVisibleTo(dock)
    assert not dock.button.isVisibleTo(dock)
    qtbot.waitUntil(idle(dock), timeout=WAIT)
    assert "nuclei" in dock.done.text()
    (run,) = find_runs(viewer.layers)
    assert run.source_id == str(source.unique_id)
    assert len(viewer.layers) - before == 7
    field = field_of_run(run)
    assert {name: image.shape for name, image in field.images.items()} == dict.fromkeys(
        ("nuclei", "lipids", "cytoplasm"), (96, 128)
    )
    assert field.images["lipids"].dtype == np.uint16
    assert field.provenance["model"]["name"] == MODEL
    assert field.provenance["request"]["device"] in ("cpu", "cuda", "mps")
    assert run.layers["nuclei labels"].contour == 2
    assert not run.layers["p-value nucleus"].visible
    assert not source.visible
    assert tuple(run.layers["lipids"].scale) == (0.3, 0.35)
    assert record_of(run.layers["lipids"].metadata)["identity"] == stack.identity


def test_a_second_run_stands_beside_or_replaces(viewer, qtbot, dock, stack):
    add_stack(viewer, stack)
    for _ in range(2):
        dock.start()
        qtbot.waitUntil(idle(dock), timeout=WAIT)
    assert [run.title for run in find_runs(viewer.layers)] == ["B03 s1 (2)", "B03 s1"]
    assert dock.replace.isVisibleTo(dock)
    confidence = ConfidenceDock(viewer)
    qtbot.addWidget(confidence)
    confidence.map.button.click()
    assert confidence.map_layer() is not None
    dock.replace.setChecked(True)
    dock.start()
    qtbot.waitUntil(idle(dock), timeout=WAIT)
    assert [run.title for run in find_runs(viewer.layers)] == ["B03 s1"]
    assert not any("regions" in layer.name for layer in viewer.layers), "no map without its result"


def test_cancel_stops_between_tiles_and_adds_nothing(viewer, qtbot, dock):
    viewer.add_image(make_planes(1, (512, 512)), name="big")
    before = list(viewer.layers)
    dock.controls.tile.setValue(64)
    dock.start()
    tiles = []
    show = dock.progress.show_event

    def watch(event):
        show(event)
        if hasattr(event, "done"):
            tiles.append(event)
            dock.stop()

    dock.job._on_event = watch
    qtbot.waitUntil(idle(dock), timeout=WAIT)
    assert tiles[0].total > 20
    assert len(tiles) == 1, "events after the click are dropped"
    assert list(viewer.layers) == before
    assert "Stopped" in dock.done.text()
    assert dock.button.isVisibleTo(dock)


def test_a_result_without_its_layer_is_dropped(viewer, qtbot, dock, stack):
    source = add_stack(viewer, stack)
    dock.start()
    viewer.layers.remove(source)
    qtbot.waitUntil(idle(dock), timeout=WAIT)
    assert not find_runs(viewer.layers)
    assert "dropped" in dock.done.text()


def test_the_result_goes_to_the_stack_that_was_stained(viewer, qtbot, dock, stack):
    source = add_stack(viewer, stack)
    dock.start()
    other = viewer.add_image(make_planes(9, (40, 40)), name="other")
    viewer.layers.selection.active = other
    qtbot.waitUntil(idle(dock), timeout=WAIT)
    (run,) = find_runs(viewer.layers)
    assert run.source_id == str(source.unique_id)
    assert run.layers["lipids"].data.shape == (96, 128)
    assert viewer.layers.selection.active.name == other.name


def test_a_late_result_does_not_cover_the_next_field(viewer, qtbot, dock, stack):
    source = add_stack(viewer, stack)
    dock.start()
    assert record_of(source.metadata)[STAINING]
    source.visible = False
    viewer.add_image(make_planes(9, (40, 40)), name="next")
    qtbot.waitUntil(idle(dock), timeout=WAIT)
    (run,) = find_runs(viewer.layers)
    assert not any(layer.visible for layer in run.layers.values())
    assert "hidden" in dock.done.text()
    assert STAINING not in record_of(source.metadata)


def test_the_choice_follows_the_selection(viewer, dock, stack):
    source = add_stack(viewer, stack)
    other = viewer.add_image(make_planes(9, (40, 40)), name="other")
    assert dock.layer().name == other.name
    viewer.layers.selection.active = source
    assert dock.layer().name == source.name
    viewer.layers.selection.active = viewer.layers[1]  # a true stain is no stack
    assert dock.layer().name == source.name


def test_a_new_name_is_listed_and_chooses_nothing(viewer, dock, stack):
    source = add_stack(viewer, stack)
    other = viewer.add_image(make_planes(9, (40, 40)), name="other")
    box = dock.controls.layers
    common.choose(box, str(source.unique_id))  # in the list; the selection is elsewhere
    other.name = "third field"
    assert "third field" in [box.itemText(i) for i in range(box.count())]
    assert "other" not in [box.itemText(i) for i in range(box.count())]
    assert dock.layer().name == source.name


def test_what_is_no_stack_is_not_offered(viewer, dock):
    viewer.add_image(np.zeros((16, 16)))
    viewer.add_image(np.zeros((4, 16, 16, 3), np.uint8), rgb=True)
    viewer.add_labels(np.zeros((4, 16, 16), int))
    viewer.add_points(np.zeros((2, 3)))
    assert dock.controls.layers.count() == 0


def test_adaptations_are_said_before_the_click(viewer, qtbot, dock):
    viewer.add_image(
        make_planes(2, planes=5), scale=(2, 0.2, 0.2), units=("micrometer",) * 3, name="mine"
    )
    qtbot.waitUntil(lambda: "0.2" in dock.warnings.text(), timeout=WAIT)
    assert "5" in dock.warnings.text()


def test_a_scale_without_unit_is_asked_back(viewer, qtbot, dock):
    viewer.add_image(make_planes(2), scale=(2, 0.2, 0.2), name="mine")
    qtbot.waitUntil(lambda: "no unit of length" in dock.warnings.text(), timeout=WAIT)


def test_a_corrected_scale_is_looked_at_again(viewer, qtbot, dock, monkeypatch):
    suggested = []
    monkeypatch.setattr(dock.controls, "suggest", suggested.append)
    layer = viewer.add_image(
        make_planes(2), scale=(2, 0.2, 0.2), units=("micrometer",) * 3, name="mine"
    )
    qtbot.waitUntil(lambda: "0.2 µm" in dock.warnings.text(), timeout=WAIT)
    layer.scale = (2, 0.65, 0.65)
    assert suggested[-1] == pytest.approx((0.65, 0.65))
    qtbot.waitUntil(lambda: "0.65" in dock.warnings.text(), timeout=WAIT)
    layer.units = ("pixel",) * 3
    assert suggested[-1] is None
    qtbot.waitUntil(lambda: "no unit of length" in dock.warnings.text(), timeout=WAIT)
    viewer.add_image(make_planes(3, (40, 40)), name="next")
    count = len(suggested)
    layer.scale = (2, 0.3, 0.3)
    assert len(suggested) == count, "only the chosen stack counts"


def test_broken_stacks_end_in_one_sentence(viewer, qtbot, dock):
    seen = notifications()
    planes = make_planes(1).astype(np.float32)
    planes[3, 10, 10] = np.nan
    viewer.add_image(planes, name="with holes")
    dock.start()
    qtbot.waitUntil(idle(dock), timeout=WAIT)
    assert len(seen) == 1
    assert "\n" not in seen[0]
    assert "NaN" in seen[0]
    assert dock.button.isEnabled()


def test_closing_the_dock_stops_the_work(viewer, qtbot, models):
    dock = StainDock(viewer)
    qtbot.waitUntil(lambda: dock.controls.devices.count() > 0, timeout=WAIT)
    viewer.add_image(make_planes(1, (512, 512)), name="big")
    dock.controls.tile.setValue(64)
    dock.start()
    worker = dock.job._worker
    with qtbot.waitSignal(worker.finished, timeout=WAIT):
        dock.deleteLater()
    assert worker.abort_requested
    assert not find_runs(viewer.layers)


def test_naparis_x_stops_the_work_and_lets_the_layer_go(viewer, qtbot, models, stack):
    dock = StainDock(viewer)
    frame = viewer.window.add_dock_widget(dock, name="Virtual stain")
    qtbot.waitUntil(lambda: dock.controls.devices.count() > 0, timeout=WAIT)
    source = add_stack(viewer, replace(stack, data=make_planes(1, (512, 512)), truth={}))
    dock.controls.tile.setValue(64)
    dock.start()
    assert record_of(source.metadata)[STAINING]
    worker = dock.job._worker
    with qtbot.waitSignal(worker.finished, timeout=WAIT):
        frame.destroyOnClose()
    assert worker.abort_requested
    assert STAINING not in record_of(source.metadata)
    assert not find_runs(viewer.layers)


def test_cancel_in_naparis_activity_dock_is_a_stop(viewer, qtbot, dock):
    viewer.add_image(make_planes(1, (512, 512)), name="big")
    dock.controls.tile.setValue(64)
    dock.start()
    dock.job._worker.yielded.connect(lambda _event: worker.quit())
    worker = dock.job._worker
    qtbot.waitUntil(idle(dock), timeout=WAIT)
    assert not find_runs(viewer.layers)
    assert "Stopped" in dock.done.text()


def test_pixels_of_a_stopped_run_are_let_go_with_their_layer(viewer, qtbot, dock):
    planes = make_planes(1, (512, 512))
    gone = weakref.ref(planes)
    layer = viewer.add_image(planes, name="mine")
    del planes
    dock.controls.tile.setValue(64)
    dock.start()
    worker = weakref.proxy(dock.job._worker)
    dock.job._worker.yielded.connect(lambda _event: worker.quit())
    qtbot.waitUntil(idle(dock), timeout=WAIT)
    viewer.layers.remove(layer)
    del layer

    def freed():
        gc.collect()
        return gone() is None

    qtbot.waitUntil(freed, timeout=WAIT)


def test_the_card_is_one_click_away(qtbot, dock, viewer, stack):
    from napari_fluorgen.widgets.docks.model_card import show_card

    dialog = show_card(dock, MODEL)
    assert dialog.isVisible()
    dialog.close()


def test_a_given_pixel_size_travels_with_the_result(viewer, qtbot, dock):
    viewer.add_image(make_planes(1), name="unknown")
    dock.controls.pixel_size.setValue(0.3)
    dock.start()
    qtbot.waitUntil(idle(dock), timeout=WAIT)
    (run,) = find_runs(viewer.layers)
    assert field_of_run(run).pixel_size_um == (0.3, 0.3)


def test_the_copied_call_gives_the_same_result(viewer, qtbot, dock, tmp_path):
    for time in (1, 2):
        write_site(tmp_path, "B03", 1, seed=time, time=time)
    source = add_stack(viewer, read_plate(tmp_path).read("B03", 1, timepoint=2))
    source.scale = (2.0, 0.3, 0.35)
    source.units = ("micrometer",) * 3
    dock.start()
    qtbot.waitUntil(idle(dock), timeout=WAIT)
    dock.controls.copy.click()
    names = {}
    exec(QApplication.clipboard().text(), names)
    stained = field_of_run(find_runs(viewer.layers)[0])
    assert names["field"].identity == stained.identity
    assert names["field"].pixel_size_um == stained.pixel_size_um == (0.3, 0.35)
    assert names["stack"].z_um == (0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0)
    for stain, image in stained.images.items():
        np.testing.assert_array_equal(names["field"].images[stain], image)


def test_there_is_no_call_for_what_cannot_be_stained(viewer, dock):
    viewer.add_image(np.zeros((2, 3, 16, 16)), name="film")
    QApplication.clipboard().setText("before")
    seen = notifications()
    dock.controls.copy.click()
    assert "4 axes" in seen[0]
    assert QApplication.clipboard().text() == "before"


def test_a_reopened_dock_gives_results_of_their_own(viewer, qtbot, models, stack, result):
    source = add_stack(viewer, stack)
    for _opened in range(2):
        dock = StainDock(viewer)
        qtbot.addWidget(dock)
        ticket = dock.book.open(str(source.unique_id))
        show_run(viewer, source, ticket, result, replace=False)
    newest, oldest = find_runs(viewer.layers)
    assert (newest.title, oldest.title) == ("B03 s1 (2)", "B03 s1")
    assert not {id(x) for x in newest.layers.values()} & {id(x) for x in oldest.layers.values()}
