"""Time and memory before the start, and the tile that fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_fluorgen.stack import BrightfieldStack
from napari_fluorgen.staining.adapt import Adaptation, Focus, match_stack
from napari_fluorgen.staining.cost import features_per_pixel, native_bytes_per_pixel
from napari_fluorgen.staining.devices import Device, resolve_device, resolve_precision
from napari_fluorgen.staining.plan import Plan, cheapest_tile, plan_tiles, smallest_tile
from napari_fluorgen.staining.rates import (
    around_seconds_per_pixel,
    engine_of,
    seconds_per_pixel,
    setup_seconds,
)

if TYPE_CHECKING:
    from napari_fluorgen.models import Model, ModelSpec

# With it networks of the reference's size take a field of 1080² pixels in one tile, and one of
# 2160 × 2560 in four; smaller networks are bounded by the tile's pixels.
CPU_BUDGET_BYTES = 3_300_000_000
GPU_BUDGET_BYTES = 8_000_000_000
_BASE_BYTES = {"cpu": 350_000_000, "cuda": 600_000_000, "mps": 600_000_000}
_VIEW_BYTES = 70_000_000  # measured on brightfield-20x
# Bytes of working memory a feature and pixel of OpenVINO and PyTorch, measured on the reference's
# networks; the native kernels' can be counted.
_FEATURE_BYTES = {"float32": 6.0, "bfloat16": 3.3, "float16": 8.0}
# Beyond this a tile is so large against its overlap that larger ones save nothing.
_LARGEST_TILE_PX = 4_400_000
# Results on their way to disk: chunks of the store, p-values and nuclei of one window.
_STREAM_BYTES = 450_000_000


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes
    ----------
    seconds : float
        Time of the run, opening the model included where this process has not done so.
    bytes : int
        Peak memory of the run.
    tiles : int
        Number of tiles.
    device : Device
        Where it would run.
    precision : str
        In what.
    adaptation : Adaptation
        How the stack would be matched, with messages for the user.
    """

    seconds: float
    bytes: int
    tiles: int
    device: Device
    precision: str
    adaptation: Adaptation


def estimate(
    stack: BrightfieldStack,
    model: Model,
    device: str = "auto",
    *,
    precision: str = "auto",
    focus: Focus = "auto",
    pixel_size_um: float | tuple[float, float] | None = None,
    tile_px: int | None = None,
    held: bool = True,
) -> Estimate:
    """Estimate time and memory of `stain_arrays` with the same arguments.

    Parameters
    ----------
    stack, model, device, precision, focus, pixel_size_um, tile_px
        As in `stain_arrays`.
    held : bool
        Whether the results stay in memory; false where they are written as they are finished.

    Returns
    -------
    Estimate
        From earlier runs of this model on this device; before the first, from the networks'
        arithmetic and the measured speed of one convolution.
    """
    found = resolve_device(device)
    wanted = resolve_precision(precision, found)
    adaptation = match_stack(stack, model.spec, focus=focus, pixel_size_um=pixel_size_um)
    plan = plan_run(stack, model, adaptation, found, wanted, tile_px, held=held)
    return Estimate(
        seconds=(plan.seconds or 0.0) + setup_seconds(model, found, wanted, plan.tile_shape),
        bytes=plan.memory_bytes,
        tiles=len(plan.tiles),
        device=found,
        precision=wanted,
        adaptation=adaptation,
    )


def plan_run(
    stack: BrightfieldStack,
    model: Model,
    adaptation: Adaptation,
    device: Device,
    precision: str,
    tile_px: int | tuple[int, int] | None = None,
    *,
    held: bool = True,
) -> Plan:
    """Plan the tiles of a run with its memory and time.

    Parameters
    ----------
    stack : BrightfieldStack
        The stack.
    model : Model
        The model.
    adaptation : Adaptation
        From `match_stack`.
    device : Device
        Where it runs.
    precision : str
        In what.
    tile_px : int or tuple of int, optional
        Largest side of a tile; as large as memory allows if not given.
    held : bool
        Whether the results stay in memory.

    Returns
    -------
    Plan
    """
    spec = model.spec
    shape, overlap = adaptation.model_shape, spec.overlap_px
    tile = tile_px or cheapest_tile(
        shape, largest_area(spec, device, precision), overlap, spec.divisor
    )
    plan = plan_tiles(
        shape,
        tile,
        overlap,
        spec.divisor,
        output_shape=(stack.shape[1], stack.shape[2]),
    )
    seconds = plan.computed_pixels * seconds_per_pixel(model, device, precision)
    field = plan.output_shape[0] * plan.output_shape[1]
    seconds += field * around_seconds_per_pixel(model, held=held)
    memory = memory_bytes(plan, spec, device, precision, held=held)
    return replace(plan, memory_bytes=memory, seconds=seconds)


def largest_area(spec: ModelSpec, device: Device, precision: str) -> int:
    """Pixels of the largest tile whose working memory fits the device and the budget."""
    budget: float = CPU_BUDGET_BYTES if device.name == "cpu" else GPU_BUDGET_BYTES
    # In halves, so that tiles, and with them the last digits, seldom change between two runs.
    while device.memory_bytes is not None and budget > max(0.6 * device.memory_bytes, 1):
        budget /= 2
    budget -= _base_bytes(spec, device, precision)
    area = min(int(budget / _bytes_per_pixel(spec, device, precision)), _LARGEST_TILE_PX)
    return max(area, smallest_tile(spec.overlap_px, spec.divisor) ** 2)


def memory_bytes(
    plan: Plan, spec: ModelSpec, device: Device, precision: str, *, held: bool = True
) -> int:
    """Peak memory of a plan: the networks on a tile, its input, and the results.

    Parameters
    ----------
    plan : Plan
        The tiles.
    spec : ModelSpec
        The model.
    device : Device
        Where it runs.
    precision : str
        In what.
    held : bool
        Whether the results stay in memory; otherwise they are written as they are finished, and
        the size of the plane does not matter.
    """
    tile = plan.tile_shape[0] * plan.tile_shape[1]
    working = tile * _bytes_per_pixel(spec, device, precision)
    base = _base_bytes(spec, device, precision)
    if not held:
        return int(base + max(working, _STREAM_BYTES))
    output = plan.output_shape[0] * plan.output_shape[1]
    canvas = 0
    if plan.model_shape != plan.output_shape:
        canvas = 4 * len(spec.output_names) * plan.canvas_shape[0] * plan.canvas_shape[1]
    # Stains, probability, labels and two p-value maps.
    results = output * (2 * len(spec.stains) + 4 + 12)
    return int(base + working + canvas + results)


def _base_bytes(spec: ModelSpec, device: Device, precision: str) -> float:
    """Memory of the programs, and of the layers that OpenVINO compiles for each further view."""
    base = _BASE_BYTES[device.name]
    if engine_of(device, precision) != "openvino":
        return base
    return base + _VIEW_BYTES * sum(a.views - 1 for a in spec.architectures.values())


def _bytes_per_pixel(spec: ModelSpec, device: Device, precision: str) -> float:
    """Working memory of a tile.

    What the networks keep, the planes as read, scaled and handed over, and the maps before and
    after blending.
    """
    moved = 4 * (3 * spec.planes + 3 * len(spec.output_names))
    if engine_of(device, precision) == "native":
        return native_bytes_per_pixel(spec) + moved
    return features_per_pixel(spec) * _FEATURE_BYTES[precision] + moved
