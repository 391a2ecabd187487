"""Virtual staining: match a stack to a model, plan tiles, run the networks, blend.

Names are loaded on first use: plans and adaptations need no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_fluorgen.staining.adapt import Adaptation, match_stack
    from napari_fluorgen.staining.background import Background, estimate_background
    from napari_fluorgen.staining.budget import Estimate, estimate
    from napari_fluorgen.staining.devices import Device, available_devices, resolve_device
    from napari_fluorgen.staining.engine import stain_arrays
    from napari_fluorgen.staining.events import (
        Notice,
        Planned,
        RawResult,
        StainEvent,
        TileDone,
    )
    from napari_fluorgen.staining.plan import Plan, Tile, plan_tiles

_NAMES = {
    "adapt": ("Adaptation", "match_stack"),
    "background": ("Background", "estimate_background"),
    "budget": ("Estimate", "estimate"),
    "devices": ("Device", "available_devices", "resolve_device"),
    "engine": ("stain_arrays",),
    "events": ("Notice", "Planned", "RawResult", "StainEvent", "TileDone"),
    "plan": ("Plan", "Tile", "plan_tiles"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Adaptation",
    "Background",
    "Device",
    "Estimate",
    "Notice",
    "Plan",
    "Planned",
    "RawResult",
    "StainEvent",
    "Tile",
    "TileDone",
    "available_devices",
    "estimate",
    "estimate_background",
    "match_stack",
    "plan_tiles",
    "resolve_device",
    "stain_arrays",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
