"""Pairs to train on, put together from layers of the viewer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import STAINS, BrightfieldStack
from napari_fluorgen.widgets.presenters.layers import key_of
from napari_fluorgen.widgets.presenters.results import stack_of_layer
from napari_fluorgen.widgets.presenters.spatial import Spatial
from napari_fluorgen.widgets.presenters.truth import ROLES, grid_of, plane_of

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


def stack_of_pair(pair: LayerPair, *, copy: bool = True) -> BrightfieldStack:
    """Make the stack with its truth that `fine_tune` takes.

    Parameters
    ----------
    pair : LayerPair
        Layers of one field.
    copy : bool
        Whether true images in memory are copied: the user may paint while they are learned.
        Those on disk are left to `truth_read`.

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
        key = key_of(layer)
        if key in seen:
            raise InputError(
                f"Layer '{layer.name}' is chosen as {seen[key]} and as {role}: choose one layer a "
                "stain."
            )
        seen[key] = role
        if grid_of(layer) != (rows, columns):
            found = "×".join(str(n) for n in grid_of(layer))
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
        truth[role] = plane_of(layer, copy)
    return replace(stack, truth=truth)


def stacks_of_pairs(
    pairs: Iterable[LayerPair], *, copy: bool = True
) -> tuple[BrightfieldStack, ...]:
    """Make all stacks as `stack_of_pair` does; fields that share a name are numbered.

    Raises
    ------
    InputError
        A pair cannot be used, or two share a true layer.
    """
    taken: set[str] = set()
    fields: dict[str, Any] = {}  # brightfield by key of its true layers
    stacks = []
    for pair in pairs:
        stack = stack_of_pair(pair, copy=copy)
        for layer in pair.truth.values():
            other = fields.setdefault(key_of(layer), pair.brightfield)
            if key_of(other) != key_of(pair.brightfield):
                raise InputError(
                    f"Layer '{layer.name}' is chosen for '{other.name}' and for "
                    f"'{pair.brightfield.name}': a true stain belongs to one field."
                )
        name, number = stack.identity.name, 2
        while name in taken:
            name, number = f"{stack.identity.name}-{number}", number + 1
        taken.add(name)
        stacks.append(replace(stack, identity=replace(stack.identity, name=name)))
    return tuple(stacks)


def truth_read(stack: BrightfieldStack) -> BrightfieldStack:
    """Read the true images that are on disk: not in the window's thread, which would stand still.

    Raises
    ------
    InputError
        Naming a layer that cannot be read.
    """
    return replace(stack, truth={role: np.asarray(image) for role, image in stack.truth.items()})


def _differ(one: tuple[float, float] | None, other: tuple[float, float] | None) -> bool:
    if one is None or other is None:
        return False
    return any(abs(a / b - 1) > _LOOK_ALIKE for a, b in zip(one, other, strict=True) if b)
