"""Brightfield divided by its own illumination.

Raw counts differ between microscopes by orders of magnitude; intensity relative to the empty
field does not. Defocus moves light but conserves it, so the mean over the planes, smoothed over
tens of micrometres, is the illumination, and each plane needs only a gain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_fluorgen.errors import InputError

SMOOTHING_UM = 40.0
_BLOCK = 16
_MOST_NODES = 512
_READ_PX = 1024, 4096
"""Rows and columns read at once: whole chunks of most stores, at most 8 MB of a plane."""


@dataclass(frozen=True)
class Background:
    """Illumination of a stack as a coarse map and one gain a plane.

    Attributes
    ----------
    coarse : ndarray, shape (ny, nx), float32
        Illumination in counts, one node every `block` pixels.
    gains : ndarray, shape (Z,), float32
        Factor of each plane against the map.
    block : int
        Distance of the nodes in pixels; node i lies at pixel ``(i + 0.5) * block - 0.5``.
    """

    coarse: NDArray[np.float32]
    gains: NDArray[np.float32]
    block: int

    def at(self, y: slice, x: slice) -> NDArray[np.float32]:
        """Illumination without gains, bilinear, shape (rows, columns) of the two slices."""
        rows, ys = _linear_weights(np.arange(y.start, y.stop), self.coarse.shape[0], self.block)
        columns, xs = _linear_weights(np.arange(x.start, x.stop), self.coarse.shape[1], self.block)
        return (rows @ self.coarse[ys, xs] @ columns.T).astype(np.float32, copy=False)

    def divide(self, planes: NDArray[Any], y: slice, x: slice) -> NDArray[np.float32]:
        """Scale a block of the stack so that 1.0 is the empty field.

        Parameters
        ----------
        planes : ndarray, shape (Z, rows, columns)
            The block, all planes in the order of the stack.
        y, x : slice
            Where the block lies in the stack, in pixels, with start and stop.

        Returns
        -------
        ndarray, shape (Z, rows, columns), float32
        """
        scaled = planes.astype(np.float32)
        scaled /= self.at(y, x)
        scaled /= self.gains[:, None, None]
        return scaled


def estimate_background(
    data: Any, pixel_size_um: float, check: Callable[[], None] | None = None
) -> Background:
    """Estimate the illumination of a stack.

    Parameters
    ----------
    data : array-like, shape (Z, Y, X)
        The stack in counts; each pixel is read once, in rectangles of a bounded size.
    pixel_size_um : float
        Micrometres a pixel.
    check : callable, optional
        Called before each rectangle; it may raise, to stop.

    Raises
    ------
    InputError
        If a plane holds values that are not finite, or no light at all.
    """
    depth, height, width = data.shape
    block = max(1, min(_BLOCK, height // 4, width // 4))
    # The map of a huge plane is coarser, so that its size stays bounded.
    block *= max(1, -(-max(height, width) // (_BLOCK * _MOST_NODES)))
    means = np.empty((depth, -(-height // block), -(-width // block)), np.float32)
    steps = [max(1, side // block) * block for side in _READ_PX]
    for z in range(depth):
        for top in range(0, height, steps[0]):
            for left in range(0, width, steps[1]):
                if check is not None:
                    check()
                part = np.asarray(data[z, top : top + steps[0], left : left + steps[1]])
                found = _block_means(part, block)
                y, x = top // block, left // block
                means[z, y : y + found.shape[0], x : x + found.shape[1]] = found
        if not np.isfinite(means[z]).all():
            raise InputError(
                f"Plane {z + 1} holds values that are not numbers (NaN or infinite); "
                "replace them before staining."
            )
    levels = means.mean(axis=(1, 2))
    if levels.min() <= 0:
        dark = int(np.argmin(levels)) + 1
        raise InputError(
            f"Plane {dark} is dark (mean {levels.min():g}); a brightfield plane must hold light."
        )
    relative = (means / levels[:, None, None]).mean(axis=0)
    smooth = gaussian_filter(relative, SMOOTHING_UM / pixel_size_um / block, mode="reflect")
    floor = 1e-3 * float(smooth.mean())
    coarse = np.maximum(smooth / smooth.mean(), floor).astype(np.float32)
    return Background(coarse, levels.astype(np.float32), block)


def _block_means(rows: NDArray[Any], block: int) -> NDArray[np.float32]:
    edges_y = np.arange(0, rows.shape[0], block)
    edges_x = np.arange(0, rows.shape[1], block)
    sums = np.add.reduceat(rows.astype(np.float32), edges_y, axis=0)
    sums = np.add.reduceat(sums, edges_x, axis=1)
    ny = np.diff(np.append(edges_y, rows.shape[0]))
    nx = np.diff(np.append(edges_x, rows.shape[1]))
    return (sums / (ny[:, None] * nx[None, :])).astype(np.float32)


def _linear_weights(
    pixels: NDArray[np.int64], nodes: int, block: int
) -> tuple[NDArray[np.float32], slice]:
    """Weights of the nodes that the pixels lie between, and which nodes these are."""
    position = np.clip((pixels + 0.5) / block - 0.5, 0, nodes - 1)
    lower = np.minimum(position.astype(int), max(nodes - 2, 0))
    fraction = (position - lower).astype(np.float32)
    used = slice(int(lower.min()), min(int(lower.max()) + 2, nodes))
    lower = lower - used.start
    weights = np.zeros((pixels.size, used.stop - used.start), np.float32)
    index = np.arange(pixels.size)
    weights[index, lower] = 1 - fraction
    weights[index, np.minimum(lower + 1, weights.shape[1] - 1)] += fraction
    return weights, used
