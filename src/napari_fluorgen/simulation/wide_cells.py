"""Drawing adherent cells of many kinds as maps of heights and refractive indices.

A cell is described by its lower and upper surface, so that all of it is drawn in two dimensions;
`wide_scene` cuts the slices.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from napari_fluorgen.simulation.canvas import Canvas, Patch, fibres
from napari_fluorgen.simulation.wide_presets import Range, WideCells

_ROUND = 3
_ABOVE_ALL = 1e3


@dataclass(frozen=True)
class Culture:
    """What the cells of one field have in common."""

    kind: int
    cover: float
    cytoplasm_step: float
    nucleus_step: float
    nucleus_axes: tuple[float, float, float]
    envelope_step: float
    organelle_reach: float
    mitotic: float
    dead: float
    tile: Tensor
    tile_pixel: float


@dataclass
class Cell:
    """A cell; lengths in micrometres, `nuclei` as (row, column, height) of their centres."""

    y: float
    x: float
    radius: float
    aspect: float
    angle: float
    kind: int
    state: str = "living"
    height: float = 0.0
    nuclei: list[tuple[float, float, float]] = field(default_factory=list)
    axes: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass
class Maps:
    """Maps over the field that the cells are drawn on."""

    canvas: Canvas
    top: Tensor
    bottom: Tensor
    rho: Tensor
    cytoplasm: Tensor
    dye: Tensor
    organelles: Tensor
    nucleus_top: Tensor
    nucleus_bottom: Tensor
    nucleus_step: Tensor
    chromatin: Tensor
    living: Tensor
    nucleolus_top: Tensor
    nucleolus_bottom: Tensor
    labels: Tensor

    @classmethod
    def empty(cls, canvas: Canvas) -> Maps:
        """Return the maps of a field without cells."""
        zeros = canvas.full
        return cls(
            canvas, zeros(), zeros(_ABOVE_ALL), zeros(_ABOVE_ALL), zeros(), zeros(), zeros(),
            zeros(), zeros(_ABOVE_ALL), zeros(), zeros(), zeros(), zeros(), zeros(_ABOVE_ALL),
            zeros().int(),
        )  # fmt: skip


def draw_culture(
    preset: WideCells, pixel: float, rng: np.random.Generator, generator: torch.Generator,
    device: torch.device,
) -> Culture:  # fmt: skip
    """Draw what is common to the cells of a field."""
    long = rng.uniform(*preset.nucleus_long)
    lowest, highest = preset.nucleus_short
    short = np.clip(long * rng.uniform(0.5, 1.0), min(lowest, long), highest)
    envelope = rng.uniform(*preset.envelope_step) * (rng.uniform() < preset.envelope_share)
    tile_pixel = 0.7 * pixel
    width, length = (rng.uniform(*limits) for limits in preset.fibre_um)
    return Culture(
        kind=int(rng.choice(4, p=preset.kinds)),
        cover=rng.uniform(*preset.cover),
        cytoplasm_step=rng.uniform(*preset.cytoplasm_step),
        nucleus_step=rng.uniform(*preset.nucleus_step),
        nucleus_axes=(long, float(short), rng.uniform(*preset.nucleus_height)),
        envelope_step=envelope,
        organelle_reach=rng.uniform(*preset.organelle_reach),
        mitotic=rng.uniform(*preset.mitotic),
        dead=rng.uniform(*preset.dead),
        tile=fibres(length, width, tile_pixel, generator, device),
        tile_pixel=tile_pixel,
    )


def place_cells(
    preset: WideCells, culture: Culture, canvas: Canvas, rng: np.random.Generator
) -> list[Cell]:
    """Draw where cells lie: evenly or in clusters, their nuclei apart."""
    size = np.array(canvas.shape) * canvas.pixel
    radius = preset.radius[culture.kind]
    wanted = round(culture.cover * size.prod() / (np.pi * np.mean(radius) ** 2))
    clusters = int(rng.integers(1, 4)) if rng.uniform() < preset.clustered else 0
    centres = rng.uniform(0, 1, (max(clusters, 1), 2)) * size
    spread = 1.1 * np.sqrt(wanted / max(clusters, 1)) * np.mean(radius)
    apart = 2.1 * culture.nucleus_axes[0]
    # Cells of a field lie along each other where they are long and dense.
    common = rng.uniform(0, np.pi) if rng.uniform() < 0.5 else None
    places: list[np.ndarray] = []
    cells: list[Cell] = []
    for _ in range(25 * wanted):
        if len(cells) >= wanted:
            break
        place = rng.uniform(0, 1, 2) * size
        if clusters:
            place = (centres[rng.integers(clusters)] + rng.normal(0, spread, 2)) % size
        kind = culture.kind if rng.uniform() < 0.88 else int(rng.integers(4))
        if places:
            gaps = np.abs(np.array(places) - place)
            gaps = np.hypot(*np.minimum(gaps, size - gaps).T)
            limit = max(apart, 1.6 * np.mean(radius) if kind == _ROUND else 0.0)
            if gaps.min() < limit:
                continue
        places.append(place)
        angle = rng.uniform(0, np.pi) if common is None else common + rng.normal(0, 0.3)
        cells.append(
            Cell(
                float(place[0]), float(place[1]), rng.uniform(*preset.radius[kind]),
                rng.uniform(*preset.aspect[kind]), float(angle), kind,
                state=_state(culture, rng),
            )
        )  # fmt: skip
    return cells


def _state(culture: Culture, rng: np.random.Generator) -> str:
    drawn = rng.uniform()
    if drawn < culture.mitotic:
        return "mitotic"
    return "dead" if drawn < culture.mitotic + culture.dead else "living"


def draw_cell(
    cell: Cell, maps: Maps, culture: Culture, preset: WideCells, rng: np.random.Generator
) -> None:
    """Draw one cell and its nuclei on the maps."""
    _shape(cell, culture, preset, rng)
    reach = cell.radius * 1.5 * max(cell.aspect, 1 / cell.aspect) ** 0.5
    patch = maps.canvas.patch(cell.y, cell.x, reach)
    rho, along, across = _outline(cell, patch, rng)
    top, bottom = _surfaces(cell, patch, rho, preset, rng)
    at = (patch.rows, patch.columns)
    inside = rho < 1
    maps.top[at] = torch.where(inside, torch.maximum(maps.top[at], top), maps.top[at])
    maps.bottom[at] = torch.where(inside, torch.minimum(maps.bottom[at], bottom), maps.bottom[at])
    # Where cells meet, a pixel belongs to the one it lies deeper in.
    own = inside & (rho < maps.rho[at])
    dense = {"living": 0.0, "mitotic": 0.003, "dead": rng.uniform(*preset.dead_step)}[cell.state]
    step = culture.cytoplasm_step * rng.uniform(0.88, 1.12) * (cell.state != "dead") + dense
    fibre = _fibres(along, across, culture, rng).clamp(min=-0.5, max=3)
    away = torch.full_like(rho, _ABOVE_ALL)
    for y, x, _ in cell.nuclei:
        dy, dx = patch.dy + (cell.y - y), patch.dx + (cell.x - x)
        away = torch.minimum(away, torch.sqrt(dy**2 + dx**2))
    away = (away - cell.axes[1]).clamp(min=0)
    organelles = torch.exp(-away / culture.organelle_reach) * fibre * (cell.state == "living")
    for target, value in (
        (maps.rho, rho), (maps.organelles, organelles),
        (maps.cytoplasm, torch.full_like(rho, step)),
        (maps.dye, torch.full_like(rho, rng.uniform(0.7, 1.3))),
    ):  # fmt: skip
        target[at] = torch.where(own, value, target[at])
    for centre in cell.nuclei:
        _draw_nucleus(cell, centre, maps, culture, preset, rng)


def _shape(cell: Cell, culture: Culture, preset: WideCells, rng: np.random.Generator) -> None:
    """Draw the nuclei and height of a cell, and let dividing and dead cells round up."""
    jitter = np.exp(rng.normal(0, 0.12, 3))
    long, short, height = np.array(culture.nucleus_axes) * jitter
    long = min(long, preset.nucleus_long[1], 0.75 * cell.radius)
    height = min(height, preset.nucleus_height[1])
    cell.height = rng.uniform(*preset.lamella[cell.kind])
    # Elongated cells have nuclei along them, and off their middle.
    shift = rng.normal(0, 0.12 * cell.radius, 2) * (cell.kind != _ROUND)
    places = [(cell.y + shift[0], cell.x + shift[1])]
    if cell.state == "mitotic":
        cell.kind, cell.aspect = _ROUND, rng.uniform(0.9, 1.2)
        cell.radius, cell.height = rng.uniform(7, 10.5), rng.uniform(4, 6.5)
        long, short, height = rng.uniform(4, 6.5), rng.uniform(1.2, 2.2), rng.uniform(2.5, 3.8)
        if rng.uniform() < 0.35:  # Anaphase: two plates that move apart.
            gap = rng.uniform(2.2, 4.5)
            normal = np.array([np.cos(cell.angle), -np.sin(cell.angle)])
            middle = np.array([cell.y, cell.x])
            places = [tuple(middle + gap * normal), tuple(middle - gap * normal)]
        else:
            places = [(cell.y, cell.x)]
    elif cell.state == "dead":
        cell.kind, cell.radius, cell.aspect = _ROUND, rng.uniform(3.5, 6.5), 1.0
        cell.height = rng.uniform(2.0, 4.0)
        long = rng.uniform(1.6, 3.2)
        short, height = long * rng.uniform(0.7, 1), min(long, 2.4)
        places = [(cell.y, cell.x)]
    elif rng.uniform() < preset.binucleate and cell.radius > 2.2 * long:
        step = 1.1 * long * np.array([np.sin(cell.angle), np.cos(cell.angle)])
        places = [(cell.y + step[0], cell.x + step[1]), (cell.y - step[0], cell.x - step[1])]
    cell.axes = (float(long), float(min(short, long)), float(height))
    lift = height + rng.uniform(0.2, 1.0)
    if cell.kind == _ROUND:
        cell.height = max(cell.height, height + 0.5)
        lift = cell.height
    cell.nuclei = [(float(y), float(x), float(lift)) for y, x in places]


def _outline(cell: Cell, patch: Patch, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Distance from the middle in radii, and coordinates along and across the cell."""
    c, s = np.cos(cell.angle), np.sin(cell.angle)
    along = c * patch.dx + s * patch.dy
    across = -s * patch.dx + c * patch.dy
    u, v = along / cell.aspect**0.5, across * cell.aspect**0.5
    size = 0.03 if cell.kind == _ROUND else rng.uniform(0.4, 1.3) * 0.1
    waves = rng.normal(0, size, (2, 6)) / np.array([1, 1, 1.2, 1.6, 2.0, 2.6])
    angle = torch.atan2(v, u)
    edge = torch.ones_like(angle)
    for order, (even, odd) in enumerate(waves.T, start=2):
        edge += float(even) * torch.cos(order * angle) + float(odd) * torch.sin(order * angle)
    return torch.sqrt(u**2 + v**2) / (cell.radius * edge.clamp(min=0.45)), along, across


def _surfaces(
    cell: Cell, patch: Patch, rho: Tensor, preset: WideCells, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    if cell.kind == _ROUND:
        half = cell.height * torch.sqrt((1 - rho**2).clamp(min=0))
        middle = cell.height * rng.uniform(0.75, 1.0)
        return middle + half, (middle - half).clamp(min=0)
    edge = (1 - rho ** rng.uniform(2, 6)).clamp(min=0) ** 0.5
    top = cell.height * edge
    for y, x, lift in cell.nuclei:
        dy, dx = patch.dy + (cell.y - y), patch.dx + (cell.x - x)
        width = rng.uniform(0.85, 1.7) * (cell.axes[0] + cell.axes[1]) / 2
        bulge = max(0.0, lift + cell.axes[2] + rng.uniform(0.2, 1.6) - cell.height)
        flat = torch.exp(-0.5 * ((dy**2 + dx**2) / width**2) ** 1.4)
        top = torch.maximum(top, (cell.height + bulge * flat) * edge)
    return top, torch.zeros_like(top)


def _fibres(along: Tensor, across: Tensor, culture: Culture, rng: np.random.Generator) -> Tensor:
    # Fibres wind along the cell: each coordinate is bent by waves of the other.
    for _ in range(2):
        period, depth = rng.uniform(5, 18), rng.uniform(0.1, 0.35)
        wave = torch.sin(along * (6.28 / period) + across * 0.2 + rng.uniform(0, 6.28))
        across = across + depth * period / 3 * wave
        wave = torch.sin(across * (6.28 / period) + rng.uniform(0, 6.28))
        along = along + depth * period / 3 * wave
    rows = (across / culture.tile_pixel + rng.uniform(0, 256)).round().long() % 256
    columns = (along / culture.tile_pixel + rng.uniform(0, 256)).round().long() % 256
    return culture.tile[rows, columns]


def _draw_nucleus(
    cell: Cell, centre: tuple[float, float, float], maps: Maps, culture: Culture,
    preset: WideCells, rng: np.random.Generator,
) -> None:  # fmt: skip
    y, x, z = centre
    patch = maps.canvas.patch(y, x, 1.25 * cell.axes[0] + 1)
    at = (patch.rows, patch.columns)
    angle = cell.angle + rng.normal(0, 0.3) * (cell.state != "mitotic")
    c, s = float(np.cos(angle)), float(np.sin(angle))
    u = (c * patch.dx + s * patch.dy) / cell.axes[0]
    v = (-s * patch.dx + c * patch.dy) / cell.axes[1]
    turn = torch.atan2(v, u)
    edge = torch.ones_like(turn)
    sizes = rng.normal(0, rng.uniform(*preset.nucleus_wave), 3)
    for order, size in enumerate(sizes, start=2):
        edge += float(size) * torch.cos(order * turn + rng.uniform(0, 2 * np.pi))
    rho = torch.sqrt(u**2 + v**2) / edge
    # Flatter than an ellipsoid: adherent nuclei are pancakes with round edges.
    half = cell.axes[2] * (1 - rho.clamp(max=1) ** 2.5) ** 0.5
    free = (rho < 1) & (maps.labels[at] == 0)
    steps = {
        "living": culture.nucleus_step + rng.normal(0, preset.nucleus_step_spread),
        "mitotic": rng.uniform(*preset.mitotic_step),
        "dead": rng.uniform(0.0, 0.03),
    }
    rim = torch.exp(-0.5 * ((1 - rho) * cell.axes[1] / 0.35) ** 2) * (cell.state == "living")
    step = steps[cell.state] + culture.envelope_step * rim
    bright = {"living": (0.7, 1.3), "mitotic": (1.5, 2.3), "dead": (1.4, 2.6)}[cell.state]
    for target, value in (
        (maps.nucleus_top, z + half), (maps.nucleus_bottom, (z - half).clamp(min=0.1)),
        (maps.nucleus_step, step), (maps.chromatin, torch.full_like(rho, rng.uniform(*bright))),
        (maps.living, torch.full_like(rho, float(cell.state == "living"))),
    ):  # fmt: skip
        target[at] = torch.where(free, value, target[at])
    maps.labels[at] = torch.where(free, maps.labels.max() + 1, maps.labels[at])
    # Nothing of a nucleus stands out of its cell.
    maps.top[at] = torch.where(free, torch.maximum(maps.top[at], z + half + 0.2), maps.top[at])
    if cell.state == "living":
        _draw_nucleoli(cell, centre, angle, maps, preset, rng)


def _draw_nucleoli(
    cell: Cell, centre: tuple[float, float, float], angle: float, maps: Maps, preset: WideCells,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    largest = min(preset.nucleolus_radius[1], 0.4 * cell.axes[1], 0.8 * cell.axes[2])
    for _ in range(int(rng.integers(preset.nucleoli[0], preset.nucleoli[1] + 1))):
        radius = rng.uniform(min(preset.nucleolus_radius[0], largest), largest)
        reach, turn = 0.7 * np.sqrt(rng.uniform()), rng.uniform(0, 2 * np.pi)
        u = reach * np.cos(turn) * max(cell.axes[0] - radius, 0)
        v = reach * np.sin(turn) * max(cell.axes[1] - radius, 0)
        y = centre[0] + np.sin(angle) * u + np.cos(angle) * v
        x = centre[1] + np.cos(angle) * u - np.sin(angle) * v
        z = centre[2] + rng.uniform(-0.3, 0.3) * cell.axes[2]
        patch = maps.canvas.patch(y, x, radius + 0.5)
        at = (patch.rows, patch.columns)
        stretch = rng.uniform(0.75, 1.3)
        half = torch.sqrt((radius**2 - patch.dy**2 * stretch - patch.dx**2 / stretch).clamp(min=0))
        inside = half > 0
        for target, value in ((maps.nucleolus_top, z + half), (maps.nucleolus_bottom, z - half)):
            target[at] = torch.where(inside, value, target[at])


__all__ = ["Cell", "Culture", "Maps", "Range", "draw_cell", "draw_culture", "place_cells"]
