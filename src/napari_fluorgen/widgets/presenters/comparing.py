"""A result beside a true stain: what can be chosen, what is said, what is shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fluorgen.widgets.presenters.layers import KEY, LayerSpec, key_of, percentile_limits
from napari_fluorgen.widgets.presenters.results import LABELS, Run
from napari_fluorgen.widgets.presenters.spatial import Spatial
from napari_fluorgen.widgets.presenters.truth import (
    TRUE_LABELS,
    candidates,
    grid_of,
    suggested,
)

if TYPE_CHECKING:
    from napari_fluorgen.workflow.comparison import Comparison, StainComparison
    from napari_fluorgen.workflow.stain_files import StainImages

COLOURS = ((0.0, 0.447, 0.698), (1.0, 1.0, 1.0), (0.835, 0.369, 0.0))
"""Blue where the prediction is too dark, white where it is right, orange where too bright."""

_OTHER_CAMERA = 0.7  # matched counts leave less than this share of the error


def options(layers: Iterable[Any], run: Run, role: str) -> list[tuple[str, str | None]]:
    """Names and keys of the layers that a result can be compared with; first none."""
    own = {key_of(layer) for layer in run.layers.values()}
    grid = grid_of(run.layers[LABELS])
    found = [x for x in candidates(layers, role) if grid_of(x) == grid and key_of(x) not in own]
    return [("–", None), *((layer.name, key_of(layer)) for layer in found)]


def suggestions(layers: Iterable[Any], run: Run) -> dict[str, str]:
    """Keys of the layers that probably show the truth of a result, by role."""
    found = suggested(layers, run.layers[LABELS])
    return {role: key_of(layer) for role, layer in found.items()}


def truth_of(name: str, planes: Mapping[str, Any]) -> StainImages:
    """Read planes (Y, X), by one of `ROLES`: in the background, because some may be on disk."""
    from napari_fluorgen.workflow.stain_files import StainImages

    images = {role: np.asarray(plane) for role, plane in planes.items()}
    labels = images.pop(TRUE_LABELS, None)
    return StainImages(name, images, labels)


def report(comparison: Comparison) -> str:
    """Say how close the prediction is, a line a stain."""
    lines = [_stain_line(stain, score) for stain, score in comparison.stains.items()]
    if comparison.nuclei:
        first = comparison.nuclei[0]
        lines.append(f"{first.tp} of {first.tp + first.fn} true nuclei found, {first.fp} false.")
        scores = (f"{score.f1:.2f} at IoU {score.iou:g}" for score in comparison.nuclei)
        lines.append(f"F1 {', '.join(scores)}")
    if comparison.stains:
        lines.append("Map: blue where the prediction is too dark, orange where too bright.")
    return "\n".join(lines)


def _stain_line(stain: str, score: StainComparison) -> str:
    return f"{stain.capitalize()}: error {_number(score.error)}, r {_number(score.pearson)}"


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.2f}"


def doubts(comparison: Comparison) -> str:
    """Say what should be known before the figures are believed."""
    said = []
    other = [
        f"{stain} {_number(score.matched_error)}"
        for stain, score in comparison.stains.items()
        if score.matched_error < _OTHER_CAMERA * score.error
    ]
    if other:
        said.append(
            "The true stain has other counts than the model gives. After the best gain and offset, "
            f"as in the map, the error is: {', '.join(other)}."
        )
    if any(np.isnan(score.error) for score in comparison.stains.values()):
        said.append("Where half of the true stain is 0, its error is not defined.")
    if comparison.outlined:
        said.append(
            "The true nuclei were outlined automatically in the true stain: what that gets wrong "
            "counts against the model."
        )
    return " ".join(said)


def difference_layer(run: Run, stain: str, score: StainComparison, *, visible: bool) -> LayerSpec:
    """Describe the map of a stain's differences, on the grid of the result."""
    from napari.utils.colormaps import Colormap

    half = max(percentile_limits(np.abs(score.difference), 0, 99.5)[1], 1.0)
    return LayerSpec(
        "image",
        score.difference,
        {
            "name": f"{run.title} {stain} − true",
            "colormap": Colormap(COLOURS, name="too dark, too bright"),
            "contrast_limits": (-half, half),
            "visible": visible,
            "metadata": {
                KEY: {
                    "role": f"difference {stain}",
                    "difference_of": run.key,
                    "provenance": run.provenance,
                }
            },
            **Spatial.of_layer(run.layers[LABELS]).kwargs(),
        },
    )
