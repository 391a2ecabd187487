"""Model packages: what a model is, where models are, and how they are written.

Names are loaded on first use: models can be listed without importing torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_fluorgen.models.checks import TestReport, test_model
    from napari_fluorgen.models.importing import REFERENCE_RANGES, import_reference
    from napari_fluorgen.models.library import (
        ModelSummary,
        list_models,
        load_model,
        suggest_model,
        user_model_dir,
    )
    from napari_fluorgen.models.package import Model
    from napari_fluorgen.models.reference import infer_architecture, read_reference_checkpoint
    from napari_fluorgen.models.saving import save_package
    from napari_fluorgen.models.spec import (
        PROBABILITY,
        BackgroundScaling,
        InputScaling,
        ModelSpec,
        NucleiSettings,
        RangeScaling,
        StainRange,
    )
    from napari_fluorgen.models.transfer import export_package, install_package
    from napari_fluorgen.networks.architecture import Architecture

_NAMES = {
    "checks": ("TestReport", "test_model"),
    "importing": ("REFERENCE_RANGES", "import_reference"),
    "library": ("ModelSummary", "list_models", "load_model", "suggest_model", "user_model_dir"),
    "package": ("Model",),
    "reference": ("infer_architecture", "read_reference_checkpoint"),
    "saving": ("save_package",),
    "spec": (
        "PROBABILITY",
        "Architecture",
        "BackgroundScaling",
        "InputScaling",
        "ModelSpec",
        "NucleiSettings",
        "RangeScaling",
        "StainRange",
    ),
    "transfer": ("export_package", "install_package"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "PROBABILITY",
    "REFERENCE_RANGES",
    "Architecture",
    "BackgroundScaling",
    "InputScaling",
    "Model",
    "ModelSpec",
    "ModelSummary",
    "NucleiSettings",
    "RangeScaling",
    "StainRange",
    "TestReport",
    "export_package",
    "import_reference",
    "infer_architecture",
    "install_package",
    "list_models",
    "load_model",
    "read_reference_checkpoint",
    "save_package",
    "suggest_model",
    "test_model",
    "user_model_dir",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
