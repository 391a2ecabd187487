"""A simulated field as a microscope would deliver it: brightfield planes and true stains."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv1d, interpolate, pad

from napari_fluorgen.simulation.optics import Optics, image_planes
from napari_fluorgen.simulation.presets import CameraPreset, Preset
from napari_fluorgen.simulation.scene import SLICE_UM, Scene, build_scene

# The Fourier propagation wraps round; light travels less than this far sideways.
_MARGIN_UM = 11.0
_FOCUS_UM = 3.0


@dataclass(frozen=True)
class SimulatedField:
    """Simulated data of one field.

    Attributes
    ----------
    brightfield : ndarray, shape (7, Y, X), uint16
        Focus series in counts, heights ascending.
    z_um : tuple of float
        Height of each plane.
    pixel_size_um : float
        Micrometres a pixel.
    stains : dict of str to ndarray, shape (Y, X), uint16
        True nuclei, lipids and cytoplasm in counts.
    nuclei_labels : ndarray, shape (Y, X), uint16
        True nuclei, sequential from 1.
    defects : ndarray, shape (Y, X), uint16
        Holes and creases of defective droplets: pixels that lack dye within a droplet; one label
        a defective droplet, sequential from 1.
    """

    brightfield: NDArray[np.uint16]
    z_um: tuple[float, ...]
    pixel_size_um: float
    stains: dict[str, NDArray[np.uint16]]
    nuclei_labels: NDArray[np.uint16]
    defects: NDArray[np.uint16]


def simulate_field(
    preset: Preset,
    seed: int,
    shape: tuple[int, int] = (512, 512),
    device: str | torch.device = "cpu",
) -> SimulatedField:
    """Simulate one field.

    Parameters
    ----------
    preset : Preset
        Cells, optics and camera to draw from.
    seed : int
        The same seed gives the same field on the same device with the same number of threads;
        another number changes the camera noise of the brightfield planes.
    shape : tuple of int
        Rows and columns.
    device : str or torch.device
        Where to compute.
    """
    device = torch.device(device)
    rng = np.random.default_rng(seed)
    pixel = preset.optics.pixel_size
    margin = math.ceil(_MARGIN_UM / pixel)
    padded = tuple(_fast_length(n + 2 * margin) for n in shape)
    crop = tuple(slice((p - n) // 2, (p - n) // 2 + n) for p, n in zip(padded, shape, strict=True))
    with torch.inference_mode():
        scene = build_scene(
            preset.cells,
            (padded[0], padded[1]),
            pixel,
            rng,
            device,
            np.random.default_rng([seed, 1]),
        )
        optics = Optics(
            pixel,
            wavelength=rng.uniform(*preset.optics.wavelength),
            objective_na=rng.uniform(*preset.optics.objective_na),
            condenser_na=rng.uniform(*preset.optics.condenser_na),
            medium=preset.cells.medium,
            condenser_turn=rng.uniform(),
        )
        middle = _FOCUS_UM + rng.uniform(*preset.optics.focus_offset)
        heights = [middle + z for z in preset.optics.planes]
        light = image_planes(scene.index_step, SLICE_UM, heights, optics)
        light = light[:, crop[0], crop[1]]
        brightfield = _brightfield_counts(light, preset.camera, rng)
        stains = _stain_counts(scene, preset, rng)
        stains = {name: image[crop[0], crop[1]] for name, image in stains.items()}
    labels = scene.nuclei_labels[crop[0], crop[1]].cpu().numpy()
    defects = scene.defects[crop[0], crop[1]].cpu().numpy()
    return SimulatedField(
        brightfield=brightfield,
        z_um=preset.optics.planes,
        pixel_size_um=pixel,
        stains=stains,
        nuclei_labels=_sequential(labels),
        defects=_sequential(defects),
    )


def _fast_length(n: int) -> int:
    """Return the smallest product of 2, 3 and 5 from `n` on, where the FFT is quick."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def _sequential(labels: NDArray[np.int32]) -> NDArray[np.uint16]:
    present = np.unique(labels[labels > 0])
    return np.where(labels > 0, np.searchsorted(present, labels) + 1, 0).astype(np.uint16)


def _brightfield_counts(
    light: Tensor, camera: CameraPreset, rng: np.random.Generator
) -> NDArray[np.uint16]:
    unevenness = 1 + camera.uneven_illumination * _smooth_field(light.shape[1:], rng, light.device)
    level = rng.uniform(*camera.brightfield_counts)
    gains = torch.as_tensor(rng.normal(1, 0.02, (len(light), 1, 1)), device=light.device)
    counts = light * unevenness * level * gains.float()
    return _expose(counts, camera, rng)


def _stain_counts(
    scene: Scene, preset: Preset, rng: np.random.Generator
) -> dict[str, NDArray[np.uint16]]:
    camera = preset.camera
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
        blurred = _gaussian(dye, preset.optics.fluorescence_blur / preset.optics.pixel_size)
        haze = _gaussian(dye, 6.0 / preset.optics.pixel_size)
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


def _smooth_field(shape: torch.Size, rng: np.random.Generator, device: torch.device) -> Tensor:
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
