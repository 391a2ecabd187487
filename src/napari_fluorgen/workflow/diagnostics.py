"""What is installed, which devices work, what is missing: for `fluorgen doctor` and bug reports."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from napari_fluorgen.errors import ExternalToolError, FluorgenError
from napari_fluorgen.workflow.provenance import versions

_QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
_LEAST_FREE_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes
    ----------
    name : str
        What was looked at.
    status : {"ok", "missing", "problem"}
        ``"missing"`` is something optional; ``"problem"`` keeps staining from working.
    found : str
        What was found, and what to do where it is not ok.
    """

    name: str
    status: Literal["ok", "missing", "problem"]
    found: str


def diagnose(folder: str | Path = ".") -> list[Check]:
    """Look at the installation; never raises.

    Parameters
    ----------
    folder : path
        Where results would be written, for the free space.
    """
    checks = [
        _guarded("versions", _versions),
        _guarded("machine", _machine),
        _guarded("devices", _devices),
        _guarded("models", _models),
        _guarded("napari", _napari),
        _guarded("CellProfiler", _cellprofiler),
        _guarded("disk", lambda: _disk(Path(folder))),
    ]
    return checks


def _guarded(name: str, look: Callable[[], tuple[Any, str]]) -> Check:
    try:
        status, found = look()
    except FluorgenError as error:
        status, found = "problem", str(error)
    except Exception as error:  # a broken installation is what this report is for
        status, found = "problem", f"{type(error).__name__}: {error}"
    return Check(name, status, found)


def _versions() -> tuple[str, str]:
    return "ok", ", ".join(f"{name} {version}" for name, version in versions().items())


def _machine() -> tuple[str, str]:
    import torch

    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    bound = os.environ.get("OMP_NUM_THREADS")
    threads = f"{torch.get_num_threads()} threads for torch"
    limit = f" (OMP_NUM_THREADS={bound})" if bound else ""
    return "ok", f"{platform.platform()}, {usable} usable processors, {threads}{limit}"


def _devices() -> tuple[str, str]:
    from napari_fluorgen.staining.backends import cpu_backend
    from napari_fluorgen.staining.devices import available_devices

    devices = available_devices()
    found = [f"{device.name}: {device.label}" for device in devices]
    if devices and devices[-1].name == "cpu":
        precision = devices[-1].precisions[0]
        found[-1] += f", {precision} by {cpu_backend(precision)}"
    return ("ok" if devices else "problem"), "; ".join(found)


def _models() -> tuple[str, str]:
    from napari_fluorgen.models import list_models

    names = [f"{model.name} {model.version}" for model in list_models()]
    if names:
        return "ok", ", ".join(names)
    return "problem", "none is installed; use `fluorgen models import`"


def _napari() -> tuple[str, str]:
    napari = _version_of("napari")
    bindings = [f"{name} {version}" for name in _QT_BINDINGS if (version := _version_of(name))]
    if napari and bindings:
        return "ok", f"napari {napari} with {', '.join(bindings)}"
    lacking = "a Qt binding" if napari else "napari"
    return "missing", (
        f"{lacking} is not installed; the command line works without, for the docks run "
        "`python -m pip install 'napari-fluorgen[all]'`"
    )


def _cellprofiler() -> tuple[str, str]:
    from napari_fluorgen.measurement.cellprofiler_find import locate_cellprofiler

    try:
        found = locate_cellprofiler()
    except ExternalToolError as error:
        return "missing", f"{error} Measurements and exports work without."
    if found is None:
        return "missing", (
            "not found; measurements and exports work without, `fluorgen cellprofiler install` "
            "sets it up"
        )
    return "ok", f"{found.version or 'version unknown'}, {found.program} ({found.origin})"


def _disk(folder: Path) -> tuple[str, str]:
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free in {folder.resolve()}"
    if free < _LEAST_FREE_BYTES:
        return "problem", f"{found}: a plate of results may not fit"
    return "ok", found


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
