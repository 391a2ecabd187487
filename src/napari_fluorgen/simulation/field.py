"""A simulated field as a microscope would deliver it: brightfield planes and true stains."""

from __future__ import annotations

import math

import numpy as np
import torch

from napari_fluorgen.simulation.camera import brightfield_counts, stain_counts
from napari_fluorgen.simulation.optics import Optics, image_planes
from napari_fluorgen.simulation.presets import Preset
from napari_fluorgen.simulation.record import SimulatedField, fast_length, sequential
from napari_fluorgen.simulation.scene import build_scene
from napari_fluorgen.simulation.spheres import SLICE_UM
from napari_fluorgen.simulation.wide import simulate_wide_field
from napari_fluorgen.simulation.wide_presets import WidePreset

# The Fourier propagation wraps round; light travels less than this far sideways.
_MARGIN_UM = 11.0
_FOCUS_UM = 3.0


def simulate_field(
    preset: Preset | WidePreset,
    seed: int,
    shape: tuple[int, int] = (512, 512),
    device: str | torch.device = "cpu",
) -> SimulatedField:
    """Simulate one field.

    Parameters
    ----------
    preset : Preset or WidePreset
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
    if isinstance(preset, WidePreset):
        return simulate_wide_field(preset, seed, shape, device)
    rng = np.random.default_rng(seed)
    pixel = preset.optics.pixel_size
    margin = math.ceil(_MARGIN_UM / pixel)
    padded = tuple(fast_length(n + 2 * margin) for n in shape)
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
        brightfield = brightfield_counts(light, preset.camera, rng)
        stains = stain_counts(
            scene, preset.camera, preset.optics.fluorescence_blur / pixel, 6.0 / pixel, rng
        )
        stains = {name: image[crop[0], crop[1]] for name, image in stains.items()}
    labels = scene.nuclei_labels[crop[0], crop[1]].cpu().numpy()
    defects = scene.defects[crop[0], crop[1]].cpu().numpy()
    return SimulatedField(
        brightfield=brightfield,
        z_um=preset.optics.planes,
        pixel_size_um=pixel,
        stains=stains,
        nuclei_labels=sequential(labels),
        defects=sequential(defects),
        nominal_z_um=preset.optics.planes,
    )


__all__ = ["SimulatedField", "simulate_field"]
