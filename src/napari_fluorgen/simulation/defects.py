"""Defective lipid droplets: large droplets with holes and creases that hold no dye.

The analysis of the challenge looks for "defects like holes, creases or folds" in the lipid
stain: dark spots 3 to 10 pixels wide (1 to 3 micrometres at 20x) inside bright droplets. Here
they are inclusions of watery material: they carry no dye, and their refractive index is far below
that of lipid, so that brightfield shows them too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_fluorgen.simulation.presets import CellPreset


@dataclass(frozen=True)
class Defects:
    """Inclusions of a scene.

    Attributes
    ----------
    spheres : ndarray, shape (n, 4)
        Height, row, column and radius of each inclusion in micrometres.
    droplet : ndarray, shape (n,), int
        Which defective droplet an inclusion belongs to, from 1.
    """

    spheres: np.ndarray
    droplet: np.ndarray


def draw_defects(droplets: np.ndarray, preset: CellPreset, rng: np.random.Generator) -> Defects:
    """Draw the holes and creases of a share of the larger droplets.

    Parameters
    ----------
    droplets : ndarray, shape (n, 4)
        Height, row, column and radius of the droplets in micrometres.
    preset : CellPreset
        What to draw from.
    rng : numpy.random.Generator
        Source of randomness; not that of the cells, so that they stay what they are.
    """
    large = droplets[droplets[:, 3] >= preset.defect_droplet_radius]
    chosen = large[rng.uniform(size=len(large)) < rng.uniform(*preset.defective_share)]
    spheres, owner = [], []
    for number, (z, y, x, radius) in enumerate(chosen, start=1):
        if rng.uniform() < preset.crease_share:
            parts = _crease(radius, preset, rng)
        else:
            parts = _holes(radius, preset, rng)
        spheres.append(parts + np.array([z, y, x, 0.0]))
        owner += [number] * len(parts)
    return Defects(np.concatenate([np.empty((0, 4)), *spheres]), np.array(owner, dtype=int))


def _holes(radius: float, preset: CellPreset, rng: np.random.Generator) -> np.ndarray:
    """One to three round holes within a droplet around the origin."""
    count = int(rng.integers(preset.hole_count[0], preset.hole_count[1] + 1))
    size = radius * rng.uniform(*preset.hole_radius, count) / np.sqrt(count)
    size = np.maximum(size, preset.hole_smallest)
    turn = rng.uniform(0, 2 * np.pi) + 2 * np.pi * np.arange(count) / count
    # Holes of one droplet lie around its middle and do not touch its surface.
    reach = np.maximum(radius - size, 0) * rng.uniform(0.1, 0.75, count)
    tilt = rng.uniform(-0.5, 0.5, count)
    flat = reach * np.cos(tilt)
    return np.stack([reach * np.sin(tilt), flat * np.sin(turn), flat * np.cos(turn), size], axis=1)


def _crease(radius: float, preset: CellPreset, rng: np.random.Generator) -> np.ndarray:
    """Overlapping small spheres along a line through a droplet around the origin."""
    size = max(radius * preset.crease_radius, preset.hole_smallest)
    half = 0.75 * max(radius - size, size)
    along = np.arange(-half, half + 1e-9, 0.8 * size)
    turn, shift = rng.uniform(0, np.pi), rng.uniform(-0.25, 0.25) * radius
    y = along * np.sin(turn) + shift * np.cos(turn)
    x = along * np.cos(turn) - shift * np.sin(turn)
    z = np.full_like(along, rng.uniform(-0.2, 0.2) * radius)
    return np.stack([z, y, x, np.full_like(along, size)], axis=1)
