"""The reference's inference, plainly re-implemented: what the engine is compared with.

Tiles of 512 with stride 256, padded by mirroring, weighted by a pyramid (distance to the edge
against distance to the centre), float32, eager PyTorch, one network after another. Described by
Wieslander et al., "Learning to see colours: biologically relevant virtual staining for adipocyte
cell images", PLOS ONE 2021, 10.1371/journal.pone.0258546, and its public code.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

TILE, STRIDE = 512, 256


def tile_count(side: int) -> int:
    """Tiles along an axis; a size that divides gets one more than it needs, as there."""
    return side // STRIDE + 1


def pyramid_weights(side: int) -> NDArray[np.float32]:
    """Weights of a tile: 1 in its centre, nearly 0 at its edge."""
    place = np.arange(side) + 0.5
    centre = np.hypot((place - side / 2)[:, None], (place - side / 2)[None, :])
    near = np.hypot(np.minimum(place, side - place), 0.5)
    edge = np.minimum(near[:, None], near[None, :])
    return (edge / (centre + edge)).astype(np.float32)


def stain(
    planes: NDArray[np.float32], networks: Mapping[str, Any], device: str, tiles: int | None
) -> tuple[dict[str, NDArray[np.float32]] | None, dict[str, float]]:
    """Stain planes as the reference does.

    Parameters
    ----------
    planes : ndarray, shape (planes, Y, X), float32
        Scaled for the networks.
    networks : mapping of str to Module
        In eval mode, on `device`; each returns its maps (1, 1, Y, X) as a tuple.
    device : str
        Of torch.
    tiles : int or None
        Time so many tiles and scale; all if None.

    Returns
    -------
    maps : dict of str to ndarray, shape (Y, X), float32, or None
        By network and number; None where not all tiles were computed.
    facts : dict
        ``seconds`` and ``cpu_seconds`` of the whole field, ``tiles`` of the field and ``timed``.
    """
    import torch

    height, width = planes.shape[1:]
    rows, columns = tile_count(height), tile_count(width)
    started, started_cpu = time.perf_counter(), time.process_time()
    margins = [(n + 1) * STRIDE - side for n, side in ((rows, height), (columns, width))]
    before = [margin // 2 for margin in margins]
    padded = np.pad(
        planes,
        [(0, 0), *((b, m - b) for b, m in zip(before, margins, strict=True))],
        mode="reflect",
    )
    places = [(y * STRIDE, x * STRIDE) for y in range(rows) for x in range(columns)]
    timed = len(places) if tiles is None else min(tiles, len(places))
    weights = torch.from_numpy(pyramid_weights(TILE)).to(device)
    sums: dict[str, Any] = {}
    total = torch.zeros(padded.shape[1:], device=device)
    with torch.no_grad():
        for name, network in networks.items():
            for y, x in places[:timed]:
                tile = np.ascontiguousarray(padded[None, :, y : y + TILE, x : x + TILE])
                outputs = network(torch.from_numpy(tile).to(device))
                for index, output in enumerate(outputs):
                    if (key := f"{name}{index}") not in sums:
                        sums[key] = torch.zeros_like(total)
                    sums[key][y : y + TILE, x : x + TILE] += output[0, 0] * weights
        for y, x in places[:timed]:
            total[y : y + TILE, x : x + TILE] += weights
    keep = slice(before[0], before[0] + height), slice(before[1], before[1] + width)
    maps = {key: (value / total)[keep].cpu().numpy() for key, value in sums.items()}
    scale = len(places) / timed
    facts = {
        "seconds": (time.perf_counter() - started) * scale,
        "cpu_seconds": (time.process_time() - started_cpu) * scale,
        "tiles": len(places),
        "timed": timed,
    }
    return (maps if timed == len(places) else None), facts
