"""The layers of measured cells, cytoplasm and droplets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_fluorgen.widgets.docks.common import add_layer
from napari_fluorgen.widgets.presenters.layers import KEY, LayerSpec
from napari_fluorgen.widgets.presenters.measuring import layer_features, plain_name
from napari_fluorgen.widgets.presenters.results import LABELS, Run, layer_of_run
from napari_fluorgen.widgets.presenters.spatial import Spatial


def show_objects(viewer: Any, run: Run, name: str, image: Any, table: Mapping[str, Any]) -> None:
    """Add the labels of a kind of object, hidden, or update those of an earlier measurement."""
    role = f"objects {name}"
    features = layer_features(table)
    shown = layer_of_run(viewer.layers, run.key, role)
    if shown is not None:
        shown.data = image
        shown.features = features
        return
    spec = LayerSpec(
        "labels",
        image,
        {
            "name": f"{run.title} {plain_name(name)}" + (" objects" if name == "Cytoplasm" else ""),
            "visible": False,
            "features": features,
            "metadata": {KEY: {"role": role, "objects_of": run.key, "provenance": run.provenance}},
            **Spatial.of_layer(run.layers[LABELS]).kwargs(),
        },
        {"contour": 1},
    )
    add_layer(viewer, spec)
