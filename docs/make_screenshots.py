"""Take the documentation's pictures of napari again, from the sample data.

    xvfb-run -a -s "-screen 0 1600x1000x24" python docs/make_screenshots.py

Everything is done as a user does it: the sample is opened in *Load stacks*, stained with a click,
judged, measured, stained as a whole plate, and learned from. Takes as long as two stainings of the
sample and the training of `--steps` steps a stain, plus some seconds.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_fluorgen.widgets.docks.common import WIDTH

PLUGIN = "napari-fluorgen"
NAMES = ("Load stacks", "Virtual stain", "Confidence", "Measure & export")
PATIENCE_S = 1200


def main() -> int:
    """Take the pictures; 1 when one cannot be taken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "images")
    parser.add_argument("--sample", type=Path, help="another plate than the sample data")
    parser.add_argument("--model", help="another model than the suggested one")
    parser.add_argument("--start", default="brightfield-20x", help="model that is trained on")
    parser.add_argument("--steps", type=int, default=60, help="of the training, for each stain")
    parser.add_argument("--only-train", action="store_true", help="only the picture of Train")
    parser.add_argument("--no-train", action="store_true", help="all pictures but that of Train")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1580, 960)
    docks, widgets = open_docks(viewer)
    with tempfile.TemporaryDirectory() as folder:
        widgets["Measure & export"].folder.setText(folder)
        try:
            if not options.only_train:
                take_all(viewer, docks, widgets, options)
                take_plate(viewer, widgets[NAMES[1]], options)
            if not options.no_train:
                # The trained model is not installed among the user's own.
                os.environ["FLUORGEN_MODEL_DIR"] = str(Path(folder) / "models")
                take_training(viewer, docks, widgets, options)
        except TimeoutError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            viewer.close()
    return 0


def open_docks(viewer: napari.Viewer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Open the four docks in two columns, in the order of the work."""
    docks, widgets = {}, {}
    for name in NAMES:
        docks[name], widgets[name] = viewer.window.add_plugin_dock_widget(PLUGIN, name)
    window = docks[NAMES[0]].parentWidget()
    window.splitDockWidget(docks[NAMES[0]], docks[NAMES[2]], Qt.Orientation.Horizontal)
    window.splitDockWidget(docks[NAMES[2]], docks[NAMES[3]], Qt.Orientation.Vertical)
    window.splitDockWidget(docks[NAMES[0]], docks[NAMES[1]], Qt.Orientation.Vertical)
    settle(1.0)
    across = [docks[NAMES[0]], docks[NAMES[2]]]
    window.resizeDocks(across, [WIDTH, WIDTH], Qt.Orientation.Horizontal)
    window.resizeDocks([docks[NAMES[0]], docks[NAMES[1]]], [400, 460], Qt.Orientation.Vertical)
    window.resizeDocks([docks[NAMES[2]], docks[NAMES[3]]], [400, 460], Qt.Orientation.Vertical)
    return docks, widgets


def take_all(viewer: napari.Viewer, docks: Any, widgets: Any, options: Any) -> None:
    """Walk through the work and take a picture at each stop."""
    load, stain, confidence, measure = (widgets[name] for name in NAMES)
    open_plate(load, options)
    load.grid.picked.emit(load.plate.wells[0])
    wait(lambda: stain.layer() is not None, "the stack")
    wait(lambda: stain.controls.model is not None, "a model")
    if options.model:
        index = stain.controls.models.findData(options.model)
        stain.controls.models.setCurrentIndex(index)
    wait(lambda: stain.estimate.text(), "the estimate")
    planes = viewer.layers[0].data.shape[0]
    viewer.dims.set_current_step(0, planes // 2)
    viewer.fit_to_view()
    scale_bar = viewer.canvas.overlays.scale_bar
    scale_bar.visible = True
    take(viewer, options.output / "load-stacks.png")

    source = stain.layer()
    stain.button.click()
    wait(lambda: not stain.book.running, "the stains")
    wait(lambda: stain.done.text().startswith("Done"), "a result")
    wait(lambda: confidence.run() is not None and confidence.review.nuclei, "the nuclei")
    take(viewer, options.output / "virtual-stain.png")

    measure.button.click()
    wait(lambda: measure.done.text(), "the measurements")
    take(viewer, options.output / "measure.png")

    take_comparison(viewer, docks, measure, options)
    take_confidence(viewer, docks, confidence, source, options)


def take_comparison(viewer: napari.Viewer, docks: Any, measure: Any, options: Any) -> None:
    """Compare with the true stains of the sample and look at the map of the nuclei."""
    before = list(viewer.layers)
    docks[NAMES[2]].hide()
    part = measure.comparison
    part.choice.toggle.setChecked(True)
    part.button.click()
    wait(part.found.text, "the comparison")
    measure.ensureWidgetVisible(part.found)
    take(viewer, options.output / "compare.png")
    part.choice.toggle.setChecked(False)
    for layer in [layer for layer in viewer.layers if layer not in before]:
        viewer.layers.remove(layer)
    docks[NAMES[2]].show()


def take_confidence(
    viewer: napari.Viewer, docks: Any, confidence: Any, source: Any, options: Any
) -> None:
    """Look at a nucleus among the outlines, then at the map over brightfield with the plot."""
    docks[NAMES[3]].hide()
    shown = [layer for layer in viewer.layers if layer.visible]
    review = confidence.review
    if review.next.isEnabled():
        review.walk(1)
    else:  # none waits for a person
        review.look_at(int(review.nuclei.labels[0]))
    take(viewer, options.output / "review.png")

    viewer.fit_to_view()
    confidence.map.button.click()
    for layer in shown:
        layer.visible = False
    source.visible = True
    confidence.map_layer().visible = True
    review.layer().visible = True
    plot = confidence.calibration
    plot.advanced.toggle.setChecked(True)
    wait(lambda: plot.plot.curves, "the calibration plot")
    settle(1.0)
    confidence.verticalScrollBar().setValue(confidence.verticalScrollBar().maximum())
    take(viewer, options.output / "confidence.png")


def take_plate(viewer: napari.Viewer, stain: Any, options: Any) -> None:
    """Stain all fields of the plate into a folder and show the result of the last."""
    folder = Path("stained plate")
    stain.plate.click()
    table = stain.plate.dock
    wait(lambda: table.plate.rows, "the fields of the plate")
    table.output.path.setText(str(folder))
    table.output.button.click()
    wait(lambda: table.done.text(), "the stained plate")
    shown = len(viewer.layers)
    table.table.cellActivated.emit(len(table.plate.rows) - 1, 0)
    wait(lambda: len(viewer.layers) > shown, "the result")
    viewer.fit_to_view()
    take(viewer, options.output / "stain-plate.png")
    table.parentWidget().destroyOnClose()
    shutil.rmtree(folder)


def take_training(viewer: napari.Viewer, docks: Any, widgets: Any, options: Any) -> None:
    """Train on all fields of the sample's first well and take a picture at the end."""
    load = widgets[NAMES[0]]
    viewer.layers.clear()
    for name in NAMES[1:]:
        docks[name].hide()
    if load.plate is None:
        open_plate(load, options)
    load.replace.setChecked(False)
    load.grid.picked.emit(load.plate.wells[0])
    for row in range(1, load.sites.count()):
        wait(lambda: viewer.layers, "a field")
        before = len(viewer.layers)
        load.sites.itemClicked.emit(load.sites.item(row))
        wait(lambda before=before: len(viewer.layers) > before, "the next field")
    docks[NAMES[0]].hide()
    dock, train = viewer.window.add_plugin_dock_widget(PLUGIN, "Train")
    dock.parentWidget().resizeDocks([dock], [WIDTH + 20], Qt.Orientation.Horizontal)
    wait(lambda: train.controls.model is not None, "a model")
    # A general model has most to learn from the sample.
    train.controls.models.setCurrentIndex(train.controls.models.findData(options.start))
    train.controls.steps.setValue(options.steps)
    train.controls.simulated.setChecked(not options.sample)
    train.button.click()
    wait(lambda: not train.running, "the new model")
    if not train.figures.isVisible():
        raise TimeoutError("The training gave no model; see the notification.")
    settle(1.0)
    train.verticalScrollBar().setValue(train.verticalScrollBar().maximum())
    take(viewer, options.output / "train.png")


def open_plate(load: Any, options: Any) -> None:
    """Open the sample, or the plate that was asked for."""
    if options.sample:
        load.open(options.sample)
    else:
        load.sample_button.click()
    wait(lambda: load.plate is not None, "the plate")


def wait(condition: Callable[[], Any], what: str) -> None:
    """Let napari work until something is there.

    Raises
    ------
    TimeoutError
        It does not come.
    """
    end = time.monotonic() + PATIENCE_S
    while not condition():
        QApplication.processEvents()
        time.sleep(0.02)
        if time.monotonic() > end:
            raise TimeoutError(f"Waited {PATIENCE_S} s for {what}; see the log above.")
    settle(0.3)


def settle(seconds: float) -> None:
    """Let napari draw."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


def take(viewer: napari.Viewer, path: Path) -> None:
    """Save a picture of the window."""
    settle(1.0)
    viewer.window.screenshot(str(path), canvas_only=False, flash=False)
    print(path)


if __name__ == "__main__":
    sys.exit(main())
