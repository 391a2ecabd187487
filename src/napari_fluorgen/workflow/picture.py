"""A picture of one result beside the truth, for people without napari at hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.stack import BrightfieldStack, StainedField

STAIN_COLOURS = {"cytoplasm": (1.0, 0.0, 0.0), "lipids": (0.0, 1.0, 0.0), "nuclei": (0.0, 0.2, 1.0)}
REGION_COLOURS = {
    0: ("strange", (204, 121, 167)),
    2: ("certain nucleus", (0, 114, 178)),
    3: ("uncertain", (230, 159, 0)),
}
"""Colours of Okabe and Ito, which colour-blind people tell apart; background stays as it is."""

_PANEL_PX = 1024
_CAPTION_PX = 26
_GAP_PX = 6
_OUTLINE = (255, 255, 255)
_Limits = Mapping[str, tuple[float, float]]


def save_picture(
    stack: BrightfieldStack,
    field: StainedField,
    path: str | Path,
    *,
    significance: float = 0.05,
    truth_caption: str = "true stains",
    overwrite: bool = False,
) -> Path:
    """Write a PNG: brightfield, virtual stains, true stains where known, confidence.

    Parameters
    ----------
    stack : BrightfieldStack
        Its middle plane and its true stains are shown.
    field : StainedField
        The result for `stack`.
    path : path-like
        The PNG file.
    significance : float
        Of the prediction regions.
    truth_caption : str
        What the true stains are.
    overwrite : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        When the file exists or cannot be written.
    """
    path = Path(path)
    image = compose(stack, field, significance=significance, truth_caption=truth_caption)
    with atomic_path(path, overwrite=overwrite) as temporary:
        image.save(temporary, format="PNG", optimize=True)
    return path


def compose(
    stack: BrightfieldStack,
    field: StainedField,
    *,
    significance: float = 0.05,
    truth_caption: str = "true stains",
) -> Any:
    """Return the picture as a `PIL.Image.Image`."""
    from skimage.segmentation import find_boundaries

    step = max(1, -(-max(field.shape) // _PANEL_PX))
    truth = {name: _shrink(np.asarray(image), step) for name, image in stack.truth.items()}
    images = {name: _shrink(image, step) for name, image in field.images.items()}
    outlines = find_boundaries(_thin(field.nuclei_labels, step), mode="inner")
    middle = _shrink(np.asarray(stack.data[stack.shape[0] // 2]), step)
    grey = np.repeat(_as_byte(_stretch(middle, _limits_of(middle)))[..., None], 3, axis=2)
    limits = {name: _limits_of(truth.get(name, image)) for name, image in images.items()}
    stained = blend_stains(images, limits)
    stained[outlines] = _OUTLINE
    count = int(field.nuclei_labels.max(initial=0))
    panels = [
        ("brightfield, middle plane", grey),
        (f"virtual stains, {count} nuclei outlined", stained),
    ]
    if truth:
        panels.append((truth_caption, blend_stains(truth, limits)))
    if field.p_values:
        thinned = {name: _thin(values, step) for name, values in field.p_values.items()}
        panels.append(_confidence_panel(grey, thinned, significance))
    pixel = field.pixel_size_um[1] * step if field.pixel_size_um else None
    return _arrange(panels, pixel)


def blend_stains(images: Mapping[str, NDArray], limits: _Limits) -> NDArray[np.uint8]:
    """Return stains as light: cytoplasm red, lipids green, nuclei blue, added up.

    Parameters
    ----------
    images : mapping of str to ndarray, shape (Y, X)
    limits : mapping of str to (float, float)
        Counts shown black and at full colour.

    Returns
    -------
    ndarray, shape (Y, X, 3), uint8
    """
    shape = next(iter(images.values())).shape
    light = np.zeros((*shape, 3), np.float32)
    for name, image in images.items():
        colour = np.array(STAIN_COLOURS[name], np.float32)
        light += _stretch(image, limits[name])[..., None] * colour
    return _as_byte(light)


def _confidence_panel(
    grey: NDArray[np.uint8], p_values: Mapping[str, NDArray[np.float32]], significance: float
) -> tuple[str, NDArray[np.uint8]]:
    from napari_fluorgen.confidence import prediction_regions

    regions = prediction_regions(p_values, significance)
    panel = grey.astype(np.float32)
    for code, (_, colour) in REGION_COLOURS.items():
        here = regions == code
        panel[here] = 0.45 * panel[here] + 0.55 * np.array(colour, np.float32)
    return f"confidence at significance {significance:g}", panel.astype(np.uint8)


def _thin(image: NDArray, step: int) -> NDArray:
    """Every `step`-th pixel of as many rows and columns as `_shrink` gives."""
    rows, columns = (max(1, n // step) * step for n in image.shape)
    return image[:rows:step, :columns:step]


def _shrink(image: NDArray, step: int) -> NDArray:
    """Means over squares of `step` pixels; a rest at the lower and right border is left out."""
    rows, columns = (n // step for n in image.shape)
    if step == 1 or not rows or not columns:
        return _thin(image, step)
    squares = image[: rows * step, : columns * step].reshape(rows, step, columns, step)
    return squares.mean(axis=(1, 3), dtype=np.float32)


def _limits_of(image: NDArray) -> tuple[float, float]:
    low, high = np.percentile(image, (1.0, 99.7))
    return float(low), float(max(high, low + 1e-6))


def _stretch(image: NDArray, limits: tuple[float, float]) -> NDArray[np.float32]:
    low, high = limits
    return np.clip((image.astype(np.float32) - low) / (high - low), 0, 1)


def _as_byte(light: NDArray[np.float32]) -> NDArray[np.uint8]:
    return (np.clip(light, 0, 1) * 255 + 0.5).astype(np.uint8)


def _arrange(panels: list[tuple[str, NDArray[np.uint8]]], pixel_um: float | None) -> Any:
    """Put captioned panels side by side, with a scale bar in the first and a legend in the last."""
    from PIL import Image, ImageDraw, ImageFont

    height, width = panels[0][1].shape[:2]
    step = max(width, 300) + _GAP_PX
    picture = Image.new("RGB", (step * len(panels) - _GAP_PX, height + _CAPTION_PX), "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=15)
    for index, (caption, pixels) in enumerate(panels):
        left = index * step
        draw.text((left + 4, 4), caption, fill="black", font=font)
        picture.paste(Image.fromarray(pixels), (left, _CAPTION_PX))
        if caption.startswith("confidence"):
            for row, (name, colour) in enumerate(REGION_COLOURS.values()):
                top = _CAPTION_PX + 8 + 20 * row
                draw.rectangle((left + 8, top, left + 22, top + 14), fill=colour, outline="white")
                draw.text(
                    (left + 28, top - 2),
                    name,
                    fill="white",
                    font=font,
                    stroke_width=2,
                    stroke_fill="black",
                )
    if pixel_um:
        _scale_bar(draw, font, width, height + _CAPTION_PX, pixel_um)
    return picture


def _scale_bar(draw: Any, font: Any, width: int, bottom: int, pixel_um: float) -> None:
    length_um = max(
        (n for n in (1, 2, 5, 10, 20, 50, 100, 200, 500) if n / pixel_um < width / 3), default=1
    )
    length = round(length_um / pixel_um)
    draw.rectangle((10, bottom - 14, 10 + length, bottom - 10), fill="white", outline="black")
    draw.text(
        (12, bottom - 34),
        f"{length_um} um",  # Pillow's own font has no µ
        fill="white",
        font=font,
        stroke_width=2,
        stroke_fill="black",
    )
