"""Virtual staining of brightfield stacks, with calibrated confidence and a CellProfiler hand-over.

>>> import napari_fluorgen as fluorgen
>>> stack = fluorgen.read_stack("folder-or-file")  # doctest: +SKIP
>>> field = fluorgen.stain(stack, "adipocyte-20x")  # doctest: +SKIP
>>> field.images["lipids"].dtype  # doctest: +SKIP
dtype('uint16')

Names are loaded when first used: importing the package loads neither torch nor napari.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_fluorgen import models
    from napari_fluorgen.errors import (
        Cancelled,
        ConfigError,
        DeviceError,
        ExternalToolError,
        FluorgenError,
        InputError,
        ModelError,
        OutputError,
    )
    from napari_fluorgen.io import read_plate, read_stack
    from napari_fluorgen.models import list_models, load_model
    from napari_fluorgen.stack import STAINS, BrightfieldStack, FieldIdentity, StainedField
    from napari_fluorgen.workflow import StainRequest, stain

__version__ = "0.1.0"

_HOMES = {
    "errors": (
        "Cancelled",
        "ConfigError",
        "DeviceError",
        "ExternalToolError",
        "FluorgenError",
        "InputError",
        "ModelError",
        "OutputError",
    ),
    "io": ("read_plate", "read_stack"),
    "models": ("list_models", "load_model"),
    "stack": ("STAINS", "BrightfieldStack", "FieldIdentity", "StainedField"),
    "workflow": ("StainRequest", "stain"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "STAINS",
    "BrightfieldStack",
    "Cancelled",
    "ConfigError",
    "DeviceError",
    "ExternalToolError",
    "FieldIdentity",
    "FluorgenError",
    "InputError",
    "ModelError",
    "OutputError",
    "StainRequest",
    "StainedField",
    "__version__",
    "list_models",
    "load_model",
    "models",
    "read_plate",
    "read_stack",
    "stain",
]


def __getattr__(name: str) -> Any:
    """Load a public name, or the subpackage `models`, when it is first used."""
    if name == "models":
        return importlib.import_module("napari_fluorgen.models")
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f"napari_fluorgen.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
