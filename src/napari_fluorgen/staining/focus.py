"""Which way a focus series runs, and where it is sharpest, told from its own contrast.

Cells and droplets refract more than the medium, so they act as lenses: light that has passed them
draws together. By the transport-of-intensity equation the intensity changes along the light's way
as the negative Laplacian of the phase [1]_: a plane behind the lens, towards the objective, shows
bright centres, a plane before it dark centres with bright rims. The difference of the two halves
of a stack is therefore skewed to the bright side in one order and to the dark side in the other.
Absorption and dirt look the same on both sides of focus and cancel.

References
----------
.. [1] M. R. Teague, "Deterministic phase retrieval: a Green's function solution",
   J. Opt. Soc. Am. 73, 1434-1441 (1983).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_fluorgen.stack import square_pixel
from napari_fluorgen.staining import resample

if TYPE_CHECKING:
    from napari_fluorgen.models import InputScaling, ModelSpec
    from napari_fluorgen.stack import BrightfieldStack

DETAIL_UM = 0.5
SURROUND_UM = 20.0
CERTAIN_SKEW = 0.3
SIMULATED_ORDER = -1
"""Order of the simulated training data: planes ascend towards the lamp, against the light."""
_SAMPLE_PX = 768


def sample_planes(data: Any) -> NDArray[np.float32]:
    """Read the centre of every plane, at most 768 pixels wide, in float32."""
    depth, height, width = data.shape
    top, left = max(0, (height - _SAMPLE_PX) // 2), max(0, (width - _SAMPLE_PX) // 2)
    planes = [
        np.asarray(data[z, top : top + _SAMPLE_PX, left : left + _SAMPLE_PX]) for z in range(depth)
    ]
    return np.stack(planes).astype(np.float32)


def contrast_planes(planes: NDArray[np.float32], pixel_size_um: float) -> NDArray[np.float32]:
    """Relative contrast of each plane against its surroundings, without the finest noise.

    Parameters
    ----------
    planes : ndarray, shape (Z, Y, X), float32
        Counts.
    pixel_size_um : float
        Micrometres a pixel.

    Returns
    -------
    ndarray, shape (Z, Y, X), float32
        0 where a pixel is as bright as its surroundings.
    """
    contrast = np.empty_like(planes)
    for index, plane in enumerate(planes):
        # The surroundings vary slowly: smoothed on every eighth pixel they are the same.
        coarse = resample.resize(plane, (-(-plane.shape[0] // 8), -(-plane.shape[1] // 8)))
        coarse = gaussian_filter(coarse, SURROUND_UM / pixel_size_um / 8)
        surround = resample.resize(coarse, (plane.shape[0], plane.shape[1]))
        relative = plane / np.maximum(surround, np.finfo(np.float32).tiny) - 1
        contrast[index] = gaussian_filter(relative, DETAIL_UM / pixel_size_um)
    return contrast


def order_of_focus(contrast: NDArray[np.float32]) -> int:
    """Tell the direction of a focus series.

    Parameters
    ----------
    contrast : ndarray, shape (Z, Y, X), float32
        Planes in the order to judge, from `contrast_planes`.

    Returns
    -------
    int
        1 where the planes run with the light (centres of cells grow brighter), -1 where they run
        against it, 0 where the contrast does not tell.
    """
    half = len(contrast) // 2
    if half == 0:
        return 0
    before, after = contrast[:half], contrast[-half:]
    difference = _skewness(after.mean(axis=0) - before.mean(axis=0))
    trend = float(np.mean([_skewness(p) for p in after]) - np.mean([_skewness(p) for p in before]))
    if abs(difference) < CERTAIN_SKEW or difference * trend <= 0:
        return 0
    return 1 if difference > 0 else -1


def order_of_stacks(
    stacks: Iterable[BrightfieldStack], scaling: InputScaling, pixel_size_um: float
) -> int:
    """Tell in which direction the ascending planes run of stacks that a model learns from.

    Parameters
    ----------
    stacks : iterable of BrightfieldStack
        Of each, the centre of every plane is read.
    scaling : BackgroundScaling or RangeScaling
        How the model sees brightfield: with fixed ranges planes are never turned round.
    pixel_size_um : float
        Micrometres a pixel of stacks that do not say theirs.

    Returns
    -------
    int
        1 with the light, -1 against it. 0 where most stacks do not tell or two contradict each
        other: `match_stack` then takes planes as they stand, in training as in staining.
    """
    if scaling.kind != "background":
        return 0
    found = []
    for stack in stacks:
        if stack.shape[0] < 2:
            continue
        size = stack.pixel_size_um or (pixel_size_um, pixel_size_um)
        order = np.arange(stack.shape[0])
        if stack.z_um is not None:
            order = np.argsort(stack.z_um, kind="stable")
        planes = sample_planes(stack.data)[order]
        found.append(order_of_focus(contrast_planes(planes, square_pixel(size))))
    told = {order for order in found if order}
    return told.pop() if len(told) == 1 and 2 * np.count_nonzero(found) >= len(found) else 0


def order_of_model(spec: ModelSpec) -> int:
    """Direction, as of `order_of_focus`, in which the ascending planes run that a model knows.

    A model of real pairs says it itself; 0 where it does not, as those of other programs.
    """
    return int(spec.training.get("focus_order", SIMULATED_ORDER if spec.simulated else 0))


def sharpest_plane(contrast: NDArray[np.float32]) -> int | None:
    """Index of the plane in focus, or None where the contrast does not tell.

    Transparent cells are nearly invisible in focus and gain contrast on both sides of it, so the
    plane in focus is a minimum of contrast between two stronger ends.
    """
    strength = contrast.std(axis=(1, 2))
    index = int(np.argmin(strength))
    ends = min(float(strength[0]), float(strength[-1]))
    return index if ends > 1.3 * float(strength[index]) else None


def _skewness(image: NDArray[np.float32]) -> float:
    centred = image - image.mean(dtype=np.float64)
    spread = float(np.sqrt(np.mean(np.square(centred))))
    if spread < 1e-6:
        return 0.0
    return float(np.mean((centred / spread) ** 3))
