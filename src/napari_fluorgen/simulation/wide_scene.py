"""A volume of the wide variety: slices cut from the maps of its cells, with organelles in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_fluorgen.simulation.canvas import Canvas
from napari_fluorgen.simulation.defects import draw_defects
from napari_fluorgen.simulation.dirt import draw_dirt
from napari_fluorgen.simulation.presets import CellPreset
from napari_fluorgen.simulation.scene import Scene, defect_labels
from napari_fluorgen.simulation.spheres import rasterise_spheres
from napari_fluorgen.simulation.wide_cells import (
    Cell,
    Maps,
    draw_cell,
    draw_culture,
    place_cells,
)
from napari_fluorgen.simulation.wide_presets import WideCells

WIDE_SLICE_UM = 1.0
_HIGHEST_UM = 18.0
_NONE = np.empty((0, 4))


@dataclass(frozen=True)
class _Textures:
    """Textures that change with height: two maps in turn, so that each slice has unit variance."""

    first: Tensor
    second: Tensor
    turn_a_slice: float

    def at(self, index: int) -> Tensor:
        angle = index * self.turn_a_slice
        return self.first * np.cos(angle) + self.second * np.sin(angle)


def build_wide_scene(
    preset: WideCells,
    shape: tuple[int, int],
    pixel: float,
    rng: np.random.Generator,
    device: torch.device,
    medium: float,
) -> Scene:
    """Draw a scene that is periodic at its borders; slices are `WIDE_SLICE_UM` thick.

    Parameters
    ----------
    preset : WideCells
        What to draw from.
    shape : tuple of int
        Rows and columns.
    pixel : float
        Micrometres a pixel.
    rng : numpy.random.Generator
        Source of all randomness.
    device : torch.device
        Where the volume is built.
    medium : float
        Refractive index around the cells.
    """
    generator = torch.Generator(device=device).manual_seed(int(rng.integers(2**62)))
    canvas = Canvas(shape, pixel, device)
    culture = draw_culture(preset, pixel, rng, generator, device)
    cells = place_cells(preset, culture, canvas, rng)
    maps = Maps.empty(canvas)
    for cell in cells:
        draw_cell(cell, maps, culture, preset, rng)
    heights = maps.top.cpu().numpy()
    highest = min(max(float(heights.max()), 2.0), _HIGHEST_UM)
    volume = (int(np.ceil(highest / WIDE_SLICE_UM)), *shape)

    def spheres(places: np.ndarray) -> Tensor | None:
        if not len(places):
            return None
        return rasterise_spheres(places, volume, pixel, device, slice_um=WIDE_SLICE_UM, wrap=True)

    droplets = _draw_droplets(preset, cells, heights, pixel, rng)
    lipid = spheres(droplets)
    defects = draw_defects(droplets, CellPreset(), rng)
    hole = spheres(defects.spheres)
    vacuole = spheres(_draw_vacuoles(preset, cells, heights, pixel, rng))
    debris = _draw_debris(preset, shape, pixel, highest, rng)
    debris_volume = spheres(debris)
    # Chance of its own: a clean field stays what it was before there was dirt.
    (dirt_rng,) = rng.spawn(1)
    dirt = spheres(draw_dirt(preset, shape, pixel, highest, dirt_rng))
    grains = _draw_grains(preset, maps, volume, pixel, rng, generator)

    fine = _textures(canvas, rng.uniform(*preset.texture_um), generator)
    chromatin_texture = _textures(canvas, rng.uniform(0.3, 1.0), generator)
    roughness = rng.uniform(*preset.cytoplasm_texture)
    nuclear_roughness = rng.uniform(*preset.chromatin_texture)
    clumps = rng.uniform(0.1, 0.35)
    organelles = maps.organelles * rng.uniform(*preset.organelle_step)
    nucleolus_step = rng.uniform(*preset.nucleolus_step)
    lipid_step = rng.uniform(*preset.lipid_index) - medium
    watery_step = rng.uniform(0.0, 0.010)
    hole_step = rng.uniform(1.340, 1.375) - medium
    debris_step = rng.uniform(*preset.debris_step)
    haze = rng.uniform(0.005, 0.05)

    step = torch.zeros(volume, device=device)
    nuclei, lipids, cytoplasm = canvas.full(), canvas.full(), canvas.full()
    holes = canvas.full()
    for index in range(volume[0]):
        z = (index + 0.5) * WIDE_SLICE_UM
        body = _between(z, maps.bottom, maps.top)
        nucleus = _between(z, maps.nucleus_bottom, maps.nucleus_top)
        nucleolus = _between(z, maps.nucleolus_bottom, maps.nucleolus_top) * nucleus
        slab = step[index]
        if lipid is not None:
            oil = lipid[index]
            nucleus = nucleus * (1 - oil)
            body = body * (1 - oil)
            if hole is not None:
                empty = hole[index] * oil
                oil = oil - empty
                slab += empty * hole_step
                holes += empty
            slab += oil * lipid_step
            lipids += oil
        cytosol = (body - nucleus).clamp_(min=0)
        if vacuole is not None:
            water = vacuole[index] * cytosol
            cytosol = cytosol - water
            slab += water * watery_step
        grain, chromatin = fine.at(index), chromatin_texture.at(index)
        slab += cytosol * (maps.cytoplasm + roughness * grain + organelles)
        slab += grains[index] * cytosol
        slab += nucleus * (maps.cytoplasm + maps.nucleus_step)
        slab += nucleus * maps.living * nuclear_roughness * chromatin
        slab += nucleolus * nucleolus_step
        if debris_volume is not None:
            slab += debris_volume[index] * debris_step * (1 - body)
        nuclei += nucleus * (1 + clumps * maps.living * chromatin) * (1 - 0.6 * nucleolus)
        lipids += haze * cytosol
        cytoplasm += (cytosol * (1 + 0.15 * grain) + 0.35 * nucleus) * maps.dye
    absorption = None
    if dirt is not None:
        step += dirt * (dirt_rng.uniform(*preset.dirt_step) - step)
        absorption = dirt * dirt_rng.uniform(*preset.dirt_absorption)
    return Scene(
        index_step=step,
        nuclei=nuclei.clamp_(min=0).mul_(maps.chromatin * WIDE_SLICE_UM),
        lipids=lipids.mul_(WIDE_SLICE_UM),
        cytoplasm=cytoplasm.clamp_(min=0).mul_(WIDE_SLICE_UM),
        nuclei_labels=maps.labels,
        defects=defect_labels(defects, holes, lipids, pixel),
        absorption=absorption,
    )


def _between(z: float, bottom: Tensor, top: Tensor) -> Tensor:
    """Share of a slice around `z` that lies between two surfaces."""
    upper = ((top - z) / WIDE_SLICE_UM + 0.5).clamp_(0, 1)
    return upper.sub_(((bottom - z) / WIDE_SLICE_UM + 0.5).clamp_(0, 1)).clamp_(min=0)


def _textures(canvas: Canvas, correlation: float, generator: torch.Generator) -> _Textures:
    # A quarter turn, from one map to the other, takes twice the correlation length.
    turn = min(np.pi / 2, np.pi / 4 * WIDE_SLICE_UM / correlation)
    return _Textures(
        canvas.texture(correlation, generator), canvas.texture(correlation, generator), turn
    )


def _inside(
    cell: Cell, count: int, reach: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Random rows and columns within a cell's ellipse, in micrometres."""
    distance = cell.radius * reach * np.sqrt(rng.uniform(0, 1, count))
    turn = rng.uniform(0, 2 * np.pi, count)
    along = distance * np.cos(turn) * cell.aspect**0.5
    across = distance * np.sin(turn) / cell.aspect**0.5
    c, s = np.cos(cell.angle), np.sin(cell.angle)
    return cell.y + s * along + c * across, cell.x + c * along - s * across


def _outside_nuclei(spheres: np.ndarray, cell: Cell) -> np.ndarray:
    """Keep the spheres that do not cut into the nuclei of their cell."""
    free = np.ones(len(spheres), dtype=bool)
    z, y, x, radius = spheres.T
    flat = (cell.axes[0] + cell.axes[1]) / 2
    for row, column, height in cell.nuclei:
        gap = np.hypot(y - row, x - column) / (flat + 0.9 * radius)
        free &= gap**2 + ((z - height) / (cell.axes[2] + radius)) ** 2 > 1
    return spheres[free]


def _stack(
    cell: Cell, radius: np.ndarray, heights: np.ndarray, pixel: float, rng: np.random.Generator
) -> np.ndarray:
    """Spheres within a cell, at heights where its body has room for them."""
    y, x = _inside(cell, len(radius), 0.9, rng)
    rows = (y / pixel).round().astype(int) % heights.shape[0]
    columns = (x / pixel).round().astype(int) % heights.shape[1]
    local = heights[rows, columns]
    z = radius + rng.uniform(0, 1, len(radius)) * np.maximum(local - 2 * radius, 0.1)
    # Droplets may bulge a little out of a flat cell, not stand beside it.
    return np.stack([z, y, x, radius], axis=1)[local > np.minimum(radius, 2.5)]


def _draw_droplets(
    preset: WideCells, cells: list[Cell], heights: np.ndarray, pixel: float,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    state = int(rng.choice(3, p=preset.lipid_states))
    if state == 0 or not cells:
        return _NONE
    mean = rng.uniform(*(preset.droplets_few if state == 1 else preset.droplets_many))
    median = rng.uniform(*preset.droplet_median[state - 1])
    sigma = rng.uniform(*preset.droplet_log_sigma)
    # In laden cultures some cells stay preadipocytes.
    laden = rng.uniform(0.4, 1.0)
    parts = [_NONE]
    for cell in cells:
        if cell.state != "living" or rng.uniform() > laden:
            continue
        radius = np.exp(rng.normal(np.log(median), sigma, int(rng.gamma(2.0, mean / 2))))
        radius = np.clip(radius, *preset.droplet_limits)
        parts.append(_outside_nuclei(_stack(cell, radius, heights, pixel, rng), cell))
    return np.concatenate(parts)


def _draw_vacuoles(
    preset: WideCells, cells: list[Cell], heights: np.ndarray, pixel: float,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    if rng.uniform() > preset.vacuolated:
        return _NONE
    parts = [_NONE]
    for cell in cells:
        radius = rng.uniform(*preset.vacuole_radius, int(rng.integers(preset.vacuoles + 1)))
        parts.append(_outside_nuclei(_stack(cell, radius, heights, pixel, rng), cell))
    return np.concatenate(parts)


def _draw_debris(
    preset: WideCells, shape: tuple[int, int], pixel: float, highest: float,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    size = np.array(shape) * pixel
    count = rng.poisson(rng.uniform(*preset.debris_per_mm2) * size.prod() * 1e-6)
    radius = rng.uniform(*preset.debris_radius, count)
    y, x = rng.uniform(0, 1, (2, count)) * size[:, None]
    floating = rng.uniform(size=count) < 0.3
    z = np.where(floating, rng.uniform(0, highest, count), radius)
    return np.stack([z, y, x, radius], axis=1)


def _draw_grains(
    preset: WideCells, maps: Maps, volume: tuple[int, int, int], pixel: float,
    rng: np.random.Generator, generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Dense organelles smaller than a voxel; the cytosol of a cell decides which are seen."""
    depth, height, width = volume
    area = height * width * pixel**2
    count = int(rng.uniform(*preset.granules_per_um2) * area * depth * WIDE_SLICE_UM / 5)
    out = torch.zeros(depth * height * width, device=maps.canvas.device)
    places = torch.randint(out.numel(), (count,), generator=generator, device=out.device)
    radius = torch.rand(count, generator=generator, device=out.device)
    low, high = preset.granule_radius
    radius = low + radius * (high - low)
    filled = 4 / 3 * np.pi * radius**3 / (pixel**2 * WIDE_SLICE_UM)
    out.index_add_(0, places, filled.clamp_(max=1) * rng.uniform(*preset.granule_step))
    return out.clamp_(max=0.1).view(volume)


__all__ = ["WIDE_SLICE_UM", "build_wide_scene"]
