"""Partially coherent brightfield imaging by multi-slice beam propagation.

Plane waves from points of the condenser aperture pass the volume slice by slice: each slice
delays the wave by its refractive index, free propagation by the angular spectrum carries it to
the next. The exit wave is refocused and cut by the objective's pupil; intensities of the points
add up (Abbe's method). See Kamilov et al., Optica 2 (2015) 517, 10.1364/OPTICA.2.000517.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_fluorgen.simulation.illumination import Illumination, PhaseRing


@dataclass(frozen=True)
class Optics:
    """A microscope in focus at height 0; lengths in micrometres.

    Attributes
    ----------
    pixel_size, wavelength : float
        Pixel in the specimen and vacuum wavelength.
    objective_na, condenser_na : float
        Numerical apertures.
    medium : float
        Refractive index around the cells.
    condenser_turn : float
        Rotation of the sampled condenser points in turns.
    """

    pixel_size: float
    wavelength: float
    objective_na: float
    condenser_na: float
    medium: float
    condenser_turn: float = 0.0


def condenser_points(condenser_na: float, turn: float = 0.0) -> list[tuple[float, float]]:
    """Direction sines (y, x) of 25 points that fill a disc: the centre and two rings.

    Parameters
    ----------
    condenser_na : float
        Radius of the disc.
    turn : float
        Rotation of the rings in turns.
    """
    points = [(0.0, 0.0)]
    for radius, count in ((0.48, 8), (0.86, 16)):
        angles = 2 * np.pi * (np.arange(count) / count + turn)
        points += [(radius * np.sin(a), radius * np.cos(a)) for a in angles]
    return [(condenser_na * y, condenser_na * x) for y, x in points]


def image_planes(
    index_step: Tensor,
    slice_um: float,
    focus_um: list[float],
    optics: Optics,
    points_at_once: int | None = None,
    illumination: Illumination | None = None,
    absorption: Tensor | None = None,
) -> Tensor:
    """Image a volume at several heights of focus.

    Parameters
    ----------
    index_step : Tensor, shape (S, Y, X), float32
        Refractive index minus that of the medium; slice 0 is the lowest.
    slice_um : float
        Thickness of a slice.
    focus_um : list of float
        Heights above the bottom of the volume that are in focus. The light comes from above
        (an inverted microscope), so it meets the highest slice first.
    optics : Optics
        The microscope.
    points_at_once : int, optional
        Condenser points in memory at the same time. By default one on the CPU, whose caches
        hold one wave (at 40x that takes half the time of five), and 16 on a GPU.
    illumination : Illumination, optional
        Points of the condenser and phase ring instead of those of a full, centred condenser.
    absorption : Tensor, optional, shape (S, Y, X), float32
        Natural logarithm of the intensity that is lost a micrometre, where something absorbs.

    Returns
    -------
    Tensor, shape (planes, Y, X), float32
        Intensity; 1.0 is the empty field. The borders wrap round: cut off a margin, or image a
        specimen that is periodic.
    """
    device = index_step.device
    if points_at_once is None:
        points_at_once = 1 if device.type == "cpu" else 16
    _, height, width = index_step.shape
    # Above the highest cell the wave is still flat, so propagation would change nothing.
    filled = index_step.abs() if absorption is None else index_step.abs() + absorption
    occupied = torch.nonzero(filled.flatten(1).amax(1))
    index_step = index_step[: int(occupied.max()) + 1 if len(occupied) else 1]
    fy = torch.fft.fftfreq(height, optics.pixel_size, device=device)[:, None]
    fx = torch.fft.fftfreq(width, optics.pixel_size, device=device)[None, :]
    phase = 2 * np.pi / optics.wavelength * slice_um
    kept = torch.ones_like(index_step)
    if absorption is not None:
        kept = torch.exp(-0.5 * slice_um * absorption[: len(index_step)])
    delays = torch.polar(kept.flip(0), phase * index_step.flip(0))
    if illumination is None:
        points = np.array(condenser_points(optics.condenser_na, optics.condenser_turn))
    else:
        points = illumination.points
    ring = illumination.ring if illumination else None
    total = torch.zeros(len(focus_um), height, width, device=device)
    empty_field = 0.0
    for start in range(0, len(points), points_at_once):
        part = points[start : start + points_at_once]
        empty_field += sum(_undiffracted(float(np.hypot(*p)), optics, ring) for p in part)
        tilts = torch.tensor(part, device=device).float()
        # Waves are kept without their tilt; the tilt shifts the frequencies they propagate by.
        gy = (tilts[:, 0] / optics.wavelength)[:, None, None] + fy
        gx = (tilts[:, 1] / optics.wavelength)[:, None, None] + fx
        squared = gy**2 + gx**2
        axial = (optics.medium / optics.wavelength) ** 2 - squared
        travelling = (axial > 0).float()
        axial = axial.clamp(min=0).sqrt()
        tilt_squared = (tilts**2).sum(1)[:, None, None] / optics.wavelength**2
        axial = axial - ((optics.medium / optics.wavelength) ** 2 - tilt_squared).sqrt()
        hop = torch.polar(travelling, 2 * np.pi * slice_um * axial)
        pupil = (squared <= (optics.objective_na / optics.wavelength) ** 2).float()
        wave = delays[0].expand(len(tilts), -1, -1)
        for delay in delays[1:]:
            wave = torch.fft.ifft2(torch.fft.fft2(wave).mul_(hop)).mul_(delay)
        spectrum = torch.fft.fft2(wave) * pupil
        if ring is not None:
            inside = squared >= (ring.inner / optics.wavelength) ** 2
            inside &= squared <= (ring.outer / optics.wavelength) ** 2
            # Light that the specimen does not diffract is dimmed and a quarter wave ahead.
            spectrum *= torch.where(inside, -1j * ring.transmission**0.5, 1.0)
        for plane, focus in enumerate(focus_um):
            # The exit wave stands half a slice below the lowest slice's middle.
            refocus = torch.polar(pupil, -2 * np.pi * (focus - 0.5 * slice_um) * axial)
            image = torch.view_as_real(torch.fft.ifft2(refocus.mul_(spectrum)))
            total[plane] += image.square_().sum(-1).sum(0)
    total /= empty_field
    if illumination is None or illumination.patch_na == 0:
        return total
    middle = 0.5 * slice_um * len(index_step)
    for plane, focus in enumerate(focus_um):
        # A disc of radius r has standard deviation r / 2 along an axis.
        blur = abs(focus - middle) * illumination.patch_na / 2 / optics.medium
        if blur > 0.25 * optics.pixel_size:
            total[plane] = _blur(total[plane], blur, fy, fx[:, : width // 2 + 1])
    return total


def _undiffracted(na: float, optics: Optics, ring: PhaseRing | None) -> float:
    """Intensity that a condenser point gives an empty field."""
    if na > optics.objective_na:
        return 0.0
    return ring.transmission if ring is not None and ring.inner <= na <= ring.outer else 1.0


def _blur(image: Tensor, sigma_um: float, fy: Tensor, fx: Tensor) -> Tensor:
    """Gaussian blur that wraps round."""
    damping = torch.exp(-2 * (np.pi * sigma_um) ** 2 * (fy**2 + fx**2))
    shape = (image.shape[0], image.shape[1])
    return torch.fft.irfft2(torch.fft.rfft2(image) * damping, s=shape)
