"""A volume of adipocytes: refractive index, stains and nuclei outlines.

The volume is an array (slice, row, column); slice 0 lies on the substrate and height grows
with the slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_fluorgen.simulation.defects import Defects, draw_defects
from napari_fluorgen.simulation.presets import CellPreset, Range
from napari_fluorgen.simulation.spheres import SLICE_UM, rasterise_spheres

SLICES = 20


@dataclass
class Scene:
    """A simulated volume.

    Attributes
    ----------
    index_step : Tensor, shape (S, Y, X), float32
        Refractive index minus that of the medium.
    nuclei, lipids, cytoplasm : Tensor, shape (Y, X), float32
        Dye summed over depth, in micrometres times relative concentration.
    nuclei_labels : Tensor, shape (Y, X), int32
        One label a nucleus, sequential from 1.
    defects : Tensor, shape (Y, X), int32
        Pixels where a defective droplet lacks dye; one label a droplet.
    absorption : Tensor or None, shape (S, Y, X), float32
        Natural logarithm of the intensity that is lost a micrometre; None for nowhere.
    """

    index_step: Tensor
    nuclei: Tensor
    lipids: Tensor
    cytoplasm: Tensor
    nuclei_labels: Tensor
    defects: Tensor
    absorption: Tensor | None = None


def build_scene(
    preset: CellPreset,
    shape: tuple[int, int],
    pixel_size: float,
    rng: np.random.Generator,
    device: torch.device,
    defects_rng: np.random.Generator,
) -> Scene:
    """Draw a scene.

    Parameters
    ----------
    preset : CellPreset
        What to draw from.
    shape : tuple of int
        Rows and columns.
    pixel_size : float
        Micrometres a pixel.
    rng : numpy.random.Generator
        Source of all randomness, so that a seed gives the same field on one device.
    device : torch.device
        Where the volume is built.
    defects_rng : numpy.random.Generator
        Source of the defects of droplets alone.
    """
    volume = (SLICES, *shape)
    cytoplasm = torch.zeros(volume, device=device)
    nucleus = torch.zeros(volume, device=device)
    nucleolus = torch.zeros(volume, device=device)
    chromatin_brightness = torch.zeros(shape, device=device)
    labels = torch.zeros(shape, dtype=torch.int32, device=device)
    droplets: list[np.ndarray] = []

    for cell in _place_cells(preset, shape, pixel_size, rng):
        body, window, body_height = _cell_body(cell, shape, pixel_size, preset, rng, device)
        region = (slice(None), *window)
        cytoplasm[region] = torch.maximum(cytoplasm[region], body)
        centre, axes, angle = _nucleus_geometry(cell, body_height, preset, rng)
        inside = _ellipsoid(centre, axes, angle, window, pixel_size, device)
        nucleus[region] = torch.maximum(nucleus[region], inside)
        projected = inside.amax(0) > 0.5
        label = int(labels.max()) + 1
        patch = labels[window]
        patch[projected & (patch == 0)] = label
        bright = chromatin_brightness[window]
        bright[projected & (bright == 0)] = float(rng.uniform(0.75, 1.25))
        for _ in range(int(rng.integers(int(preset.nucleoli[0]), int(preset.nucleoli[1]) + 1))):
            offset = rng.uniform(-0.5, 0.5, 3) * np.array([axes[2], axes[0], axes[1]])
            radius = rng.uniform(*preset.nucleolus_radius)
            ball = _ellipsoid(
                centre + offset, np.array([radius, radius, radius * 0.8]), 0.0, window,
                pixel_size, device,
            )  # fmt: skip
            nucleolus[region] = torch.maximum(nucleolus[region], ball * inside)
        droplets.append(_draw_droplets(cell, centre, axes, body_height, preset, rng))

    spheres = np.concatenate(droplets)
    lipid = rasterise_spheres(spheres, volume, pixel_size, device)
    nucleus.mul_(1 - lipid)
    body = torch.maximum(cytoplasm, nucleus)
    cytosol = (body - nucleus).clamp_(min=0) * (1 - lipid)
    defects = draw_defects(spheres, preset, defects_rng)
    hole = rasterise_spheres(defects.spheres, volume, pixel_size, device) * lipid
    lipid = lipid - hole
    noise = _texture(volume, preset.texture_um, pixel_size, rng, device)
    granules = _granules(volume, preset, rng, device)

    base = rng.uniform(*preset.cytoplasm_step)
    nuclear = base + rng.uniform(*preset.nucleus_step)
    step = cytosol * (base + preset.cytoplasm_texture * noise + granules)
    step += nucleus * (nuclear + preset.nucleus_texture * noise)
    step += nucleus * nucleolus * rng.uniform(*preset.nucleolus_step)
    step += lipid * (rng.uniform(*preset.lipid) - preset.medium)
    step += hole * (defects_rng.uniform(*preset.hole_index) - preset.medium)

    chromatin = nucleus * (1 + 0.25 * noise) * (1 - 0.6 * nucleolus)
    dye = cytosol * (1 + 0.15 * noise) + 0.35 * nucleus
    return Scene(
        index_step=step,
        nuclei=chromatin.sum(0).mul_(SLICE_UM) * chromatin_brightness,
        lipids=(lipid + 0.02 * cytosol).sum(0).mul_(SLICE_UM),
        cytoplasm=dye.sum(0).mul_(SLICE_UM),
        nuclei_labels=labels,
        defects=defect_labels(defects, hole.sum(0), lipid.sum(0), pixel_size),
    )


def defect_labels(defects: Defects, hole: Tensor, lipid: Tensor, pixel: float) -> Tensor:
    """Label pixels that lack a quarter of their dye, each after the nearest inclusion."""
    labels = torch.zeros(hole.shape, dtype=torch.int32, device=hole.device)
    missing = hole > 0.25 * (hole + lipid).clamp(min=1)
    for (_, y, x, radius), number in zip(defects.spheres, defects.droplet, strict=True):
        window = _window(y, x, radius + pixel, (hole.shape[0], hole.shape[1]), pixel)
        if any(part.start >= part.stop for part in window):
            continue  # The droplet lies outside the field.
        dy, dx = _coordinates(window, pixel, hole.device)
        near = (dy - y) ** 2 + (dx - x) ** 2 <= (radius + pixel) ** 2
        labels[window][near & missing[window]] = int(number)
    return labels


@dataclass(frozen=True)
class _Cell:
    y: float
    x: float
    radius: float
    aspect: float
    angle: float
    height: float
    waves: np.ndarray


Window = tuple[slice, slice]


def _place_cells(
    preset: CellPreset, shape: tuple[int, int], pixel_size: float, rng: np.random.Generator
) -> list[_Cell]:
    size = np.array(shape) * pixel_size
    area = size.prod() * 1e-6
    wanted = max(1, round(area * rng.uniform(*preset.density_per_mm2)))
    cells: list[_Cell] = []
    for _ in range(wanted * 30):
        radius = rng.uniform(*preset.radius)
        y, x = rng.uniform(0, 1, 2) * size
        crowded = any(
            (c.y - y) ** 2 + (c.x - x) ** 2 < (0.72 * (c.radius + radius)) ** 2 for c in cells
        )
        if crowded:
            continue
        waves = rng.normal(0, 1, (2, 4)) * np.array([0.10, 0.06, 0.05, 0.03])
        cells.append(
            _Cell(
                y, x, radius, rng.uniform(*preset.aspect), rng.uniform(0, np.pi),
                rng.uniform(*preset.height), waves,
            )
        )  # fmt: skip
        if len(cells) == wanted:
            break
    return cells


def _window(y: float, x: float, reach: float, shape: tuple[int, int], pixel: float) -> Window:
    rows = slice(max(0, int((y - reach) / pixel)), min(shape[0], int((y + reach) / pixel) + 2))
    columns = slice(max(0, int((x - reach) / pixel)), min(shape[1], int((x + reach) / pixel) + 2))
    return rows, columns


def _coordinates(window: Window, pixel: float, device: torch.device) -> tuple[Tensor, Tensor]:
    y = torch.arange(window[0].start, window[0].stop, device=device, dtype=torch.float32) * pixel
    x = torch.arange(window[1].start, window[1].stop, device=device, dtype=torch.float32) * pixel
    return y[:, None], x[None, :]


def _cell_body(
    cell: _Cell, shape: tuple[int, int], pixel: float, preset: CellPreset,
    rng: np.random.Generator, device: torch.device,
) -> tuple[Tensor, Window, float]:  # fmt: skip
    window = _window(cell.y, cell.x, cell.radius * 1.8, shape, pixel)
    y, x = _coordinates(window, pixel, device)
    dy, dx = y - cell.y, x - cell.x
    c, s = np.cos(cell.angle), np.sin(cell.angle)
    u = (c * dx + s * dy) / np.sqrt(cell.aspect)
    v = (-s * dx + c * dy) * np.sqrt(cell.aspect)
    angle = torch.atan2(v, u)
    outline = torch.ones_like(angle)
    for order in range(cell.waves.shape[1]):
        outline += float(cell.waves[0, order]) * torch.cos((order + 2) * angle)
        outline += float(cell.waves[1, order]) * torch.sin((order + 2) * angle)
    rho = torch.sqrt(u**2 + v**2) / (cell.radius * outline.clamp(min=0.5))
    height = cell.height * (1 - rho.clamp(max=1) ** 2.5) ** 0.6
    z = (torch.arange(SLICES, device=device) + 0.5) * SLICE_UM
    body = ((height[None] - z[:, None, None]) / SLICE_UM + 0.5).clamp_(0, 1)
    return body * (rho < 1), window, cell.height


def _nucleus_geometry(
    cell: _Cell, height: float, preset: CellPreset, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    axes = np.array([rng.uniform(*axis) for axis in preset.nucleus_semi_axes])
    axes[2] = min(axes[2], 0.42 * height)
    shift = rng.normal(0, 0.18 * cell.radius, 2)
    # Height first, then row and column, in the order of the volume.
    z = rng.uniform(axes[2] + 0.3, max(axes[2] + 0.4, height - axes[2] - 0.3))
    return np.array([z, cell.y + shift[0], cell.x + shift[1]]), axes, rng.uniform(0, np.pi)


def _ellipsoid(
    centre: np.ndarray, axes: np.ndarray, angle: float, window: Window, pixel: float,
    device: torch.device,
) -> Tensor:  # fmt: skip
    """Occupancy of an ellipsoid with semi-axes (long, short, height), soft over one voxel."""
    y, x = _coordinates(window, pixel, device)
    z = (torch.arange(SLICES, device=device) + 0.5) * SLICE_UM - float(centre[0])
    dy, dx = y - float(centre[1]), x - float(centre[2])
    c, s = float(np.cos(angle)), float(np.sin(angle))
    flat = ((c * dx + s * dy) / float(axes[0])) ** 2 + ((-s * dx + c * dy) / float(axes[1])) ** 2
    rho = torch.sqrt(flat[None] + (z / float(axes[2]))[:, None, None] ** 2)
    softness = float(axes.min()) / max(pixel, 0.3)
    return ((1 - rho) * softness + 0.5).clamp_(0, 1)


def _draw_droplets(
    cell: _Cell, nucleus: np.ndarray, axes: np.ndarray, height: float, preset: CellPreset,
    rng: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Centres (z, y, x) and radii of a cell's droplets, none of them inside the nucleus."""
    mean = rng.uniform(*preset.droplets_mean)
    wanted = int(rng.gamma(2.0, mean / 2))
    low, high = preset.droplet_radius_limits
    tries = wanted * 3
    radius = np.exp(
        rng.normal(np.log(preset.droplet_median_radius), preset.droplet_log_sigma, tries)
    )
    radius = np.clip(radius, low, high)
    distance = cell.radius * 0.85 * np.sqrt(rng.uniform(0.02, 1, tries))
    direction = rng.uniform(0, 2 * np.pi, tries)
    u, v = distance * np.cos(direction), distance * np.sin(direction)
    u, v = u * np.sqrt(cell.aspect), v / np.sqrt(cell.aspect)
    c, s = np.cos(cell.angle), np.sin(cell.angle)
    y, x = cell.y + s * u + c * v, cell.x + c * u - s * v
    local = height * np.clip(1 - (distance / cell.radius) ** 2.5, 0, 1) ** 0.6
    z = radius + rng.uniform(0, 1, tries) * np.maximum(local - 2 * radius, 0.1)
    gap_z = (z - nucleus[0]) / (axes[2] + radius)
    gap = np.hypot(y - nucleus[1], x - nucleus[2]) / (axes[:2].mean() + 0.9 * radius)
    free = gap**2 + gap_z**2 > 1
    return np.stack([z, y, x, radius], axis=1)[free][:wanted]


def _texture(
    volume: tuple[int, int, int], correlation_um: float, pixel: float,
    rng: np.random.Generator, device: torch.device,
) -> Tensor:  # fmt: skip
    """Gaussian-correlated noise of unit variance."""
    noise = torch.randn(volume, generator=_generator(rng, device), device=device)
    fz = torch.fft.fftfreq(volume[0], SLICE_UM, device=device)[:, None, None]
    fy = torch.fft.fftfreq(volume[1], pixel, device=device)[None, :, None]
    fx = torch.fft.rfftfreq(volume[2], pixel, device=device)[None, None, :]
    damping = torch.exp(-2 * (np.pi * correlation_um) ** 2 * (fz**2 + fy**2 + fx**2))
    smooth = torch.fft.irfftn(torch.fft.rfftn(noise) * damping, s=volume)
    return smooth / smooth.std()


def _granules(
    volume: tuple[int, int, int], preset: CellPreset, rng: np.random.Generator,
    device: torch.device,
) -> Tensor:  # fmt: skip
    """Dense organelles: single bright voxels; the optics blur them."""
    chance = torch.rand(volume, generator=_generator(rng, device), device=device)
    step = chance.new_tensor(rng.uniform(*preset.granule_step))
    return (chance < rng.uniform(*preset.granule_fraction)) * step


def _generator(rng: np.random.Generator, device: torch.device) -> torch.Generator:
    return torch.Generator(device=device).manual_seed(int(rng.integers(2**62)))


__all__ = ["SLICES", "SLICE_UM", "Range", "Scene", "build_scene", "rasterise_spheres"]
