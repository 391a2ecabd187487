"""Time and memory before the start, and the tile that fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_fluorgen.stack import BrightfieldStack
from napari_fluorgen.staining.adapt import Adaptation, Focus, match_stack
from napari_fluorgen.staining.cost import features_per_pixel
from napari_fluorgen.staining.devices import Device, resolve_device, resolve_precision
from napari_fluorgen.staining.plan import Plan, cheapest_tile, plan_tiles, smallest_tile
from napari_fluorgen.staining.rates import seconds_per_pixel

if TYPE_CHECKING:
    from napari_fluorgen.models import Model, ModelSpec

CPU_BUDGET_BYTES = 1_700_000_000
GPU_BUDGET_BYTES = 8_000_000_000
_BASE_BYTES = {"cpu": 350_000_000, "cuda": 600_000_000, "mps": 600_000_000}
# Bytes of working memory a feature and pixel, measured on the reference's networks.
_FEATURE_BYTES = {"float32": 7.0, "bfloat16": 4.0, "float16": 8.0}


@dataclass(frozen=True)
class Estimate:
    """What a run will take.

    Attributes
    ----------
    seconds : float
        Time for the networks; loading a model for the first time comes on top.
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
) -> Estimate:
    """Estimate time and memory of `stain_arrays` with the same arguments.

    Parameters
    ----------
    stack, model, device, precision, focus, pixel_size_um, tile_px
        As in `stain_arrays`.

    Returns
    -------
    Estimate
        From the last run of this model on this device in this process; before that from the
        networks' arithmetic and the measured speed of one convolution.
    """
    found = resolve_device(device)
    wanted = resolve_precision(precision, found)
    adaptation = match_stack(stack, model.spec, focus=focus, pixel_size_um=pixel_size_um)
    plan = plan_run(stack, model, adaptation, found, wanted, tile_px)
    return Estimate(
        seconds=plan.seconds or 0.0,
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
    tile_px: int | None = None,
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
    tile_px : int, optional
        Largest side of a tile; as large as memory allows if not given.

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
    return replace(plan, memory_bytes=memory_bytes(plan, spec, device, precision), seconds=seconds)


def largest_area(spec: ModelSpec, device: Device, precision: str) -> int:
    """Pixels of the largest tile whose working memory fits the device and the budget."""
    budget = CPU_BUDGET_BYTES if device.name == "cpu" else GPU_BUDGET_BYTES
    if device.memory_bytes is not None:
        budget = min(budget, int(0.6 * device.memory_bytes))
    budget -= _BASE_BYTES[device.name]
    per_pixel = features_per_pixel(spec) * _FEATURE_BYTES[precision]
    return max(int(budget / per_pixel), smallest_tile(spec.overlap_px, spec.divisor) ** 2)


def memory_bytes(plan: Plan, spec: ModelSpec, device: Device, precision: str) -> int:
    """Peak memory of a plan: the networks on a tile, its input, and the results."""
    tile = plan.tile_shape[0] * plan.tile_shape[1]
    canvas = plan.canvas_shape[0] * plan.canvas_shape[1]
    output = plan.output_shape[0] * plan.output_shape[1]
    maps = len(spec.output_names)
    working = tile * features_per_pixel(spec) * _FEATURE_BYTES[precision]
    held = 4 * canvas * maps + output * (2 * maps + 12) + 4 * tile * (3 * spec.planes + maps)
    return int(_BASE_BYTES[device.name] + working + held)
