"""*Confidence*: where the nuclei can be believed, at a significance of one's choice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSlider

from napari_fluorgen.widgets.docks import common
from napari_fluorgen.widgets.docks.job import Job
from napari_fluorgen.widgets.presenters import confidence as words
from napari_fluorgen.widgets.presenters.layers import KEY, LayerSpec, record_of
from napari_fluorgen.widgets.presenters.results import LABELS, Run, find_runs
from napari_fluorgen.widgets.presenters.spatial import Spatial
from napari_fluorgen.widgets.steps import once

if TYPE_CHECKING:
    from napari.viewer import Viewer

_EMPTY = "Stain a stack first: its result appears here, with a map of where its nuclei are certain."
_NO_MAPS = (
    "The model of this result carries no calibration, so there is no confidence map. "
    "Stain with a calibrated model, or calibrate this one: fluorgen calibrate."
)
_LIVE_PIXELS = 16_000_000  # larger maps are drawn once the slider rests


class ConfidenceDock(common.Dock):
    """Draws the four prediction regions and counts the nuclei in them."""

    def __init__(self, napari_viewer: Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self._runs: dict[str, Run] = {}
        self._question = 0  # counts what was asked; an older answer is dropped
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
            "Share of the true pixels of a class that may be missed, on average; smaller is more "
            "careful and leaves more uncertain"
        )
        self.slider.setAccessibleName("Significance")
        self.value = QLabel()
        self.promise = common.text()
        self.button = common.main_button(
            "Show confidence map", "Adds a layer with the four regions above the stains"
        )
        self.counts = common.text()
        self.counts.setToolTip(words.COUNT_RULE)
        self.caution = common.amber()
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
        self.body.addWidget(self.caution)
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
        """Return the layer with the regions of the chosen result, if there is one."""
        run = self.run()
        if run is None:
            return None
        return next(
            (x for x in self.viewer.layers if record_of(x.metadata).get("regions_of") == run.key),
            None,
        )

    def _show_runs(self, _event: Any = None) -> None:
        before = {key: list(run.layers.values()) for key, run in self._runs.items()}
        chosen = self.results.currentData()
        self._runs = {run.key: run for run in find_runs(self.viewer.layers)}
        common.fill(self.results, [(run.title, run.key) for run in self._runs.values()])
        added = [key for key in self._runs if key not in before]
        if added:
            common.choose(self.results, added[0])
        run = self.run()
        if run is None or chosen != run.key or before.get(run.key) != list(run.layers.values()):
            self._run_changed()
        else:
            self._name_button()

    def _run_changed(self, _index: int = 0) -> None:
        run = self.run()
        usable = run is not None and run.has_confidence
        common.say(self.hint, _EMPTY if run is None else "" if usable else _NO_MAPS)
        simulated = run is not None and run.has_confidence and run.simulated
        common.say(self.caution, words.SIMULATED if simulated else "")
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
        if run.layers[LABELS].data.size <= _LIVE_PIXELS:
            self._show_regions(run, self._regions(run))
        self._count_later.start()

    def _regions(self, run: Run) -> Any:
        from napari_fluorgen.confidence import prediction_regions

        return prediction_regions(_p_values(run), self.significance)

    def _show_regions(self, run: Run, regions: Any) -> None:
        for code, share in words.region_shares(regions).items():
            self._shares[code].setText(words.share_text(share))
        layer = self.map_layer()
        if layer is not None:
            layer.data = regions
            record_of(layer.metadata)["significance"] = self.significance
        self._name_button()

    def _name_button(self) -> None:
        layer = self.map_layer()
        shown = layer is not None and layer.visible
        self.button.setText("Hide confidence map" if shown else "Show confidence map")

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
                    "metadata": {KEY: self._map_record(run)},
                    **Spatial.of_layer(labels).kwargs(),
                },
            )
            layer = common.add_layer(self.viewer, spec)
            common.listen(self, layer.events.visible, self._name_button)
        else:
            layer.visible = not layer.visible
        self._name_button()

    def _map_record(self, run: Run) -> dict[str, Any]:
        return {
            "role": "regions",
            "regions_of": run.key,
            "significance": self.significance,
            "provenance": run.provenance,
        }

    def _count(self) -> None:
        """Judge the nuclei in the background; large maps are drawn then, too."""
        run = self.run()
        if run is None or not run.has_confidence:
            return
        self._question += 1
        question, significance = self._question, self.significance
        p_values, labels = _p_values(run), np.asarray(run.layers[LABELS].data)
        draw = labels.size > _LIVE_PIXELS

        def judge() -> tuple[Any, Any]:
            from napari_fluorgen.confidence import object_confidence, prediction_regions

            # A copy, because the user may paint while it is counted.
            table = object_confidence(labels.copy(), p_values, significance=significance)
            return table, prediction_regions(p_values, significance) if draw else None

        def show(answer: tuple[Any, Any]) -> None:
            if question != self._question or run.key not in self._runs:
                return
            table, regions = answer
            if regions is not None:
                self._show_regions(run, regions)
            common.say(self.counts, words.count_text(words.count_decisions(table["decision"])))
            layer = run.layers[LABELS]
            layer.features = words.merge_features(layer.features, table)

        Job(self, lambda _stop: once(judge), on_value=show)


def _p_values(run: Run) -> dict[str, Any]:
    return {
        name: np.asarray(run.layers[f"p-value {name}"].data) for name in ("nucleus", "background")
    }
