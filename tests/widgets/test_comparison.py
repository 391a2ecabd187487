"""Comparing with a true stain, in *Measure & export*."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.measure import MeasureDock
from napari_fluorgen.widgets.presenters.layers import stack_layers
from napari_fluorgen.widgets.presenters.results import find_runs, layers_of_run

from .conftest import WAIT, add_result


@pytest.fixture
def dock(viewer, qtbot):
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    return dock


@pytest.fixture
def part(dock):
    return dock.comparison


def add_truth(viewer, stack):
    return [common.add_layer(viewer, spec) for spec in stack_layers(stack)[1:]]


def chosen(part):
    return {role: layer.name for role, layer in part.chosen().items()}


def differences(viewer):
    return [layer for layer in viewer.layers if layer.name.endswith("− true")]


def test_true_stains_of_the_field_are_compared_at_a_click(viewer, qtbot, stack, result, part):
    assert part.isHidden()
    add_result(viewer, result, stack)
    assert part.isHidden(), "nothing to compare with"
    lipids, nuclei = add_truth(viewer, stack)
    assert not part.isHidden()
    assert chosen(part) == {"nuclei": nuclei.name, "lipids": lipids.name}
    viewer.layers.selection.active = lipids
    part.button.click()
    assert not part.button.isEnabled(), "one piece of work at a time"
    qtbot.waitUntil(lambda: "Nuclei: error" in part.found.text(), timeout=WAIT)
    assert "Lipids: error" in part.found.text()
    shown, hidden = differences(viewer)
    assert (shown.name, shown.visible) == ("B03 s1 nuclei − true", True)
    assert not hidden.visible
    low, high = shown.contrast_limits
    assert low == -high, "white is right"
    np.testing.assert_allclose(shown.colormap.map(np.array([0.5]))[0, :3], 1, atol=0.02)
    assert viewer.layers.selection.active.name == lipids.name
    key = find_runs(viewer.layers)[0].key
    assert shown in layers_of_run(viewer.layers, key), "goes when the result is replaced"
    qtbot.waitUntil(part.button.isEnabled, timeout=WAIT)
    part.button.click()
    qtbot.waitUntil(lambda: "Nuclei: error" in part.found.text(), timeout=WAIT)
    assert len(differences(viewer)) == 2, "maps are updated, not doubled"


def test_true_outlines_take_the_place_of_those_found_in_the_stain(
    viewer, qtbot, outlined, result, part
):
    add_result(viewer, result, outlined)
    *_, outlines = add_truth(viewer, outlined)
    assert chosen(part)["labels"] == outlines.name
    part.button.click()
    qtbot.waitUntil(lambda: "1 of 1 true nuclei found, 2 false" in part.found.text(), timeout=WAIT)
    assert "outlined automatically" not in part.doubts.text()
    (run,) = find_runs(viewer.layers)
    assert outlines not in run.layers.values()


def test_what_the_user_chose_stays_until_another_result(viewer, qtbot, stack, result, part):
    add_result(viewer, result, stack)
    lipids, nuclei = add_truth(viewer, stack)
    common.choose(part.truth["nuclei"], str(lipids.unique_id))
    viewer.add_image(np.zeros((8, 8)))
    assert chosen(part)["nuclei"] == lipids.name
    common.choose(part.truth["nuclei"], None)
    common.choose(part.truth["lipids"], None)
    assert not part.button.isEnabled()
    add_result(viewer, result, stack, run="second")
    assert chosen(part) == {"nuclei": nuclei.name, "lipids": lipids.name}


def test_planes_of_other_sizes_and_own_maps_are_not_offered(viewer, qtbot, stack, result, part):
    add_result(viewer, result, stack)
    viewer.add_image(np.zeros((40, 30)), name="small")
    viewer.add_image(np.ones((96, 128)), name="mine")
    offered = [part.truth["nuclei"].itemText(i) for i in range(part.truth["nuclei"].count())]
    assert offered == ["–", "mine"]
    assert part.truth["labels"].count() == 1
    assert chosen(part) == {}


def test_a_result_that_went_meanwhile_leaves_no_map(viewer, qtbot, stack, result, part):
    layers = add_result(viewer, result, stack)
    add_truth(viewer, stack)
    part.button.click()
    for layer in layers:
        viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: not part.line.text(), timeout=WAIT)
    assert differences(viewer) == []
