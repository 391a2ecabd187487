"""True stains among the layers of a viewer: which layers can be one, and which probably are."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from napari_fluorgen.stack import STAINS
from napari_fluorgen.widgets.presenters.layers import DERIVED, TRUE_LABELS, key_of, record_of
from napari_fluorgen.widgets.presenters.pixels import pixels_of
from napari_fluorgen.widgets.presenters.results import is_stack_layer

ROLES = (*STAINS, TRUE_LABELS)
"""What a layer can be the truth of, in the order of the docks."""

_HINTS = {
    "nuclei": ("nuclei", "nucleus", "dapi", "hoechst", "draq5", "dna"),
    "lipids": ("lipid", "bodipy", "droplet", "oil red", "nile red"),
    "cytoplasm": ("cytoplasm", "cytosol", "cellmask", "calcein", "actin"),
    TRUE_LABELS: ("nuclei labels", "nuclei mask", "true nuclei outlines"),
}


def is_truth_layer(layer: Any) -> bool:
    """Whether a layer can be a true stain: a plane that is not one of our predictions."""
    record = record_of(layer.metadata)
    return (
        getattr(layer, "rgb", None) is False and not set(DERIVED) & set(record) and _is_plane(layer)
    )


def is_labels_layer(layer: Any) -> bool:
    """Whether a layer can hold nuclei labels: a labels layer of one plane, not our regions.

    Outlines of a result count: corrected by hand they are true nuclei.
    """
    made_of = set(DERIVED) & set(record_of(layer.metadata))
    return hasattr(layer, "selected_label") and made_of <= {"run"} and _is_plane(layer)


def candidates(layers: Iterable[Any], role: str) -> list[Any]:
    """Layers that can take a role (``"brightfield"`` or one of `ROLES`)."""
    fits = {"brightfield": is_stack_layer, TRUE_LABELS: is_labels_layer}.get(role, is_truth_layer)
    return [layer for layer in layers if fits(layer)]


def suggested(layers: Iterable[Any], brightfield: Any) -> dict[str, Any]:
    """Guess the true stains of a brightfield layer.

    Layers that the same file was read into come first, then those of the same rows and columns
    whose name says what they are, without those that belong to another field because their name
    begins more like its. Nuclei labels are suggested by name only: outlines of a result are no
    truth until somebody has corrected them.
    """
    layers = list(layers)
    identity = record_of(brightfield.metadata).get("identity")
    grid = grid_of(brightfield)
    fields = [x for x in candidates(layers, "brightfield") if grid_of(x) == grid]
    own = record_of(brightfield.metadata).get("source_id") or key_of(brightfield)
    names = {key_of(x): x.name for x in fields} | {own: brightfield.name}
    found: dict[str, Any] = {}
    for role in ROLES:
        fitting = [x for x in candidates(layers, role) if grid_of(x) == grid]
        ours = [
            layer
            for layer in fitting
            if identity is not None
            and record_of(layer.metadata).get("identity") == identity
            and record_of(layer.metadata).get("role") == f"true {role}"
        ]
        foreign = [x for x in fitting if not record_of(x.metadata)]
        named = [x for x in foreign if any(hint in x.name.lower() for hint in _HINTS[role])]
        named = [x for x in named if own in _most_like(x.name, names)]
        if ours or named:
            found[role] = (ours or named)[0]
    return found


def _most_like(name: str, fields: Mapping[str, str]) -> set[str]:
    """Keys of the fields whose name begins most like `name`, all where that tells nothing."""
    shared = {key: _common(name.lower(), field.lower()) for key, field in fields.items()}
    best = max(shared.values())
    return {key for key, length in shared.items() if length == best}


def _common(one: str, other: str) -> int:
    """Number of characters with which both begin."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def plane_of(layer: Any, copy: bool = True) -> Any:
    """Pixels (Y, X) of a layer that shows one plane, as `pixels_of` gives them.

    Those in memory are copied, because the user may paint.
    """
    plane = pixels_of(layer, 2)
    return plane.copy() if copy and isinstance(plane, np.ndarray) else plane


def _shape(layer: Any) -> tuple[int, ...]:
    return tuple(layer.data[0].shape if getattr(layer, "multiscale", False) else layer.data.shape)


def grid_of(layer: Any) -> tuple[int, int]:
    """Rows and columns."""
    rows, columns = _shape(layer)[-2:]
    return int(rows), int(columns)


def _is_plane(layer: Any) -> bool:
    """Whether a layer has one plane, whatever axes of length 1 stand before it."""
    shape = _shape(layer)
    return len(shape) >= 2 and all(n == 1 for n in shape[:-2])
