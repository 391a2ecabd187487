"""A field of the wide varieties: any adherent cell under any transmitted-light microscope."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_fluorgen.simulation.camera import smooth_field, stain_counts
from napari_fluorgen.simulation.illumination import Illumination, annulus, disc, one_side
from napari_fluorgen.simulation.optics import Optics, image_planes
from napari_fluorgen.simulation.presets import CameraPreset
from napari_fluorgen.simulation.record import SimulatedField, fast_length, sequential
from napari_fluorgen.simulation.wide_presets import WideCamera, WideOptics, WidePreset
from napari_fluorgen.simulation.wide_scene import WIDE_SLICE_UM, build_wide_scene

_SMALLEST_UM = 48.0
"""A field is simulated at least this wide, so that a cell does not meet itself at the borders."""


def simulate_wide_field(
    preset: WidePreset, seed: int, shape: tuple[int, int], device: torch.device
) -> SimulatedField:
    """Simulate one field; see `napari_fluorgen.simulation.field.simulate_field`."""
    rng = np.random.default_rng(seed)
    nominal = preset.optics.pixel_size
    pixel = nominal * rng.uniform(1 - preset.optics.pixel_error, 1 + preset.optics.pixel_error)
    least = math.ceil(_SMALLEST_UM / nominal)
    full = (fast_length(max(shape[0], least)), fast_length(max(shape[1], least)))
    crop = tuple(slice((f - n) // 2, (f - n) // 2 + n) for f, n in zip(full, shape, strict=True))
    with torch.inference_mode():
        medium = rng.uniform(*preset.cells.medium)
        scene = build_wide_scene(preset.cells, full, pixel, rng, device, medium)
        heights = plane_heights(preset.optics, rng)
        optics, illumination = draw_microscope(preset, pixel, medium, rng)
        filled = torch.nonzero(scene.index_step.flatten(1).abs().amax(1) > 1e-4)
        top = WIDE_SLICE_UM * (int(filled.max()) + 1 if len(filled) else 1)
        limit = max(
            preset.optics.focus_offset,
            preset.optics.focus_offset_spacings * (heights[1] - heights[0]),
        )
        middle = 0.4 * top + rng.uniform(-limit, limit)
        slices = round(top / WIDE_SLICE_UM)
        volume = scene.index_step[:slices]
        absorption = None if scene.absorption is None else scene.absorption[:slices]
        if rng.uniform() < preset.optics.upright:
            volume = volume.flip(0)
            absorption = None if absorption is None else absorption.flip(0)
        light = image_planes(
            volume,
            WIDE_SLICE_UM,
            [middle + z for z in heights],
            optics,
            illumination=illumination,
            absorption=absorption,
        )[:, crop[0], crop[1]]
        brightfield = expose(light, preset.camera, rng)
        blur = rng.uniform(*preset.optics.fluorescence_blur)
        stains = stain_counts(scene, CameraPreset(), blur / pixel, 6.0 / pixel, rng)
    spacing = preset.optics.spacing
    half = (preset.optics.planes - 1) / 2
    return SimulatedField(
        brightfield=brightfield,
        z_um=heights,
        pixel_size_um=nominal,
        stains={name: image[crop[0], crop[1]] for name, image in stains.items()},
        nuclei_labels=sequential(scene.nuclei_labels[crop[0], crop[1]].cpu().numpy()),
        defects=sequential(scene.defects[crop[0], crop[1]].cpu().numpy()),
        nominal_z_um=tuple(spacing * (i - half) for i in range(preset.optics.planes)),
    )


def plane_heights(optics: WideOptics, rng: np.random.Generator) -> tuple[float, ...]:
    """Draw the true heights of a focus series, ascending, around 0."""
    spacing = optics.spacing
    if rng.uniform() < optics.dense_share:
        spacing = rng.uniform(*optics.dense_spacing)
    spacing *= 1 + rng.uniform(-optics.spacing_error, optics.spacing_error)
    steps = np.arange(optics.planes) - (optics.planes - 1) / 2
    jitter = np.clip(rng.normal(0, optics.jitter, optics.planes), -0.4, 0.4)
    return tuple(float(z) for z in spacing * (steps + jitter))


def draw_microscope(
    preset: WidePreset, pixel: float, medium: float, rng: np.random.Generator
) -> tuple[Optics, Illumination]:
    """Draw an objective and how it is illuminated."""
    settings = preset.optics
    wavelength = rng.uniform(*settings.wavelength)
    # The pixels must sample what the pupil lets through.
    largest = min(settings.objective_na[1], 0.95 * wavelength / (2 * pixel), 0.95 * medium)
    objective = rng.uniform(min(settings.objective_na[0], largest), largest)
    count = settings.points
    if preset.illumination == "oblique":
        # Light well within the pupil shows edges alone; what the rim of the pupil cuts shows
        # slopes, as relief contrast does.
        inner = rng.uniform(0.1, 0.9)
        illumination = one_side(
            objective, count, rng, inner, rng.uniform(inner + 0.1, 1.1), rng.uniform(1.0, 3.0)
        )
    elif preset.illumination == "phase-contrast":
        radius = rng.uniform(0.40, 0.65) * objective
        width = rng.uniform(0.07, 0.14) * objective
        illumination = annulus(radius, width, rng.uniform(0.12, 0.35), count, rng)
    else:
        widest = min(settings.condenser_na[1], settings.condenser_fill * objective)
        condenser = rng.uniform(min(settings.condenser_na[0], widest), widest)
        centre = (0.0, 0.0)
        if rng.uniform() < settings.misaligned:
            turn = rng.uniform(0, 2 * np.pi)
            off = rng.uniform(*settings.misalignment) * objective
            off = min(off, 0.95 * objective - condenser)
            centre = (off * np.sin(turn), off * np.cos(turn))
        illumination = disc(condenser, count, rng, centre)
    optics = Optics(pixel, wavelength, objective, settings.condenser_na[1], medium)
    return optics, illumination


def expose(light: Tensor, camera: WideCamera, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Turn light into the counts of a drawn camera: 8 to 16 bits, dust, lamp, noise.

    Parameters
    ----------
    light : Tensor, shape (Z, Y, X), float32
        Intensity; 1.0 is the empty field.
    camera : WideCamera
        What to draw from.
    rng : numpy.random.Generator
        Source of all randomness.
    """
    profile = 1 + rng.uniform(*camera.uneven_illumination) * smooth_field(
        light.shape[1:], rng, light.device
    )
    profile = profile * _dust(camera, light, rng)
    flicker = 1 + rng.uniform(*camera.flicker) * rng.normal(0, 1, (len(light), 1, 1))
    scale = torch.as_tensor(flicker, device=light.device, dtype=torch.float32)
    # Few cameras are filled to the last electron: what is brighter than four times the empty
    # field is cut off below in any case.
    electrons = np.exp(rng.uniform(*np.log(camera.electrons)))
    generator = torch.Generator(light.device).manual_seed(int(rng.integers(2**62)))
    signal = torch.poisson((light * profile * scale).clamp(0, 50) * electrons, generator=generator)
    noise = torch.randn(light.shape, generator=generator, device=light.device)
    signal += rng.uniform(*camera.read_electrons) * noise
    if rng.uniform() < camera.eight_bit:
        level, offset, highest = rng.uniform(*camera.counts_eight_bit), 0.0, 255
    else:
        level = np.exp(rng.uniform(*np.log(camera.counts)))
        offset, highest = rng.uniform(*camera.offset), 65535
    counts = signal * (level / electrons) + offset
    return counts.round_().clamp_(0, highest).cpu().numpy().astype(np.uint16)


def _dust(camera: WideCamera, light: Tensor, rng: np.random.Generator) -> Tensor:
    """Shadows of dust out of focus: dim discs with a brighter rim, the same in all planes."""
    height, width = light.shape[1:]
    rows = torch.arange(height, device=light.device, dtype=torch.float32)[:, None]
    columns = torch.arange(width, device=light.device, dtype=torch.float32)[None, :]
    out = torch.ones(height, width, device=light.device)
    for _ in range(int(rng.integers(camera.dust + 1))):
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        radius, depth = rng.uniform(6, 40), rng.uniform(*camera.dust_depth)
        away = torch.sqrt((rows - y) ** 2 + (columns - x) ** 2) / radius
        inside = torch.sigmoid((1 - away) * rng.uniform(6, 20))
        rim = torch.exp(-(((away - 1) * 8) ** 2))
        out *= 1 - depth * (inside - 0.5 * rim)
    return out
