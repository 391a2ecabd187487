"""The camera: counts of brightfield planes and of stains, with noise."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv1d, interpolate, pad

from napari_fluorgen.simulation.presets import CameraPreset
from napari_fluorgen.simulation.scene import Scene


def brightfield_counts(
    light: Tensor, camera: CameraPreset, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Return the counts of brightfield planes, of which 1.0 is the empty field."""
    unevenness = 1 + camera.uneven_illumination * smooth_field(light.shape[1:], rng, light.device)
    level = rng.uniform(*camera.brightfield_counts)
    gains = torch.as_tensor(rng.normal(1, 0.02, (len(light), 1, 1)), device=light.device)
    counts = light * unevenness * level * gains.float()
    return _expose(counts, camera, rng)


def stain_counts(
    scene: Scene, camera: CameraPreset, blur_px: float, haze_px: float, rng: np.random.Generator
) -> dict[str, NDArray[np.uint16]]:
    """Return the stains as a fluorescence microscope shows them, in counts."""
    # Typical depth of dye in micrometres, so that the counts below are those of a usual cell.
    typical = {"nuclei": 4.5, "lipids": 3.0, "cytoplasm": 5.0}
    counts = {
        "nuclei": camera.nuclei_counts,
        "lipids": camera.lipids_counts,
        "cytoplasm": camera.cytoplasm_counts,
    }
    out = {}
    for name, depth in typical.items():
        dye = getattr(scene, name)
        level = rng.uniform(*counts[name])
        blurred = _gaussian(dye, blur_px)
        haze = _gaussian(dye, haze_px)
        image = level * (0.92 * blurred + 0.08 * haze + 0.02 * depth) / depth
        out[name] = _expose(image, camera, rng)
    return out


def _expose(counts: Tensor, camera: CameraPreset, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Shot noise, read noise, offset, rounding and saturation."""
    gain = rng.uniform(*camera.electrons_a_count)
    generator = torch.Generator(counts.device).manual_seed(int(rng.integers(2**62)))
    electrons = torch.poisson(counts.clamp(min=0) * gain, generator=generator)
    read = torch.randn(counts.shape, generator=generator, device=counts.device)
    signal = electrons / gain + camera.read_noise * read + camera.offset
    return signal.round().clamp(0, 65535).cpu().numpy().astype(np.uint16)


def smooth_field(shape: torch.Size, rng: np.random.Generator, device: torch.device) -> Tensor:
    """Random illumination profile over the whole field, between -1 and 1."""
    coarse = torch.as_tensor(rng.uniform(-1, 1, (1, 1, 3, 3)), dtype=torch.float32, device=device)
    return interpolate(coarse, size=tuple(shape), mode="bicubic", align_corners=True)[0, 0]


def _gaussian(image: Tensor, sigma: float) -> Tensor:
    radius = max(1, math.ceil(4 * sigma))
    x = torch.arange(-radius, radius + 1, device=image.device, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    for _ in range(2):
        rows = pad(image[:, None], (radius, radius), mode="replicate")
        image = conv1d(rows, kernel)[:, 0].T
    return image
