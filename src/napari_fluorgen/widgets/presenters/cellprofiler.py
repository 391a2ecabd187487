"""What is said about the real CellProfiler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_fluorgen.measurement import CellProfiler

INSTALL = "Install it here (0.8 GB, some minutes)"


def found_text(found: CellProfiler | None) -> str:
    """Say where CellProfiler is."""
    return found.sentence if found else "CellProfiler was not found on this computer."


def setup_title(found: CellProfiler | None) -> str:
    """Title of the button that installs or chooses CellProfiler."""
    return "Use another CellProfiler…" if found else "Set up CellProfiler…"


def event_text(event: Any) -> tuple[str, int, int]:
    """Say what CellProfiler does, and how much of it is done and there in all (0: unknown).

    Parameters
    ----------
    event : Stage, Measuring or InstallStep
    """
    done, total = getattr(event, "done", 0), getattr(event, "total", 0)
    name = getattr(event, "name", "")
    if not name:
        images = f"{done} of {total} images" if total > 1 else "the image"
        return f"CellProfiler measures {images} …", done, total
    counted = f" ({done} of {total})" if total else ""
    return f"{name[:1].upper()}{name[1:]}{counted} …", done, total
