"""Pairs to train on, put together from layers of the viewer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import STAINS, BrightfieldStack
from napari_fluorgen.widgets.presenters.layers import record_of
from napari_fluorgen.widgets.presenters.results import is_stack_layer, stack_of_layer
from napari_fluorgen.widgets.presenters.spatial import Spatial

LABELS = "labels"
"""Key of the nuclei labels beside the stains."""

ROLES = (*STAINS, LABELS)
"""What can be chosen beside the brightfield layer, in the order of the dock."""

_HINTS = {
    "nuclei": ("nuclei", "nucleus", "dapi", "hoechst", "draq5", "dna"),
    "lipids": ("lipid", "bodipy", "droplet", "oil red", "nile red"),
    "cytoplasm": ("cytoplasm", "cytosol", "cellmask", "calcein", "actin"),
    LABELS: ("nuclei labels", "nuclei mask", "true nuclei outlines"),
}
_LOOK_ALIKE = 0.05  # pixel sizes that differ by less are the same grid


@dataclass(frozen=True)
class LayerPair:
    """Layers that show the same field.

    Attributes
    ----------
    brightfield : layer
        Image with focus planes.
    truth : dict of str to layer
        Chosen layers by role, a subset of `ROLES`.
    """

    brightfield: Any
    truth: dict[str, Any]

    @property
    def title(self) -> str:
        """What a list of pairs shows."""
        name = self.brightfield.name.removesuffix(" brightfield")
        return f"{name}: {', '.join(role for role in ROLES if role in self.truth)}"

    @property
    def layers(self) -> tuple[Any, ...]:
        """All layers of the pair."""
        return (self.brightfield, *self.truth.values())


def is_truth_layer(layer: Any) -> bool:
    """Whether a layer can be a true stain: a plane that is not one of our predictions."""
    record = record_of(layer.metadata)
    return getattr(layer, "rgb", None) is False and "run" not in record and _is_plane(layer)


def is_labels_layer(layer: Any) -> bool:
    """Whether a layer can hold nuclei labels: a labels layer of one plane, not our regions.

    Outlines of a result count: corrected by hand they are true nuclei.
    """
    record = record_of(layer.metadata)
    return (
        hasattr(layer, "selected_label")
        and not {"regions_of", "objects_of"} & set(record)
        and _is_plane(layer)
    )


def candidates(layers: Iterable[Any], role: str) -> list[Any]:
    """Layers that can take a role (``"brightfield"`` or one of `ROLES`)."""
    fits = {"brightfield": is_stack_layer, LABELS: is_labels_layer}.get(role, is_truth_layer)
    return [layer for layer in layers if fits(layer)]


def suggested(layers: Iterable[Any], brightfield: Any) -> dict[str, Any]:
    """Guess the true stains of a brightfield layer.

    Layers that the same file was read into come first, then those of the same rows and columns
    whose name says what they are. Nuclei labels are suggested by name only: outlines of a result
    are no truth until somebody has corrected them.
    """
    layers = list(layers)
    identity = record_of(brightfield.metadata).get("identity")
    grid = _grid(brightfield)
    found: dict[str, Any] = {}
    for role in ROLES:
        fitting = [x for x in candidates(layers, role) if _grid(x) == grid]
        ours = [
            layer
            for layer in fitting
            if identity is not None
            and record_of(layer.metadata).get("identity") == identity
            and record_of(layer.metadata).get("role") == f"true {role}"
        ]
        foreign = [x for x in fitting if not record_of(x.metadata)]
        named = [x for x in foreign if any(hint in x.name.lower() for hint in _HINTS[role])]
        if ours or named:
            found[role] = (ours or named)[0]
    return found


def stack_of_pair(pair: LayerPair, *, copy: bool = True) -> BrightfieldStack:
    """Make the stack with its truth that `fine_tune` takes.

    Parameters
    ----------
    pair : LayerPair
        Layers of one field.
    copy : bool
        Whether true images are copied: the user may paint while they are learned.

    Raises
    ------
    InputError
        No true layer is chosen, one is chosen twice, or the grids do not agree.
    """
    stack = stack_of_layer(pair.brightfield)
    name, (_, rows, columns) = pair.brightfield.name, stack.shape
    if not set(pair.truth) & set(STAINS):
        raise InputError(
            f"'{name}' has no true stain: choose the layer of at least one stain of this field."
        )
    seen: dict[str, str] = {}
    truth: dict[str, Any] = {}
    for role in ROLES:
        layer = pair.truth.get(role)
        if layer is None:
            continue
        key = str(layer.unique_id)
        if key in seen:
            raise InputError(
                f"Layer '{layer.name}' is chosen as {seen[key]} and as {role}: choose one layer a "
                "stain."
            )
        seen[key] = role
        if _grid(layer) != (rows, columns):
            found = "×".join(str(n) for n in _grid(layer))
            raise InputError(
                f"Layer '{layer.name}' has {found} pixels but '{name}' has {rows}×{columns}: a "
                "pair shows the same field on the same grid."
            )
        pixel = Spatial.of_layer(layer).pixel_size_um()
        if _differ(pixel, stack.pixel_size_um):
            raise InputError(
                f"Layer '{layer.name}' has pixels of {pixel[0]:g} µm but '{name}' has "  # type: ignore[index]
                f"{stack.pixel_size_um[0]:g} µm: correct the scale of the layer that is wrong."  # type: ignore[index]
            )
        truth[role] = _plane(layer, copy)
    return replace(stack, truth=truth)


def stacks_of_pairs(
    pairs: Iterable[LayerPair], *, copy: bool = True
) -> tuple[BrightfieldStack, ...]:
    """Make all stacks as `stack_of_pair` does; fields that share a name are numbered.

    Raises
    ------
    InputError
        A pair cannot be used.
    """
    taken: set[str] = set()
    stacks = []
    for pair in pairs:
        stack = stack_of_pair(pair, copy=copy)
        name, number = stack.identity.name, 2
        while name in taken:
            name, number = f"{stack.identity.name}-{number}", number + 1
        taken.add(name)
        stacks.append(replace(stack, identity=replace(stack.identity, name=name)))
    return tuple(stacks)


def _plane(layer: Any, copy: bool) -> Any:
    data = layer.data[0] if getattr(layer, "multiscale", False) else layer.data
    if copy:
        data = np.array(data)
    for _ in data.shape[:-2]:
        data = data[0]
    return data


def _shape(layer: Any) -> tuple[int, ...]:
    return tuple(layer.data[0].shape if getattr(layer, "multiscale", False) else layer.data.shape)


def _grid(layer: Any) -> tuple[int, int]:
    """Rows and columns."""
    rows, columns = _shape(layer)[-2:]
    return int(rows), int(columns)


def _is_plane(layer: Any) -> bool:
    """Whether a layer has one plane, whatever axes of length 1 stand before it."""
    shape = _shape(layer)
    return len(shape) >= 2 and all(n == 1 for n in shape[:-2])


def _differ(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    if one is None or other is None:
        return False
    return any(abs(a / b - 1) > _LOOK_ALIKE for a, b in zip(one, other, strict=True) if b)
