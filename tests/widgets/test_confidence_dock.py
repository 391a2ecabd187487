"""The Confidence dock in a real viewer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.confidence import ConfidenceDock
from napari_fluorgen.widgets.presenters.layers import record_of, stack_layers
from napari_fluorgen.widgets.presenters.recalibrating import Recalibrated
from napari_fluorgen.widgets.presenters.results import field_of_run, find_runs

from .conftest import MODEL, WAIT, add_result, ready


def labels_of(viewer):
    return find_runs(viewer.layers)[0].layers["nuclei labels"]


def test_map_follows_the_slider(viewer, qtbot, dock, stack, result):
    assert not dock.map.button.isEnabled()
    add_result(viewer, result, stack)
    assert dock.map.button.isEnabled()
    dock.map.button.click()
    layer = dock.map_layer()
    assert layer.visible
    assert layer.data.dtype == np.uint8
    assert np.count_nonzero(layer.data == 3) == np.count_nonzero(result.nuclei_labels == 2)
    dock.map.slider.setValue(dock.map.slider.maximum() - 10)  # 0.40: nothing is plausible as both
    assert np.count_nonzero(layer.data == 3) == 0
    assert record_of(layer.metadata)["significance"] == pytest.approx(0.4)
    assert record_of(layer.metadata)["provenance"] == result.provenance
    assert dock.map.button.text() == "Hide confidence map"
    dock.map.button.click()
    assert not layer.visible
    layer.visible = True  # by its eye in the layer list
    assert dock.map.button.text() == "Hide confidence map"
    assert len(find_runs(viewer.layers)) == 1, "the map is no result"


def test_what_is_drawn_in_place_is_seen(viewer, qtbot, dock, stack, result):
    add_result(viewer, result, stack)
    dock.map.button.click()
    layer = dock.map_layer()
    before = np.array(layer._slice.image.view)
    dock.map.slider.setValue(dock.map.slider.maximum() - 10)
    assert not np.array_equal(layer._slice.image.view, before)


def test_large_maps_are_drawn_in_the_background(viewer, qtbot, dock, stack, result, monkeypatch):
    monkeypatch.setattr("napari_fluorgen.widgets.docks.region_map._LIVE_PIXELS", 10)
    add_result(viewer, result, stack)
    dock.map.button.click()
    layer = dock.map_layer()
    dock.map.slider.setValue(dock.map.slider.maximum() - 10)
    qtbot.waitUntil(lambda: np.count_nonzero(layer.data == 3) == 0, timeout=WAIT)


def test_simulated_calibration_is_no_promise_for_real_pictures(viewer, dock, stack, result):
    add_result(viewer, result, stack, run="real")
    assert not dock.caution.isVisibleTo(dock)
    provenance = {"model": {"name": "m", "simulated": True}}
    add_result(viewer, replace(result, provenance=provenance), stack, run="simulated")
    assert "simulated" in dock.caution.text()
    assert dock.caution.isVisibleTo(dock)


def test_without_calibration_it_says_what_to_do(viewer, dock, stack, result):
    add_result(viewer, replace(result, p_values={}), stack)
    assert "ecalibrate" in dock.hint.text()
    assert not dock.map.button.isEnabled()
    assert dock.recalibrate.button.isEnabled()


def test_nuclei_are_counted_and_outlined_by_decision(viewer, qtbot, dock, stack, judged):
    active = add_result(viewer, judged, stack)[-1]
    viewer.layers.selection.active = active
    ready(qtbot, dock)
    text = dock.review.counts.text()
    assert text.startswith("3 nuclei: 1 trusted, 1 to review, 1 rejected; of the trusted at most")
    assert "20 %" in text
    layer = dock.review.layer()
    assert viewer.layers.selection.active.name == active.name, "the selection is the user's"
    inside = judged.nuclei_labels
    for label, code in ((1, 1), (2, 2), (3, 3)):
        drawn = np.unique(layer.data[inside == label])
        assert set(drawn) == {0, code}, "an outline, clear within"
    assert set(np.unique(layer.data[inside == 0])) == {0, 5}, "a dark rim around them"
    dock.review.outline.setChecked(False)
    assert not layer.visible
    dock.review.outline.setChecked(True)
    assert layer.visible
    active.visible = False
    assert not layer.visible
    assert len(find_runs(viewer.layers)) == 1


def test_walk_and_judge_with_keys(viewer, qtbot, dock, stack, judged):
    decisions = np.array(["review", "review", "reject"])
    judged = replace(judged, nuclei={**judged.nuclei, "decision": decisions})
    labels = add_result(viewer, judged, stack)[-1]
    ready(qtbot, dock)
    keys = {str(key): action for key, action in viewer.keymap.items()}
    assert {"N", "Shift+N", "A", "R"} <= keys.keys()
    keys["A"](viewer)
    assert not (labels.features["reviewed"] != "").any(), "none is looked at yet"
    keys["N"](viewer)
    assert dock.review.current == 1
    assert labels.selected_label == 1
    where = labels.data_to_world((25, 30))
    np.testing.assert_allclose(viewer.camera.center[-2:], where)
    assert "Nucleus 1" in dock.review.line.text()
    assert "1 of 2" in dock.review.line.text()
    assert set(np.unique(dock.review.layer().data[judged.nuclei_labels == 1])) == {0, 4}
    keys["A"](viewer)
    assert dock.review.current == 2, "on to the next that waits"
    keys["R"](viewer)
    assert labels.features["reviewed"].tolist() == ["accept", "reject", ""]
    assert record_of(labels.metadata)["reviewed"] == {1: "accept", 2: "reject"}
    text = dock.review.counts.text()
    assert "1 trusted, 0 to review, 2 rejected" in text
    assert "2 judged by you" in text
    assert not dock.review.next.isEnabled()
    keys["Shift+N"](viewer)
    assert dock.review.current == 1, "a slip can be mended"
    keys["A"](viewer)  # the same again takes it back
    assert labels.features["reviewed"].tolist() == ["", "reject", ""]
    field = field_of_run(find_runs(viewer.layers)[0])
    assert list(field.decisions) == ["review", "reject", "reject"]
    assert not field.trusted.any()


def test_a_picked_nucleus_is_judged_too(viewer, qtbot, dock, stack, judged):
    labels = add_result(viewer, judged, stack)[-1]
    ready(qtbot, dock)
    labels.selected_label = 3
    assert dock.review.current == 3
    dock.review.accept.click()
    assert field_of_run(find_runs(viewer.layers)[0]).trusted.tolist() == [True, False, True]
    assert dock.review.current == 3, "it did not wait, so the view stays"


def test_a_review_of_files_is_written_back(viewer, qtbot, dock, stack, judged, tmp_path):
    from napari_fluorgen.io.results import read_field, write_field
    from napari_fluorgen.widgets.opening import read_result

    write_field(judged, tmp_path)
    name = judged.identity.name
    for spec in read_result(tmp_path, name):
        common.add_layer(viewer, spec)
    ready(qtbot, dock)
    assert not dock.review.save.isVisibleTo(dock)
    dock.review.walk(1)
    dock.review.decide("accept")
    assert dock.review.save.isVisibleTo(dock)
    dock.review.save.click()
    qtbot.waitUntil(lambda: "1 decision written" in dock.review.saved.text(), timeout=WAIT)
    assert not dock.review.save.isVisibleTo(dock)
    assert list(read_field(tmp_path, name).nuclei["reviewed"]) == ["", "accept", ""]
    assert list(read_field(tmp_path, name).trusted) == [True, True, False]


def test_the_writer_keeps_decisions(viewer, qtbot, dock, stack, judged, tmp_path):
    from napari_fluorgen.io.results import read_field
    from napari_fluorgen.widgets.writer import write_results

    add_result(viewer, judged, stack)
    ready(qtbot, dock)
    dock.review.look_at(3)
    dock.review.decide("accept")
    write_results(str(tmp_path), [layer.as_layer_data_tuple() for layer in viewer.layers])
    field = read_field(tmp_path, judged.identity.name)
    assert list(field.decisions) == ["accept", "review", "accept"]
    np.testing.assert_array_equal(field.nuclei["p_value"], judged.nuclei["p_value"])


def test_edited_nuclei_are_counted_again(viewer, qtbot, dock, stack, judged):
    labels = add_result(viewer, judged, stack)[-1]
    ready(qtbot, dock)
    data = np.where(judged.nuclei_labels == 1, 0, judged.nuclei_labels)
    data[:8, :8] = 9  # painted by hand
    labels.data = data
    qtbot.waitUntil(lambda: "0 trusted, 2 to review" in dock.review.counts.text(), timeout=WAIT)
    dock.review.look_at(9)
    dock.review.decide("accept")
    assert record_of(labels.metadata)["reviewed"] == {9: "accept"}
    field = field_of_run(find_runs(viewer.layers)[0])
    assert list(field.nuclei["label"]) == [1, 2, 3]
    assert list(field.decisions) == ["review", "reject", "accept"]
    assert np.isnan(field.nuclei["p_value"][-1])


def test_undone_edits_are_counted_again(viewer, qtbot, dock, stack, judged):
    labels = add_result(viewer, judged, stack)[-1]
    ready(qtbot, dock)
    labels.fill((25, 30), 0)
    qtbot.waitUntil(lambda: "2 nuclei: 0 trusted" in dock.review.counts.text(), timeout=WAIT)
    labels.undo()
    qtbot.waitUntil(lambda: "3 nuclei: 1 trusted" in dock.review.counts.text(), timeout=WAIT)
    assert set(np.unique(dock.review.layer().data[judged.nuclei_labels == 1])) == {0, 1}
    labels.redo()
    qtbot.waitUntil(lambda: "2 nuclei: 0 trusted" in dock.review.counts.text(), timeout=WAIT)


def test_another_calibration_leaves_edited_nuclei_what_is_theirs(
    viewer, qtbot, dock, stack, judged, models
):
    inside = {number: (38, 20 * number - 4) for number in range(1, 7)}
    image = np.zeros(judged.shape, np.uint32)
    for number, (row, column) in inside.items():
        image[row - 8 : row + 8, column - 8 : column + 8] = number
    nuclei = {
        "label": np.arange(1, 7, dtype=np.uint32),
        "probability_mean": np.full(6, 0.9),
        "p_value": np.full(6, 0.1),
        "confidence": np.full(6, 0.9),
        "decision": np.full(6, "accept"),
        "reviewed": np.full(6, "", "<U6"),
    }
    labels = add_result(viewer, replace(judged, nuclei_labels=image, nuclei=nuclei), stack)[-1]
    labels.features = labels.features.assign(AreaShape_Area=10 * labels.features["index"])
    ready(qtbot, dock)
    dock.review.look_at(5)
    dock.review.decide("reject")
    labels.data = np.where(image == 3, 0, image)
    assert dock.review.current is None, "numbers may mean other nuclei now"
    dock.recalibrate.made.emit("run", Recalibrated(MODEL, 3, ()))
    qtbot.waitUntil(lambda: dock.run().provenance.get("calibration") == MODEL, timeout=WAIT)
    left = [1, 2, 4, 5, 6]
    assert labels.features["index"].tolist() == left
    assert labels.features["AreaShape_Area"].tolist() == [10 * number for number in left]
    assert list(field_of_run(dock.run()).nuclei["reviewed"]) == ["", "", "", "reject", ""]


def test_what_is_decided_during_a_judgement_counts(viewer, qtbot, dock, stack, judged, models):
    add_result(viewer, judged, stack)
    ready(qtbot, dock)
    dock.review.look_at(1)
    dock.review.decide("accept")
    dock.recalibrate.made.emit("run", Recalibrated(MODEL, 3, ()))
    dock.review.decide("reject")
    qtbot.waitUntil(lambda: dock.run().provenance.get("calibration") == MODEL, timeout=WAIT)
    assert list(field_of_run(dock.run()).nuclei["reviewed"]) == ["reject", "", ""]


def test_results_that_were_never_judged_get_a_rule_of_thumb(viewer, qtbot, dock, stack, result):
    add_result(viewer, result, stack)
    qtbot.waitUntil(lambda: "2 trusted, 1 to review" in dock.review.counts.text(), timeout=WAIT)
    assert "rule of thumb" in dock.review.counts.text()
    dock.map.slider.setValue(dock.map.slider.maximum() - 10)
    qtbot.waitUntil(lambda: "3 trusted, 0 to review" in dock.review.counts.text(), timeout=WAIT)


def test_a_person_outlasts_the_slider(viewer, qtbot, dock, stack, result):
    labels = add_result(viewer, result, stack)[-1]
    qtbot.waitUntil(lambda: "1 to review" in dock.review.counts.text(), timeout=WAIT)
    dock.review.look_at(2)
    dock.review.decide("reject")
    dock.map.slider.setValue(dock.map.slider.maximum() - 10)
    qtbot.waitUntil(lambda: "2 trusted, 0 to review, 1" in dock.review.counts.text(), timeout=WAIT)
    assert labels.features["reviewed"].tolist() == ["", "reject", ""]


def test_a_stack_unlike_the_calibration_is_told_in_red(viewer, qtbot, dock, stack, judged):
    add_result(viewer, replace(judged, verdict="This stack does not look like it."), stack)
    ready(qtbot, dock)
    assert dock.verdict.isVisibleTo(dock)
    assert "is not known here" in dock.review.counts.text()
    place = dock.body.indexOf(dock.verdict)
    assert dock.body.indexOf(dock.recalibrate) == place + 1
    add_result(viewer, judged, stack, run="other")
    assert not dock.verdict.isVisibleTo(dock)
    assert dock.body.indexOf(dock.recalibrate) > dock.body.indexOf(dock.calibration)


def test_interval_widths_are_shown_on_request(viewer, dock, stack, judged):
    widths = {"lipids": np.full(judged.shape, 90, np.uint16)}
    add_result(viewer, replace(judged, widths=widths), stack)
    assert dock.widths["lipids"].isVisibleTo(dock)
    assert not dock.widths["cytoplasm"].isVisibleTo(dock)
    run = find_runs(viewer.layers)[0]
    assert not run.layers["width lipids"].visible
    dock.widths["lipids"].setChecked(True)
    assert run.layers["width lipids"].visible
    np.testing.assert_array_equal(field_of_run(run).widths["lipids"], widths["lipids"])


def test_truth_of_the_field_is_plotted(viewer, qtbot, dock, stack, judged):
    add_result(viewer, judged, stack)
    viewer.add_labels((judged.nuclei_labels > 0).astype(np.uint8), name="by hand")
    view = dock.calibration
    view.advanced.toggle.setChecked(True)
    assert common.choose(view.against, str(viewer.layers["by hand"].unique_id))
    qtbot.waitUntil(lambda: "by hand" in view.caption.text(), timeout=WAIT)
    curves = view.plot.curves
    assert curves.lines["nucleus"][0] == 0
    assert curves.lines["background"][-1] == 0
    dock.map.slider.setValue(9)
    assert view.numbers.text().startswith("At 0.10, 0.0 % of the nucleus and")
    truth = viewer.layers["by hand"]
    truth.data_setitem(np.nonzero(judged.nuclei_labels == 1), 0)
    qtbot.waitUntil(lambda: view.plot.curves is not curves, timeout=WAIT)
    qtbot.waitUntil(lambda: "by hand" in view.caption.text(), timeout=WAIT)
    assert view.plot.curves.lines["background"][-1] > 0, "what was painted counts"
    view.plot.resize(300, 220)
    assert not view.plot.grab().isNull()


def test_a_true_stain_is_plotted_within_the_limits_of_the_model(viewer, qtbot, dock, stack, judged):
    stack = replace(stack, truth={"nuclei": judged.images["nuclei"]})
    true = common.add_layer(viewer, stack_layers(stack)[1])
    view = dock.calibration
    view.advanced.toggle.setChecked(True)
    for largest, said in ((300, "This field against"), (30, "does not tell nuclei")):
        nuclei = {"min_area_um2": 15, "max_area_um2": largest}  # they have 39 µm²
        provenance = {**judged.provenance, "model": {"name": "m", "nuclei": nuclei}}
        add_result(viewer, replace(judged, provenance=provenance), stack, run=f"{largest}")
        assert common.choose(view.against, str(true.unique_id))
        qtbot.waitUntil(lambda said=said: said in view.caption.text(), timeout=WAIT)


def test_it_fits_the_dock_with_all_it_can_say(viewer, qtbot, dock, stack, judged):
    widths = {stain: np.full(judged.shape, 90, np.uint16) for stain in ("lipids", "cytoplasm")}
    add_result(viewer, replace(judged, widths=widths, verdict="Not alike."), stack)
    dock.calibration.advanced.toggle.setChecked(True)
    ready(qtbot, dock)
    assert dock.widget().minimumSizeHint().width() <= common.WIDTH - 24


def test_a_closed_dock_is_deaf(viewer, qtbot, stack, judged):
    dock = ConfidenceDock(viewer)
    labels = add_result(viewer, judged, stack)[-1]
    ready(qtbot, dock)
    with qtbot.waitSignal(dock.destroyed):
        dock.deleteLater()
    assert not viewer.keymap
    labels.data = np.zeros_like(labels.data)
    labels.selected_label = 2
    labels.features = {"index": [1]}
    add_result(viewer, judged, stack, run="other")


def test_naparis_x_frees_the_keys(viewer, qtbot):
    dock = ConfidenceDock(viewer)
    frame = viewer.window.add_dock_widget(dock, name="Confidence")
    assert viewer.keymap
    with qtbot.waitSignal(dock.destroyed, timeout=WAIT):
        frame.destroyOnClose()
    assert not viewer.keymap
