"""Particles of dirt: unlike cells they absorb light."""

from __future__ import annotations

import numpy as np

from napari_fluorgen.simulation.wide_presets import WideCells


def draw_dirt(
    preset: WideCells,
    shape: tuple[int, int],
    pixel: float,
    highest: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw lumps of spheres anywhere between the bottom and `highest`.

    Parameters
    ----------
    preset : WideCells
        Share of dirty fields, number of lumps in them and radius of their spheres.
    shape : tuple of int
        Rows and columns.
    pixel : float
        Micrometres a pixel.
    highest : float
        Of the cells, in micrometres.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    ndarray, shape (n, 4)
        Height, row, column and radius of each sphere in micrometres; none in a clean field.
    """
    if rng.uniform() >= preset.dirty:
        return np.empty((0, 4))
    size = np.array(shape) * pixel
    lumps = 1 + rng.poisson(rng.uniform(*preset.dirt_per_mm2) * size.prod() * 1e-6)
    parts = []
    for _ in range(lumps):
        radius = rng.uniform(*preset.dirt_radius) * rng.uniform(0.4, 1, int(rng.integers(1, 6)))
        centre = np.array([rng.uniform(0, highest), *(rng.uniform(0, 1, 2) * size)])
        # A next sphere begins within the one before, so that a lump holds together.
        steps = rng.normal(size=(len(radius), 3))
        steps *= (radius / np.linalg.norm(steps, axis=1))[:, None]
        parts.append(np.column_stack([centre + np.cumsum(steps, axis=0), radius]))
    return np.concatenate(parts)
