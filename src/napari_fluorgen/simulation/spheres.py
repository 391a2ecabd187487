"""Spheres on a grid of voxels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

SLICE_UM = 0.75


def rasterise_spheres(
    spheres: np.ndarray,
    volume: tuple[int, int, int],
    pixel: float,
    device: torch.device,
    *,
    slice_um: float = SLICE_UM,
    wrap: bool = False,
) -> Tensor:
    """Occupancy of many spheres, soft over one voxel.

    Parameters
    ----------
    spheres : ndarray, shape (n, 4)
        Height, row, column and radius of each in micrometres.
    volume : tuple of int
        Slices, rows, columns.
    pixel : float
        Micrometres a pixel.
    device : torch.device
        Where to compute.
    slice_um : float
        Thickness of a slice.
    wrap : bool
        Whether spheres over a border come in at the other; else they are cut.

    Returns
    -------
    Tensor, shape volume, float32
        Share of each voxel that is inside, 0 to 1.
    """
    out = torch.zeros(volume, device=device).flatten()
    depth, height, width = volume
    z = (torch.arange(depth, device=device) + 0.5) * slice_um
    reach = np.ceil(spheres[:, 3] / pixel + 1).astype(int)
    # Spheres of like size share a window, so that none pays for the largest.
    for size in np.unique(-(-reach // 4) * 4):
        group = spheres[-(-reach // 4) * 4 == size]
        batch = max(1, 4_000_000 // (depth * (2 * size + 1) ** 2))
        for start in range(0, len(group), batch):
            part = torch.as_tensor(group[start : start + batch], device=device, dtype=torch.float32)
            offsets = torch.arange(-size, size + 1, device=device)
            rows = (part[:, 1] / pixel).round().long()[:, None] + offsets
            columns = (part[:, 2] / pixel).round().long()[:, None] + offsets
            dz = z[None, :, None, None] - part[:, 0, None, None, None]
            dy = (rows * pixel - part[:, 1:2])[:, None, :, None]
            dx = (columns * pixel - part[:, 2:3])[:, None, None, :]
            distance = torch.sqrt(dz**2 + dy**2 + dx**2)
            inside = ((part[:, 3, None, None, None] - distance) / slice_um + 0.5).clamp_(0, 1)
            if wrap:
                rows, columns = rows % height, columns % width
            ok = ((rows >= 0) & (rows < height))[:, None, :, None]
            ok = ok & ((columns >= 0) & (columns < width))[:, None, None, :]
            index = torch.arange(depth, device=device)[None, :, None, None] * (height * width)
            index = index + rows.clamp(0, height - 1)[:, None, :, None] * width
            index = index + columns.clamp(0, width - 1)[:, None, None, :]
            out.scatter_reduce_(0, index.flatten(), (inside * ok).flatten(), "amax")
    return out.view(volume)
