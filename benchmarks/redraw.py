"""Time the Confidence dock on a field of full size in a real napari window.

    xvfb-run -a -s "-screen 0 1600x1000x24" python benchmarks/redraw.py [--output redraw.json]

Moves the significance slider and judges nuclei of a field of 2160 x 2560 pixels that is made up.
"until drawn" ends when napari has sent the picture to the graphics card; without one (as under
Xvfb) the processor paints the whole window, which takes "window alone" even when nothing changes.
"work" is processor time of this process, which other programs on the machine do not lengthen.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_fluorgen.stack import FieldIdentity, StainedField
from napari_fluorgen.widgets.docks.common import add_layer
from napari_fluorgen.widgets.docks.confidence import ConfidenceDock
from napari_fluorgen.widgets.presenters.layers import result_layers
from napari_fluorgen.widgets.presenters.spatial import Spatial

SHAPE = (2160, 2560)
LIMIT_MS = 100.0


def made_up_field(pitch: int = 90) -> StainedField:
    """A field of round nuclei whose rims are uncertain; every third waits for a person."""
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    y, x = rows % pitch - pitch // 2, columns % pitch - pitch // 2
    distance = np.hypot(y, x).astype(np.float32)
    probability = 1 / (1 + np.exp((distance - 25) / 3)).astype(np.float32)
    number = rows // pitch * (SHAPE[1] // pitch + 1) + columns // pitch + 1
    labels = np.where(distance < 25, number, 0).astype(np.uint32)
    present = np.unique(labels[labels > 0])
    labels = np.searchsorted(present, labels, side="right").astype(np.uint32)
    n = present.size
    nuclei = {
        "label": np.arange(1, n + 1, dtype=np.uint32),
        "probability_mean": np.full(n, 0.9),
        "p_value": np.full(n, 0.02),
        "confidence": np.full(n, 0.9),
        "decision": np.array(["accept", "accept", "review"])[np.arange(n) % 3],
        "reviewed": np.full(n, "", "<U6"),
    }
    image = (2000 * probability).astype(np.uint16)
    return StainedField(
        identity=FieldIdentity("made_up"),
        pixel_size_um=(0.325, 0.325),
        images={"nuclei": image, "lipids": image, "cytoplasm": image},
        nuclei_probability=probability,
        nuclei_labels=labels,
        p_values={"nucleus": probability, "background": 1 - probability},
        provenance={"model": {"name": "made up"}, "request": {"fdr": 0.1}},
        nuclei=nuclei,
    )


def timed(act: Callable[[int], object], repeats: int) -> dict[str, float]:
    """Median milliseconds until an act returns and until the window shows it, and their work."""
    runs: list[tuple[float, ...]] = []
    for number in range(repeats):
        settle(0.05)
        clocks = [(time.perf_counter(), time.process_time())]
        act(number)
        clocks.append((time.perf_counter(), time.process_time()))
        QApplication.processEvents()
        clocks.append((time.perf_counter(), time.process_time()))
        (wall, work), *later = clocks
        runs.append(tuple(1e3 * x for w, c in later for x in (w - wall, c - work)))
    names = ("returned_ms", "returned_cpu_ms", "drawn_ms", "drawn_cpu_ms")
    medians = (statistics.median(column) for column in zip(*runs, strict=True))
    return dict(zip(names, medians, strict=True))


def settle(seconds: float) -> None:
    """Let napari finish what it has begun."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()


def main() -> int:
    """Print a table, write JSON, and return 1 where the map takes longer than `LIMIT_MS`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--output", type=Path, help="write the result here as JSON")
    options = parser.parse_args()
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1580, 960)
    dock = ConfidenceDock(viewer)
    viewer.window.add_dock_widget(dock, name="Confidence")
    field = made_up_field()
    for spec in result_layers(field, Spatial.of_pixels(field.pixel_size_um), run="made up"):
        add_layer(viewer, spec)
    while dock.review.nuclei is None:
        settle(0.1)
    dock.map.button.click()
    settle(1.0)
    canvas = viewer.window._qt_viewer.canvas._scene_canvas
    acts: dict[str, Callable[[int], object]] = {
        "window alone": lambda _number: canvas.update(),
        "slider": lambda number: dock.map.slider.setValue(5 + number % 30),
        "next nucleus": lambda _number: dock.review.walk(1),
        "accept": lambda _number: dock.review.decide("accept"),
    }
    result: dict[str, object] = {"shape": SHAPE, "nuclei": int(field.nuclei_labels.max())}
    print(f"{SHAPE[0]} x {SHAPE[1]} pixels, {result['nuclei']} nuclei, median of {options.repeats}")
    print(f"{'ms':16}{'dock and layer':>15}{'(work)':>9}{'until drawn':>14}{'(work)':>9}")
    for name, act in acts.items():
        found = result[name] = timed(act, options.repeats)
        first, work, drawn, all_work = found.values()
        print(f"{name:16}{first:15.1f}{work:9.1f}{drawn:14.1f}{all_work:9.1f}")
    result |= {"python": platform.python_version(), "machine": platform.machine()}
    if options.output:
        options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    slider = result["slider"]
    assert isinstance(slider, dict)
    viewer.close()
    return 0 if slider["returned_ms"] < LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
