"""Variety on the fly: what is done to a crop each time it is drawn.

Turns, shifts, scales and rotations are those of the challenge report, section 2. Brightfield is
relative to its background by then, so contrast is a factor and camera noise is added. The order of
the planes tells on which side of focus a cell lies: it is never reversed.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy import sparse


class AugmentSettings(BaseModel):
    """How crops are varied; what a setting is 0 for (contrast: 1 to 1) is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    turn: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of crops that are flipped and turned by right angles, all 8 ways alike.",
    )
    transform: float = Field(
        default=0.0, ge=0, le=1, description="Share of crops that are scaled and rotated."
    )
    shift: float = Field(
        default=0.2,
        ge=0,
        le=0.5,
        description="Farthest that a nucleus lies from the centre of its crop, as share of a side.",
    )
    scale: float = Field(
        default=0.1, ge=0, le=0.5, description="Largest relative change of size by a transform."
    )
    rotate: float = Field(
        default=180.0, ge=0, le=180, description="Largest rotation by a transform, in degrees."
    )
    contrast: tuple[float, float] = Field(
        default=(1.0, 1.0), description="Range of the factor on the contrast of brightfield."
    )
    noise: float = Field(
        default=0.0,
        ge=0,
        description="Largest standard deviation of noise added to brightfield, as the networks "
        "see it (with background scaling: share of the background times gain).",
    )
    blur: float = Field(
        default=0.0, ge=0, le=5, description="Largest Gaussian blur of brightfield, in pixels."
    )
    planes: Literal["fixed", "random"] = Field(
        default="fixed",
        description="'fixed': all planes of a pair, as many as the networks take; 'random': as "
        "many drawn from a deeper stack, always in ascending order.",
    )
    missing_planes: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of crops that lack planes, for which the nearest others stand in.",
    )

    @model_validator(mode="after")
    def _check(self) -> AugmentSettings:
        low, high = self.contrast
        if not 0 < low <= high:
            raise ValueError(f"contrast {list(self.contrast)} must be a rising pair above 0")
        return self


def spread_planes(depth: int, planes: int) -> NDArray[np.intp]:
    """Indices of `planes` evenly spread planes of a stack, first and last included, ascending."""
    return np.round(np.linspace(0, depth - 1, planes)).astype(np.intp)


def draw_planes(depth: int, planes: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw planes of a deeper stack as microscopes might have taken them.

    Half of the draws are evenly spaced within a window of 0.3 to 1 times the stack (contiguous,
    strided, or repeated where the window is short), three tenths are any planes without repeats
    (uneven spacing), a fifth are one to ``planes - 1`` planes of which some stand in for their
    neighbours, as staining does with short stacks.

    Parameters
    ----------
    depth : int
        Planes of the stack.
    planes : int
        How many to draw.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    ndarray of int, shape (planes,)
        Ascending, with repeats where need be.
    """
    kind = rng.random()
    if kind < 0.5 or depth < 2:
        span = rng.uniform(0.3, 1) * (depth - 1)
        start = rng.uniform(0, depth - 1 - span)
        return np.round(np.linspace(start, start + span, planes)).astype(np.intp)
    if kind < 0.8 and depth >= planes:
        return np.sort(rng.choice(depth, planes, replace=False))
    few = int(rng.integers(1, max(min(planes, depth + 1), 2)))
    return np.sort(rng.choice(depth, few, replace=False))[spread_planes(few, planes)]


def stand_ins(planes: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw a stack of fewer planes and take the nearest of it for each, as staining does.

    Parameters
    ----------
    planes : int
        Planes of the whole stack.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    ndarray of int, shape (planes,)
        Which plane to take in place of each. Those that are there lie around the middle of the
        stack, which staining puts there, too; fewer than three are always all there.
    """
    pairs = (planes + 1) // 2
    if pairs < 2:
        return np.arange(planes)
    kept = rng.choice(pairs, int(rng.integers(1, pairs)), replace=False)
    outwards = np.sort(kept)[::-1]  # of two that are as near, the one nearer to the middle
    there = np.stack([outwards, planes - 1 - outwards], axis=1).ravel()
    return np.asarray(there[np.abs(np.arange(planes)[:, None] - there).argmin(axis=1)])


def transformed(
    images: NDArray[np.float32], mask: NDArray[np.bool_], crop: int, angle: float, zoom: float
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Rotate and scale about the centre of a window and cut the crop out of its middle.

    Parameters
    ----------
    images : ndarray, shape (C, Y, X), float32
        Window, interpolated bilinearly; mirrored where the crop reaches beyond it.
    mask : ndarray, shape (Y, X), bool
        Nuclei, nearest pixel.
    crop : int
        Side of the result.
    angle : float
        Radians, from the first axis to the second.
    zoom : float
        Above 1 things grow.
    """
    height, width = mask.shape
    across = (np.arange(crop) - (crop - 1) / 2) / zoom
    cos, sin = np.cos(angle), np.sin(angle)
    y = _mirrored(sin * across[None, :] + cos * across[:, None] + (height - 1) / 2, height)
    x = _mirrored(cos * across[None, :] - sin * across[:, None] + (width - 1) / 2, width)
    top, left = (np.minimum(at.astype(np.int32), n - 2) for at, n in ((y, height), (x, width)))
    down, right = y - top, x - left
    corners = (top * width + left)[:, None] + np.array([0, 1, width, width + 1], np.int32)
    weights = np.stack(
        [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right], axis=1
    )
    # A sparse matrix with four weights a row: as fast as PyTorch's grid_sample on one core, and
    # unlike that it does not wait for threads that the network's training keeps busy.
    starts = np.arange(0, corners.size + 1, 4, dtype=np.int32)
    matrix = sparse.csr_array(
        (weights.ravel().astype(np.float32), corners.ravel(), starts),
        shape=(crop * crop, height * width),
    )
    turned = np.ascontiguousarray((matrix @ images.reshape(len(images), -1).T).T)
    nearest = np.rint(y).astype(np.intp) * width + np.rint(x).astype(np.intp)
    return turned.reshape(-1, crop, crop), mask.ravel()[nearest].reshape(crop, crop)


def _mirrored(position: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Positions in pixels, flat; those beyond a border reflected at its outermost pixel."""
    period = max(2 * (size - 1), 1)
    return (size - 1) - np.abs(position.ravel() % period - (size - 1))


def window_of(crop: int, angle: float, zoom: float) -> int:
    """Side of the window that a transformed crop is cut from, in pixels."""
    return int(np.ceil(crop / zoom * (abs(np.cos(angle)) + abs(np.sin(angle))))) + 2


def vary_light(
    planes: NDArray[np.float32], settings: AugmentSettings, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Change contrast, blur and noise of brightfield; `planes` (Z, Y, X) may be changed."""
    low, high = settings.contrast
    if high > low or low != 1:
        planes *= np.float32(np.exp(rng.uniform(np.log(low), np.log(high))))
    if settings.blur:
        from scipy.ndimage import gaussian_filter

        sigma = rng.uniform(0, settings.blur)
        if sigma > 0.2:  # narrower than this changes nothing
            planes = gaussian_filter(planes, (0, sigma, sigma), mode="reflect", truncate=3)
    if settings.noise:
        level = np.float32(rng.uniform(0, settings.noise))
        planes += level * rng.standard_normal(planes.shape, dtype=np.float32)
    return planes
