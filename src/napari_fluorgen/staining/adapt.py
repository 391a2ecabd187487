"""Matching a stack to what a model was trained on: planes, direction of focus, pixel size.

Every adaptation is one plain sentence for the user and the provenance record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_fluorgen.errors import ConfigError, InputError, ModelError
from napari_fluorgen.stack import BrightfieldStack, square_pixel
from napari_fluorgen.staining import focus as defocus

if TYPE_CHECKING:
    from napari_fluorgen.models import ModelSpec

Focus = Literal["auto", "as-is", "flipped"]

TOLERATED_ZOOM = 0.1
_LARGEST_ZOOM, _SMALLEST_ZOOM = 8.0, 1 / 24


@dataclass(frozen=True)
class Adaptation:
    """How a stack is brought to a model.

    Attributes
    ----------
    plane_indices : tuple of int
        For each plane of the model, bottom up, the plane of the stack that stands in for it.
    flipped : bool or None
        Whether the planes are read against their ascending positions (against their order where
        the positions are unknown); None where the direction could not be told and was kept.
    zoom : float
        Pixels of the model per pixel of the stack; 1.0 where nothing is resampled.
    model_shape : tuple of int
        Rows and columns on the grid of the model.
    pixel_size_um : tuple of float (y, x)
        Micrometres a pixel of the stack, as known, given or assumed.
    messages : tuple of str
        What was done and what to beware of, in sentences.
    """

    plane_indices: tuple[int, ...]
    flipped: bool | None
    zoom: float
    model_shape: tuple[int, int]
    pixel_size_um: tuple[float, float]
    messages: tuple[str, ...]


def match_stack(
    stack: BrightfieldStack,
    spec: ModelSpec,
    *,
    focus: Focus = "auto",
    pixel_size_um: float | tuple[float, float] | None = None,
) -> Adaptation:
    """Match the planes, the direction of focus and the pixel size of a stack to a model.

    Parameters
    ----------
    stack : BrightfieldStack
        The stack; at most the centre of each plane is read.
    spec : ModelSpec
        What the model was trained on.
    focus : {"auto", "as-is", "flipped"}
        ``"auto"`` judges the direction by the contrast on both sides of focus.
    pixel_size_um : float or tuple of float, optional
        Micrometres a pixel, overriding what the stack says.

    Returns
    -------
    Adaptation

    Raises
    ------
    InputError
        Where the stack has no planes or pixels, or a pixel size that cannot be true.
    ConfigError
        Where `focus` is none of the three words.
    ModelError
        Where the model's record of its planes makes no sense.

    Notes
    -----
    A model of one spacing gets, for each of its planes, the nearest of the stack. A model whose
    ``training["plane_range_um"]`` says that it was trained on varied spacing, from the smallest to
    the largest span in micrometres, gets planes spread evenly over the order of the stack, of a
    deeper stack those within the largest span around the sharpest plane.
    """
    if focus not in ("auto", "as-is", "flipped"):
        raise ConfigError(f"Focus is '{focus}'; choose 'auto', 'as-is' or 'flipped'.")
    check_shape(stack)
    messages: list[str] = []
    size = _pixel_size(stack, spec, pixel_size_um, messages)
    zoom, shape = _match_pixels(stack, spec, size, messages)
    indices, flipped = _match_planes(stack, spec, focus, size, messages)
    if spec.simulated:
        messages.append(
            f"Model '{spec.name}' was trained on simulated cells: check the result against a "
            "real stain."
        )
    return Adaptation(indices, flipped, zoom, shape, size, tuple(messages))


def check_shape(stack: BrightfieldStack) -> None:
    """Refuse what is not a stack of real-valued planes.

    Raises
    ------
    InputError
        Where axes, size, kind of numbers or plane positions are wrong.
    """
    name, shape = stack.identity.name, tuple(stack.data.shape)
    if len(shape) != 3:
        raise InputError(
            f"Stack '{name}' has {len(shape)} axes {shape}; expected three: planes, rows, columns."
        )
    if min(shape) < 1:
        raise InputError(f"Stack '{name}' is empty: its shape is {shape}.")
    kind = np.dtype(stack.data.dtype)
    if kind.kind not in "uif":
        raise InputError(f"Stack '{name}' holds {kind} values; expected brightfield intensities.")
    if stack.z_um is not None and (
        len(stack.z_um) != shape[0] or not np.isfinite(np.asarray(stack.z_um, float)).all()
    ):
        raise InputError(
            f"Stack '{name}' has {shape[0]} planes but its positions are {stack.z_um}; "
            "expected one number a plane."
        )


def _pixel_size(
    stack: BrightfieldStack,
    spec: ModelSpec,
    given: float | tuple[float, float] | None,
    messages: list[str],
) -> tuple[float, float]:
    known = given if given is not None else stack.pixel_size_um
    if known is None:
        messages.append(
            f"The stack does not say its pixel size: the model's {spec.pixel_size_um:g} µm is "
            "assumed; set the pixel size if it is another."
        )
        return (spec.pixel_size_um, spec.pixel_size_um)
    y, x = (known, known) if isinstance(known, int | float) else known
    for value in (y, x):
        zoom = value / spec.pixel_size_um if np.isfinite(value) else 0
        if not _SMALLEST_ZOOM < zoom < _LARGEST_ZOOM:
            raise InputError(
                f"Stack '{stack.identity.name}' has pixels of {value:g} µm, the model's are "
                f"{spec.pixel_size_um:g} µm: too far apart; give the true pixel size or choose "
                "another model."
            )
    return (float(y), float(x))


def shape_of_model(
    shape: tuple[int, int], size: tuple[float, float] | None, spec: ModelSpec
) -> tuple[int, int]:
    """Rows and columns of a field in the model's pixels.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns of the field.
    size : tuple of float or None
        Its micrometres a pixel (y, x); None takes the model's.
    spec : ModelSpec
        Of the model.
    """
    (height, width), (y, x) = shape, size or (spec.pixel_size_um, spec.pixel_size_um)
    zoom_y, zoom_x = y / spec.pixel_size_um, x / spec.pixel_size_um
    if _is_near(zoom_y, zoom_x):
        return (height, width)
    return (max(1, round(height * zoom_y)), max(1, round(width * zoom_x)))


def _is_near(zoom_y: float, zoom_x: float) -> bool:
    return max(abs(zoom_y - 1), abs(zoom_x - 1)) <= TOLERATED_ZOOM


def _match_pixels(
    stack: BrightfieldStack, spec: ModelSpec, size: tuple[float, float], messages: list[str]
) -> tuple[float, tuple[int, int]]:
    shape = shape_of_model(stack.shape[1:], size, spec)
    zoom_y, zoom_x = size[0] / spec.pixel_size_um, size[1] / spec.pixel_size_um
    if _is_near(zoom_y, zoom_x):
        return 1.0, shape
    found = f"{size[0]:.3g}" if size[0] == size[1] else f"{size[0]:.3g} × {size[1]:.3g}"
    messages.append(
        f"Your pixels are {found} µm, the model's {spec.pixel_size_um:.3g} µm: the stack is "
        "resampled, and the results come back on your pixels."
    )
    return float(np.sqrt(zoom_y * zoom_x)), shape


def _match_planes(
    stack: BrightfieldStack,
    spec: ModelSpec,
    focus: Focus,
    size: tuple[float, float],
    messages: list[str],
) -> tuple[tuple[int, ...], bool | None]:
    depth, wanted = stack.shape[0], spec.planes
    if depth == 1:
        messages.append(
            f"Warning: a single plane stands in for the {wanted} planes that the model wants; "
            "the model reads cells from how they change with focus, so do not trust this result: "
            "image a z-stack, best with seven planes around the cells."
        )
        return (0,) * wanted, None if focus == "auto" else focus == "flipped"

    positions = stack.z_um if stack.z_um is not None and len(set(stack.z_um)) > 1 else None
    order = np.argsort(positions, kind="stable") if positions else np.arange(depth)
    heights = np.asarray(positions, float)[order] if positions else None
    model_z = np.asarray(spec.z_um, float)
    seen = _seen_range(spec)
    # The whole series is read only where its contrast has to be judged.
    deepest = seen[1] if seen else 1.3 * float(np.ptp(model_z))
    deeper = heights is not None and np.ptp(heights) > deepest
    judged = focus == "auto" and spec.input.kind == "background"
    contrast = None
    if deeper or judged:
        planes = defocus.sample_planes(stack.data)[order]
        contrast = defocus.contrast_planes(planes, square_pixel(size))

    if positions and not np.array_equal(order, np.arange(depth)):
        messages.append("The planes are read by ascending position, not in their order.")
    found = defocus.order_of_focus(contrast) if contrast is not None and judged else None
    direction = None if found is None else found * defocus.order_of_model(spec)
    flipped = _flip(focus, direction, positions is not None, messages)
    if heights is None:
        ranks = _spread(0, depth - 1, wanted)
        if depth != wanted:
            messages.append(_count_message(depth, wanted, "in their order, positions unknown"))
        chosen = ranks[::-1] if flipped else ranks
    elif seen:
        ranks = _within_seen(heights, seen, wanted, contrast if deeper else None, messages)
        chosen = ranks[::-1] if flipped else ranks
    else:
        centre = (heights[0] + heights[-1]) / 2
        if deeper and contrast is not None:
            centre = _centre_of_focus(heights, float(np.ptp(model_z)), contrast, messages)
        chosen = _at_heights(heights, model_z, centre, bool(flipped), messages)
    return tuple(int(order[index]) for index in chosen), flipped


def _flip(
    focus: Focus, direction: int | None, positioned: bool, messages: list[str]
) -> bool | None:
    if focus == "flipped":
        messages.append("The order of the planes is reversed, as asked.")
        return True
    if direction is None:
        return False
    if direction < 0:
        against = "their positions" if positioned else "their order"
        messages.append(
            "The contrast on both sides of focus says that the planes run against the model's: "
            f"they are read against {against}; choose focus 'as-is' if that is wrong."
        )
        return True
    if direction > 0:
        return False
    messages.append(
        "The direction of focus cannot be told from the contrast: the planes are kept as they "
        "stand; choose focus 'flipped' if the stains look wrong."
    )
    return None


def _seen_range(spec: ModelSpec) -> tuple[float, float] | None:
    """Smallest and largest span of planes that a model of varied spacing was trained on."""
    found = spec.training.get("plane_range_um")
    if found is None:
        return None
    try:
        low, high = (float(value) for value in found)
    except (TypeError, ValueError):
        low, high = np.nan, np.nan
    if not 0 <= low < high < np.inf:
        raise ModelError(
            f"Model '{spec.name}' says plane_range_um {found!r}; expected the smallest and the "
            "largest span of planes it was trained on, in µm."
        )
    return low, high


def _within_seen(
    heights: np.ndarray,
    seen: tuple[float, float],
    wanted: int,
    contrast: np.ndarray | None,
    messages: list[str],
) -> np.ndarray:
    """Planes for a model that knows many spacings: evenly by order, within its largest span."""
    first, last = 0, len(heights) - 1
    if contrast is not None:
        centre = _centre_of_focus(heights, seen[1], contrast, messages)
        inside = np.flatnonzero(np.abs(heights - centre) <= seen[1] / 2 * (1 + 1e-9))
        # Planes so far apart that one alone lies inside: its neighbours say more than nothing.
        near = int(np.argmin(np.abs(heights - centre)))
        first, last = max(0, near - 1), min(last, near + 1)
        if len(inside) > 1:
            first, last = int(inside[0]), int(inside[-1])
    count = last - first + 1
    if count != wanted:
        messages.append(_spread_message(count, len(heights), wanted))
    span = float(heights[last] - heights[first])
    if not seen[0] <= span <= seen[1] * (1 + 1e-9):
        messages.append(
            f"The planes span {span:.3g} µm, the model was trained on {seen[0]:g} to "
            f"{seen[1]:g} µm: check the result."
        )
    return _spread(first, last, wanted)


def _at_heights(
    heights: np.ndarray,
    model_z: np.ndarray,
    centre: float,
    flipped: bool,
    messages: list[str],
) -> np.ndarray:
    """Planes for a model of one spacing: the nearest to each of its own."""
    depth, wanted = len(heights), len(model_z)
    offsets = model_z - (model_z[0] + model_z[-1]) / 2
    goals = centre + (-offsets if flipped else offsets)
    chosen = np.array([_nearest(heights, goal) for goal in goals])
    if depth != wanted:
        messages.append(_count_message(depth, wanted, "by position"))
    elif len(set(chosen.tolist())) < wanted:
        messages.append(
            f"The planes span {np.ptp(heights):.3g} µm, the model's {np.ptp(model_z):.3g} µm: "
            "the nearest planes are taken, some more than once."
        )
    far = float(np.abs(heights[chosen] - goals).max())
    if far > float(np.diff(model_z).min()):
        messages.append(
            f"The planes lie up to {far:.3g} µm from where the model wants them: check the "
            "result, or image planes as the model's."
        )
    return chosen


def _spread(first: int, last: int, wanted: int) -> np.ndarray:
    return np.round(np.linspace(first, last, wanted)).astype(int)


def _centre_of_focus(
    heights: np.ndarray, span: float, contrast: np.ndarray, messages: list[str]
) -> float:
    """Height around which `span` of a deeper stack is used."""
    centre = float(heights[0] + heights[-1]) / 2
    sharpest = defocus.sharpest_plane(contrast)
    if sharpest is None:
        return centre
    reach = span / 2
    found = float(np.clip(heights[sharpest], heights[0] + reach, heights[-1] - reach))
    if abs(found - centre) > reach / 6:
        messages.append(
            f"The stack spans {np.ptp(heights):.3g} µm, the model {span:.3g} µm: the planes "
            f"around the sharpest one, {found - centre:+.3g} µm from the middle, are used."
        )
    return found


def _nearest(heights: np.ndarray, goal: float) -> int:
    # A tie goes to the plane nearer to the middle, so that flipping is its own inverse.
    distance = np.abs(heights - goal)
    ties = np.flatnonzero(distance <= distance.min() + 1e-6)
    return int(ties[np.argmin(np.abs(heights[ties] - (heights[0] + heights[-1]) / 2))])


def _count_message(depth: int, wanted: int, how: str) -> str:
    what = "planes are repeated" if depth < wanted else "planes are chosen"
    return f"{depth} planes, the model wants {wanted}: the nearest {what} ({how})."


def _spread_message(count: int, depth: int, wanted: int) -> str:
    of = f"{count} of {depth}" if count < depth else f"{depth}"
    how = "some are repeated" if count < wanted else "planes are chosen"
    return f"{of} planes, the model wants {wanted}: {how}, spread evenly over the stack's order."
