"""The map of the four prediction regions of a result, with its slider and legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.job import Job
from napari_fluorgen.widgets.presenters import confidence as words
from napari_fluorgen.widgets.presenters.layers import KEY, LayerSpec, record_of
from napari_fluorgen.widgets.presenters.results import LABELS, Run, layer_of_run
from napari_fluorgen.widgets.presenters.spatial import Spatial
from napari_fluorgen.widgets.steps import once

# Larger maps are drawn in the background once the slider rests. The two comparisons of a smaller
# one take a few milliseconds, less than a look-up in a map of ranks would.
_LIVE_PIXELS = 16_000_000
_REST_MS = 150


class RegionMap(QWidget):
    """Chooses the significance and draws which pixels are certain at it.

    Parameters
    ----------
    viewer : Viewer
        Where the map is added.
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._run: Run | None = None
        self._question = 0  # counts what was asked; an older answer is dropped
        self._build()
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(_REST_MS)
        self._rest.timeout.connect(self._rested)
        self.slider.valueChanged.connect(self._significance_changed)
        self.button.clicked.connect(self.toggle)

    def _build(self) -> None:
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, len(words.SIGNIFICANCES) - 1)
        self.slider.setValue(words.to_slider(0.05, words.SIGNIFICANCES))
        self.slider.setToolTip(
            "Share of the true pixels of a class that may be missed, on average; smaller is more "
            "careful and leaves more uncertain"
        )
        self.slider.setAccessibleName("Significance")
        self.value = QLabel()
        self.promise = common.text()
        self.button = common.main_button(
            "Show confidence map", "Adds a layer with the four regions above the stains"
        )
        self.legend = QGridLayout()
        self.legend.setContentsMargins(0, 0, 0, 0)
        self.legend.setColumnStretch(1, 1)
        self._shares: dict[int, QLabel] = {}
        for row, region in enumerate(words.REGIONS):
            title, share = QLabel(region.title), QLabel()
            share.setAlignment(Qt.AlignmentFlag.AlignRight)
            self._shares[region.code] = share
            line = (common.swatch(region.color, region.meaning), title, share)
            for column, widget in enumerate(line):
                widget.setToolTip(region.meaning)
                self.legend.addWidget(widget, row, column)
        rows = common.form()
        line = QHBoxLayout()
        line.addWidget(self.slider, 1)
        line.addWidget(self.value)
        rows.addRow("Significance", line)
        body = QVBoxLayout(self)
        body.setContentsMargins(0, 0, 0, 0)
        body.addWidget(self.button)
        body.addLayout(rows)
        body.addLayout(self.legend)
        body.addWidget(self.promise)

    @property
    def significance(self) -> float:
        """The chosen significance."""
        return words.SIGNIFICANCES[self.slider.value()]

    def layer(self) -> Any | None:
        """Return the layer with the regions of the chosen result, if there is one."""
        return (
            None
            if self._run is None
            else layer_of_run(self._viewer.layers, self._run.key, "regions")
        )

    def show_run(self, run: Run | None) -> None:
        """Judge the pixels of another result, or of none."""
        self._run = run if run is not None and run.has_confidence else None
        self.button.setEnabled(self._run is not None)
        self.slider.setEnabled(self._run is not None)
        self._significance_changed()

    def _significance_changed(self, _value: int = 0) -> None:
        self.value.setText(f"{self.significance:.2f}")
        run = self._run
        self._question += 1
        if run is None:
            common.say(self.promise, "")
            for label in self._shares.values():
                label.setText("")
            self._rest.stop()
            self.name_button()
            return
        common.say(self.promise, words.significance_text(self.significance))
        if run.layers[LABELS].data.size <= _LIVE_PIXELS:
            self._show_regions(self._regions(run))
        self._rest.start()

    def _regions(self, run: Run) -> Any:
        from napari_fluorgen.confidence import prediction_regions

        return prediction_regions(p_values_of(run), self.significance)

    def _show_regions(self, regions: Any) -> None:
        for code, share in words.region_shares(regions).items():
            self._shares[code].setText(words.share_text(share))
        layer = self.layer()
        if layer is not None:
            if layer.data.shape == regions.shape:
                layer.data[...] = regions
                # The thumbnail waits until the slider rests.
                layer.refresh(thumbnail=False, highlight=False, extent=False)
            else:
                layer.data = regions
            record_of(layer.metadata)["significance"] = self.significance
        self.name_button()

    def name_button(self) -> None:
        """Say on the button what a click does."""
        layer = self.layer()
        shown = layer is not None and layer.visible
        self.button.setText("Hide confidence map" if shown else "Show confidence map")

    def toggle(self) -> None:
        """Show the map, or hide it."""
        run = self._run
        if run is None:
            return
        layer = self.layer()
        if layer is None:
            record = {"role": "regions", "significance": self.significance}
            layer = add_map(
                self._viewer,
                run,
                self._regions(run),
                "confidence regions",
                record,
                words.label_colors(),
                [(region.code, region.title) for region in words.REGIONS],
                opacity=0.6,
            )
            common.listen(layer.events.visible, self.name_button)
        else:
            layer.visible = not layer.visible
        self.name_button()

    def _rested(self) -> None:
        """Finish what waits while the slider moves: large maps, the thumbnail."""
        run, layer = self._run, self.layer()
        if run is None or layer is None:
            return
        if run.layers[LABELS].data.size <= _LIVE_PIXELS:
            layer.refresh(highlight=False, extent=False)
            return
        question, significance, p_values = self._question, self.significance, p_values_of(run)

        def compute() -> Any:
            from napari_fluorgen.confidence import prediction_regions

            return prediction_regions(p_values, significance)

        def show(regions: Any) -> None:
            if question == self._question:
                self._show_regions(regions)

        Job(self, lambda _stop: once(compute), on_value=show)


def p_values_of(run: Run) -> dict[str, Any]:
    """Return the p-value maps of a run that has them."""
    return {
        name: np.asarray(run.layers[f"p-value {name}"].data) for name in ("nucleus", "background")
    }


def add_map(
    viewer: Any,
    run: Run,
    codes: Any,
    name: str,
    record: dict[str, Any],
    colors: dict[int | None, Any],
    entries: Sequence[tuple[int, str]],
    *,
    opacity: float,
) -> Any:
    """Add a map of codes for a run, on the grid of its nuclei, and leave the selection alone.

    Parameters
    ----------
    viewer : Viewer
        Where to add.
    run : Run
        The result that the map describes.
    codes : ndarray of uint8, shape (Y, X)
        The map.
    name : str
        What follows the result's title in the layer list.
    record : dict
        With its ``"role"``.
    colors : dict
        Colour by code.
    entries : sequence of (int, str)
        Codes and what they mean, shown when the mouse is over a pixel.
    opacity : float
        Of the layer.
    """
    record = {**record, "regions_of": run.key, "provenance": run.provenance}
    spec = LayerSpec(
        "labels",
        codes,
        {
            "name": f"{run.title} {name}",
            "colormap": DirectLabelColormap(color_dict=colors),
            "features": {
                "index": [code for code, _ in entries],
                "region": [title for _, title in entries],
            },
            "opacity": opacity,
            "metadata": {KEY: record},
            **Spatial.of_layer(run.layers[LABELS]).kwargs(),
        },
    )
    active = viewer.layers.selection.active
    layer = common.add_layer(viewer, spec)
    if active is not None:
        viewer.layers.selection.active = active
    return layer
