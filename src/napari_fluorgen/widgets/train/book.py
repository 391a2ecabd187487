"""Which loaded layers are learned from: follows the viewer, remembers what the user chose."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from napari_fluorgen.stack import STAINS
from napari_fluorgen.widgets.presenters.layers import key_of
from napari_fluorgen.widgets.presenters.truth import ROLES, candidates, suggested
from napari_fluorgen.widgets.train.pairs import LayerPair


@dataclass
class _Entry:
    brightfield: Any
    truth: dict[str, Any] = field(default_factory=dict)
    chosen: set[str] = field(default_factory=set)  # roles that the user has set
    checked: bool | None = None  # None: counts when it has a true stain


class PairBook:
    """Pairs among the layers of a viewer, one a brightfield layer.

    Layers are known by their ``unique_id``; those that leave the viewer are let go.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._layers: list[Any] = []

    def follow(self, layers: Iterable[Any]) -> None:
        """Take note of the layers that are there now."""
        self._layers = list(layers)
        present = {key_of(layer) for layer in self._layers}
        entries = {}
        for layer in candidates(self._layers, "brightfield"):
            entry = self._entries.get(key_of(layer)) or _Entry(layer)
            entry.truth = {r: x for r, x in entry.truth.items() if key_of(x) in present}
            fresh = suggested(self._layers, layer)
            for role in ROLES:
                if role not in entry.chosen and role in fresh:
                    entry.truth.setdefault(role, fresh[role])
            entries[key_of(layer)] = entry
        self._entries = entries

    @property
    def fields(self) -> tuple[Any, ...]:
        """The brightfield layers."""
        return tuple(entry.brightfield for entry in self._entries.values())

    def options(self, key: str | None, role: str) -> list[tuple[str, str | None]]:
        """Names and keys of the layers that a field's role can be given to; first none."""
        found = [(x.name, key_of(x)) for x in candidates(self._layers, role) if key_of(x) != key]
        return [("–", None), *found]

    def choice(self, key: str | None, role: str) -> str | None:
        """Key of the layer that has a role in a field."""
        entry = self._entries.get(key or "")
        layer = None if entry is None else entry.truth.get(role)
        return None if layer is None else key_of(layer)

    def choose(self, key: str | None, role: str, layer_key: str | None) -> None:
        """Give a role of a field to a layer, or to none."""
        entry = self._entries.get(key or "")
        if entry is None:
            return
        entry.chosen.add(role)
        layer = next((x for x in self._layers if key_of(x) == layer_key), None)
        if layer is None:
            entry.truth.pop(role, None)
        else:
            entry.truth[role] = layer

    def is_checked(self, key: str) -> bool:
        """Whether a field is learned from."""
        entry = self._entries[key]
        if entry.checked is None:
            return bool(set(entry.truth) & set(STAINS))
        return entry.checked

    def check(self, key: str, checked: bool) -> None:
        """Learn from a field, or leave it out."""
        if key in self._entries:
            self._entries[key].checked = checked

    def pair(self, key: str) -> LayerPair:
        """Return the layers of a field."""
        entry = self._entries[key]
        return LayerPair(entry.brightfield, dict(entry.truth))

    @property
    def pairs(self) -> tuple[LayerPair, ...]:
        """Pairs to learn from."""
        return tuple(self.pair(key) for key in self._entries if self.is_checked(key))
