"""The Confidence dock calibrating a model again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import tifffile

from .conftest import WAIT, add_result, make_planes, ready


def write_pair(folder: Path, number: int) -> None:
    stem = f"Demo_B03_T0001F{number:03d}L01"
    for index, plane in enumerate(make_planes(number), start=1):
        tifffile.imwrite(folder / f"{stem}A04Z{index:02d}C04.tif", plane)
    truth = np.full((96, 128), 100, np.uint16)
    y, x = np.mgrid[:96, :128]
    labels = np.zeros((96, 128), np.uint16)
    for nucleus, (row, column) in enumerate([(30, 30), (60, 90)], start=1):
        labels[(y - row) ** 2 + (x - column) ** 2 < 150] = nucleus
    truth[labels > 0] = 2000
    tifffile.imwrite(folder / f"{stem}A01Z01C01.tif", truth)
    (folder / "labels").mkdir(exist_ok=True)
    tifffile.imwrite(folder / "labels" / f"{stem}_nuclei.tif", labels)


def test_recalibration_makes_a_model_and_judges_again(
    viewer, qtbot, dock, stack, result, tmp_path, install_folder
):
    from napari_fluorgen.models import list_models

    pairs = tmp_path / "pairs"
    pairs.mkdir()
    for number in (1, 2):
        write_pair(pairs, number)
    labels = add_result(viewer, replace(result, p_values={}, verdict="Not alike."), stack)[-1]
    ready(qtbot, dock)
    dock.recalibrate.start(pairs)
    assert dock.recalibrate.cancel.isVisibleTo(dock)
    qtbot.waitUntil(lambda: not dock.recalibrate.running, timeout=WAIT)
    assert "2 fields" in dock.recalibrate.done.text()
    assert "tiny-20x-recalibrated" in [model.name for model in list_models()]
    qtbot.waitUntil(lambda: dock.run().has_confidence, timeout=WAIT)
    assert "B03 s1 is judged by it now" in dock.recalibrate.done.text()
    assert not dock.verdict.isVisibleTo(dock)
    assert dock.map.button.isEnabled()
    assert np.isfinite(labels.features["p_value"]).all()
    provenance = dock.run().provenance
    assert provenance["calibration"] == "tiny-20x-recalibrated"
    assert provenance["confidence"]["calibrated_on_fields"] == 2
    view = dock.calibration
    view.advanced.toggle.setChecked(True)
    qtbot.waitUntil(lambda: "2 calibration fields" in view.caption.text(), timeout=WAIT)
    assert view.plot.curves.low is not None


def test_a_stopped_recalibration_leaves_nothing(
    viewer, qtbot, dock, stack, judged, tmp_path, install_folder
):
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    for number in (1, 2, 3):
        write_pair(pairs, number)
    add_result(viewer, judged, stack)
    before = sorted(install_folder.iterdir())
    dock.recalibrate.start(pairs)
    dock.recalibrate.cancel.click()
    qtbot.waitUntil(lambda: not dock.recalibrate.running, timeout=WAIT)
    assert "Stopped" in dock.recalibrate.done.text()
    assert sorted(install_folder.iterdir()) == before


def test_pairs_that_are_none_become_one_sentence(
    viewer, qtbot, dock, stack, judged, tmp_path, install_folder
):
    from napari.utils.notifications import notification_manager

    add_result(viewer, judged, stack)
    seen = []
    notification_manager.notification_ready.connect(lambda n: seen.append(str(n.message)))
    (tmp_path / "nothing").mkdir()
    dock.recalibrate.start(tmp_path / "nothing")
    qtbot.waitUntil(lambda: bool(seen), timeout=WAIT)
    assert "\n" not in seen[0]
    assert "nothing" in seen[0]
    qtbot.waitUntil(lambda: not dock.recalibrate.running, timeout=WAIT)
    assert dock.recalibrate.button.isEnabled()
