"""*Confidence*: where the nuclei can be believed, at a significance of one's choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSlider

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.job import report
from napari_fluorgen.widgets.presenters import confidence as words
from napari_fluorgen.widgets.presenters.layers import KEY, LayerSpec, record_of
from napari_fluorgen.widgets.presenters.results import LABELS, Run, find_runs
from napari_fluorgen.widgets.presenters.spatial import Spatial

if TYPE_CHECKING:
    from napari.viewer import Viewer

_EMPTY = "Stain a stack first: its result appears here, with a map of where to believe it."
_NO_MAPS = (
    "The model of this result carries no calibration, so there is no confidence map. "
    "Stain with a calibrated model, or calibrate this one: fluorgen calibrate."
)


class ConfidenceDock(common.Dock):
    """Draws the four prediction regions and counts the nuclei in them."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._runs: dict[str, Run] = {}
        self._build()
        self._count_later = QTimer(self)
        self._count_later.setSingleShot(True)
        self._count_later.setInterval(150)
        self._count_later.timeout.connect(self._count)
        self.results.currentIndexChanged.connect(self._run_changed)
        self.slider.valueChanged.connect(self._significance_changed)
        self.button.clicked.connect(self._toggle_map)
        common.listen(self, self.viewer.layers.events.inserted, self._show_runs)
        common.listen(self, self.viewer.layers.events.removed, self._show_runs)
        self._show_runs()

    def _build(self) -> None:
        self.hint = common.text(_EMPTY)
        self.results = common.combo("The result whose nuclei are judged")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, len(words.SIGNIFICANCES) - 1)
        self.slider.setValue(words.to_slider(0.05, words.SIGNIFICANCES))
        self.slider.setToolTip(
            "Share of pixels of a class that may be missed; smaller is more careful"
        )
        self.slider.setAccessibleName("Significance")
        self.value = QLabel()
        self.promise = common.text()
        self.button = common.main_button(
            "Show confidence map", "Adds a layer with the four regions above the stains"
        )
        self.counts = common.text()
        self.legend = QGridLayout()
        self.legend.setContentsMargins(0, 0, 0, 0)
        self._shares: dict[int, QLabel] = {}
        for row, region in enumerate(words.REGIONS):
            self._add_legend(row, region)
        rows = common.form()
        rows.addRow("Result", self.results)
        line = QHBoxLayout()
        line.addWidget(self.slider, 1)
        line.addWidget(self.value)
        rows.addRow("Significance", line)
        self.body.addWidget(self.hint)
        self.body.addLayout(rows)
        self.body.addWidget(self.button)
        self.body.addLayout(self.legend)
        self.body.addWidget(self.counts)
        self.body.addWidget(self.promise)
        self.finish()

    def _add_legend(self, row: int, region: words.Region) -> None:
        red, green, blue, opacity = (round(255 * part) for part in region.color)
        swatch = QLabel()
        swatch.setFixedSize(16, 16)
        fill = f"rgb({red}, {green}, {blue})" if opacity else "transparent"
        swatch.setStyleSheet(f"background-color: {fill}; border: 1px solid #888888;")
        title = QLabel(region.title)
        share = QLabel()
        share.setAlignment(Qt.AlignmentFlag.AlignRight)
        for widget in (swatch, title, share):
            widget.setToolTip(region.meaning)
        self._shares[region.code] = share
        self.legend.addWidget(swatch, row, 0)
        self.legend.addWidget(title, row, 1)
        self.legend.addWidget(share, row, 2)
        self.legend.setColumnStretch(1, 1)

    @property
    def significance(self) -> float:
        """The chosen significance."""
        return words.SIGNIFICANCES[self.slider.value()]

    def run(self) -> Run | None:
        """Return the chosen result."""
        return self._runs.get(self.results.currentData())

    def map_layer(self) -> Any | None:
        """Return the layer with the regions of the chosen result, if it is shown."""
        key = self.results.currentData()
        return next(
            (x for x in self.viewer.layers if record_of(x.metadata).get("regions_of") == key), None
        )

    def _show_runs(self, _event: Any = None) -> None:
        newest = set(self._runs)
        self._runs = {run.key: run for run in find_runs(self.viewer.layers)}
        common.fill(self.results, [(run.title, run.key) for run in self._runs.values()])
        added = [key for key in self._runs if key not in newest]
        if added:
            common.choose(self.results, added[0])
        self._run_changed()

    def _run_changed(self, _index: int = 0) -> None:
        run = self.run()
        usable = run is not None and run.has_confidence
        common.say(self.hint, _EMPTY if run is None else "" if usable else _NO_MAPS)
        self.button.setEnabled(usable)
        self.slider.setEnabled(usable)
        self._significance_changed()

    def _significance_changed(self, _value: int = 0) -> None:
        self.value.setText(f"{self.significance:.2f}")
        run = self.run()
        if run is None or not run.has_confidence:
            common.say(self.promise, "")
            common.say(self.counts, "")
            for label in self._shares.values():
                label.setText("")
            return
        common.say(self.promise, words.significance_text(self.significance))
        self._redraw(run)
        self._count_later.start()

    def _regions(self, run: Run) -> Any:
        from napari_fluorgen.confidence import prediction_regions

        return prediction_regions(_p_values(run), self.significance)

    def _redraw(self, run: Run) -> None:
        regions = self._regions(run)
        for code, share in words.region_shares(regions).items():
            self._shares[code].setText(words.share_text(share))
        layer = self.map_layer()
        if layer is not None:
            layer.data = regions
        self.button.setText(
            "Hide confidence map" if layer is not None and layer.visible else "Show confidence map"
        )

    def _toggle_map(self) -> None:
        run = self.run()
        if run is None:
            return
        layer = self.map_layer()
        if layer is None:
            labels = run.layers[LABELS]
            spec = LayerSpec(
                "labels",
                self._regions(run),
                {
                    "name": f"{run.title} confidence regions",
                    "colormap": DirectLabelColormap(color_dict=words.label_colors()),
                    "features": {
                        "index": [region.code for region in words.REGIONS],
                        "region": [region.title for region in words.REGIONS],
                    },
                    "opacity": 0.6,
                    "metadata": {KEY: {"role": "regions", "regions_of": run.key}},
                    **Spatial.of_layer(labels).kwargs(),
                },
            )
            common.add_layer(self.viewer, spec)
        else:
            layer.visible = not layer.visible
        self._redraw(run)

    def _count(self) -> None:
        from napari_fluorgen.confidence import object_confidence

        run = self.run()
        if run is None or not run.has_confidence:
            return
        labels = run.layers[LABELS]
        try:
            table = object_confidence(
                np.asarray(labels.data), _p_values(run), significance=self.significance
            )
        except FluorgenError as error:
            report(error)
            return
        common.say(self.counts, words.count_text(words.count_decisions(table["decision"])))
        labels.features = words.merge_features(labels.features, table)


def _p_values(run: Run) -> dict[str, Any]:
    return {
        name: np.asarray(run.layers[f"p-value {name}"].data) for name in ("nucleus", "background")
    }
