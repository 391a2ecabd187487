"""A field that is drawn, so that the number and place of every object are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from napari_fluorgen.stack import FieldIdentity, StainedField


def _disc(shape: tuple[int, int], y: float, x: float, radius: float) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def _drawn_field(
    name: str = "field",
    *,
    shape: tuple[int, int] = (256, 320),
    nuclei: tuple[tuple[int, int], ...] = ((60, 60), (60, 200), (190, 80), (180, 255), (5, 315)),
    plate: str | None = "Plate 1",
    well: str | None = "B02",
    site: int | None = 1,
    confidence: bool = True,
    seed: int = 0,
) -> StainedField:
    """Discs: nuclei of radius 11, cells of radius 40, four droplets of radius 5 in each cell."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint32)
    counts = {stain: np.full(shape, 200.0) for stain in ("nuclei", "lipids", "cytoplasm")}
    for number, (y, x) in enumerate(nuclei, 1):
        counts["cytoplasm"][_disc(shape, y, x, 40)] = 3000
        for dy, dx in ((-24, 0), (24, 0), (0, -24), (0, 24)):
            counts["lipids"][_disc(shape, y + dy, x + dx, 5)] = 6000
        counts["nuclei"][_disc(shape, y, x, 11)] = 9000
        labels[_disc(shape, y, x, 11)] = number
    images = {
        stain: rng.normal(image, 20).clip(0, 65535).astype(np.uint16)
        for stain, image in counts.items()
    }
    probability = (labels > 0).astype(np.float32)
    p_values = {
        "nucleus": np.where(labels > 0, 0.8, 0.01).astype(np.float32),
        "background": np.where(labels > 0, 0.02, 0.7).astype(np.float32),
    }
    stem = f"AssayPlate_Greiner_#655090_{well}_T0001F{site or 1:03d}L01"
    return StainedField(
        identity=FieldIdentity(name, plate=plate, well=well, site=site),
        pixel_size_um=(0.325, 0.325),
        images=images,
        nuclei_probability=probability,
        nuclei_labels=labels,
        p_values=p_values if confidence else {},
        channel_files={
            stain: f"{stem}A0{number}Z01C0{number}.tif"
            for number, stain in enumerate(("nuclei", "lipids", "cytoplasm"), 1)
        },
    )


@pytest.fixture
def drawn_field() -> Callable[..., StainedField]:
    """Make a field of five cells with four droplets each; one cell lies in a corner."""
    return _drawn_field


@pytest.fixture
def disc() -> Callable[..., np.ndarray]:
    """Make the mask of a disc: shape, row, column, radius."""
    return _disc
