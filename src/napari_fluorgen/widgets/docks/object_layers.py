"""The layers of measured cells, cytoplasm and droplets."""

from __future__ import annotations

from typing import Any

from napari_fluorgen.widgets.docks.common import add_layer
from napari_fluorgen.widgets.presenters.layers import KEY, LayerSpec, record_of
from napari_fluorgen.widgets.presenters.measuring import layer_features, plain_name
from napari_fluorgen.widgets.presenters.results import LABELS, Run, layers_of_run
from napari_fluorgen.widgets.presenters.spatial import Spatial


def show_objects(viewer: Any, run: Run, measurements: Any) -> None:
    """Add the labels of measured objects, hidden, or update those of an earlier measurement.

    Objects that this measurement left out go: they belong to other nuclei.
    """
    shown = {
        str(record_of(layer.metadata)["role"]): layer
        for layer in layers_of_run(viewer.layers, run.key)
        if "objects_of" in record_of(layer.metadata)
    }
    for name, image in measurements.labels.items():
        if name == "Nuclei":
            continue
        role, features = f"objects {name}", layer_features(measurements.tables[name])
        layer = shown.pop(role, None)
        if layer is None:
            add_layer(viewer, _described(run, name, role, image, features))
        else:
            layer.data = image
            layer.features = features
    for layer in shown.values():
        viewer.layers.remove(layer)


def _described(run: Run, name: str, role: str, image: Any, features: Any) -> LayerSpec:
    return LayerSpec(
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
