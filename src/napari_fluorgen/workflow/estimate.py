"""What a request will take, before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_fluorgen.stack import BrightfieldStack
from napari_fluorgen.workflow.request import StainRequest

if TYPE_CHECKING:
    from napari_fluorgen.models import Model
    from napari_fluorgen.staining import Estimate


def estimate_field(
    stack: BrightfieldStack,
    request: StainRequest,
    *,
    model: Model | None = None,
    held: bool = True,
) -> Estimate:
    """Estimate time, memory and adaptations of `stain_field` with the same arguments.

    Parameters
    ----------
    stack : BrightfieldStack
        At most the centre of each plane is read.
    request : StainRequest
        What would be asked for.
    model : Model, optional
        The loaded model; read by the request's name otherwise.
    held : bool
        Whether the results stay in memory; false where they go to OME-Zarr as they are finished.

    Returns
    -------
    Estimate
        Seconds, bytes, tiles, device, precision and the adaptation with its messages.

    Raises
    ------
    FluorgenError
        As `stain_field` would, for what can be known before the start.
    """
    from napari_fluorgen.models import load_model
    from napari_fluorgen.staining import estimate

    return estimate(
        stack,
        model or load_model(request.model),
        request.device,
        precision=request.precision,
        focus=request.focus,
        pixel_size_um=request.pixel_size_um,
        tile_px=request.tile_px,
        held=held,
    )


def describe_cost(seconds: float | None, count_bytes: float) -> str:
    """Return time and memory in words, for example ``"about 6 s, 0.9 GB"``."""
    memory = f"{count_bytes / 1e9:.1f} GB"
    if not seconds:
        return memory
    if seconds < 90:
        return f"about {max(1, round(seconds))} s, {memory}"
    return f"about {seconds / 60:.0f} min, {memory}"
