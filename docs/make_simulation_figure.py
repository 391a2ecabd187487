"""Draw docs/images/simulation-varieties.jpg: one simulated field of each variety.

Columns: below focus, in focus, above focus, and the three true stains in one colour picture
(nuclei blue, lipids green, cytoplasm red).

    python docs/make_simulation_figure.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from napari_fluorgen.simulation.field import SimulatedField, simulate_field
from napari_fluorgen.simulation.presets import VARIETIES, get_preset

SEEDS = {"adipocytes": (5,), "wide": (4, 7, 13), "oblique": (27,), "phase-contrast": (22,)}
SIZE = 320


def stretch(image: np.ndarray, low: float = 0.5, high: float = 99.7) -> np.ndarray:
    """Map percentiles to 0 and 255."""
    bottom, top = np.percentile(image, (low, high))
    return (np.clip((image - bottom) / max(top - bottom, 1), 0, 1) * 255).astype(np.uint8)


def row(field: SimulatedField) -> np.ndarray:
    """Three planes and the stains side by side, as RGB."""
    middle = len(field.z_um) // 2
    planes = [stretch(field.brightfield[middle + step]) for step in (-2, 0, 2)]
    # Lipids in the same counts everywhere, so that cells without droplets stay without green.
    lipids = np.clip((field.stains["lipids"] - 150.0) / 2000, 0, 1) * 255
    stains = [stretch(field.stains["cytoplasm"], 5), lipids, stretch(field.stains["nuclei"], 5)]
    weights = np.array([0.6, 1.0, 1.0])
    colour = (np.stack(stains, axis=-1) * weights).astype(np.uint8)
    return np.hstack([*(np.stack([plane] * 3, axis=-1) for plane in planes), colour])


def main() -> None:
    """Simulate the fields and write the picture."""
    rows = [
        row(simulate_field(get_preset("20x", variety), seed, (SIZE, SIZE)))
        for variety in VARIETIES
        for seed in SEEDS[variety]
    ]
    picture = Image.fromarray(np.vstack(rows))
    small = picture.resize((picture.width * 5 // 8, picture.height * 5 // 8), Image.Resampling.BOX)
    target = Path(__file__).parent / "images" / "simulation-varieties.jpg"
    small.save(target, quality=58, optimize=True)
    print(f"{target} {target.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
