"""Small pictures of a prediction beside its truth, as text that a page can hold."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.workflow.stain_files import (
    StainFiles,
    StainImages,
    find_stains,
    outline_nuclei,
)

if TYPE_CHECKING:
    from napari_fluorgen.io.found import FieldSource

# Okabe and Ito's colours, which colour-blind people tell apart.
FOUND, FALSE, MISSED = (0, 158, 115), (213, 94, 0), (240, 228, 66)
DARKER, BRIGHTER = (0, 114, 178), (213, 94, 0)
_SIDE_PX = 512
_LEVELS = 64
_BAR_UM = (5, 10, 20, 50, 100, 200, 500)
_MATCH_IOU = 0.5

RGB = tuple[int, int, int]


@dataclass(frozen=True)
class Panels:
    """Pictures of one stain in one field.

    Attributes
    ----------
    pictures : dict of str to str
        Title -> PNG as a data address.
    size_px : tuple of int
        Rows and columns shown, from the centre of the field.
    whole : bool
        Whether that is the whole field.
    size_um : tuple of float or None
        The same in micrometres.
    bar_um : int or None
        Length of the white bar in the first picture.
    counts : tuple of int
        Camera counts shown black and white; half their distance is full colour in the difference.
    """

    pictures: dict[str, str]
    size_px: tuple[int, int]
    whole: bool
    size_um: tuple[float, float] | None
    bar_um: int | None
    counts: tuple[int, int]


class PictureSource:
    """Reads the images of fields again, one field at a time.

    Parameters
    ----------
    predicted, truth : path-like
        The folders that were compared.
    pixel_size_um : tuple of float (y, x), optional
        Of all fields; if not given, each has what its prediction says.
    """

    def __init__(
        self,
        predicted: str | Path,
        truth: str | Path,
        pixel_size_um: tuple[float, float] | None = None,
    ) -> None:
        self.predicted = Path(predicted)
        self.truth = Path(truth)
        self.pixel_size_um = pixel_size_um
        self._truths = find_stains(truth)

    @cached_property
    def _stained(self) -> list[str]:
        from napari_fluorgen.io import results

        return list(results.list_fields(self.predicted))

    @cached_property
    def _predictions(self) -> dict[str, StainFiles]:
        return find_stains(self.predicted)

    @cached_property
    def _stacks(self) -> dict[str, FieldSource]:
        """Brightfield stacks: beside the true stains, or where the staining took them from."""
        from napari_fluorgen.io import find_fields
        from napari_fluorgen.io.run_record import read_run

        places = [self.truth]
        for record in read_run(self.predicted).values():
            source = Path(record.get("input", {}).get("source") or self.truth)
            if source not in places and source.exists():
                places.append(source)
        stacks: dict[str, FieldSource] = {}
        for place in places:
            for source_of in find_fields([place]).fields:
                stacks.setdefault(source_of.identity.name, source_of)
        return stacks

    def read(self, name: str) -> tuple[StainImages, StainImages]:
        """Return the prediction and the truth of a field."""
        from napari_fluorgen.io import results

        if name in self._stained:
            found = StainImages.of_field(results.read_field(self.predicted, name))
        else:
            found = self._predictions[name].read()
        truth = self._truths[name].read()
        return found, outline_nuclei(truth, self._pixel_size(found), found.nuclei_settings)

    def brightfield(self, name: str) -> NDArray | None:
        """Return the middle plane of a field, or None where it is not at hand."""
        try:
            data = self._stacks[name].open().data
            return np.asarray(data[data.shape[0] // 2])
        except (KeyError, FluorgenError, OSError):
            return None

    def panels(self, name: str, stain: str) -> Panels:
        """Return the pictures of one stain of a field; of a large field its central part."""
        found, true = self.read(name)
        shape = true.images[stain].shape
        window = tuple(_central(length) for length in shape)
        cut = (window[0], window[1])
        prediction, truth = (images.images[stain][cut] for images in (found, true))
        low, high = _limits(truth)
        one, other = _to_levels(prediction, low, high), _to_levels(truth, low, high)
        greys = _ramp((0, 0, 0), (255, 255, 255))
        colours = [FOUND, FALSE, MISSED]
        if stain == "nuclei" and found.nuclei_labels is not None and true.nuclei_labels is not None:
            _draw_outlines(one, other, found.nuclei_labels, true.nuclei_labels, cut)
        height, width = truth.shape
        size = self._pixel_size(found)
        bar_um = _bar_um(width, size)
        bar = round(bar_um / size[1]) if bar_um and size else None
        pictures: dict[str, str] = {}
        plane = self.brightfield(name)
        if plane is not None and plane.shape == shape:
            pictures["brightfield"] = _png(_to_levels(plane[cut], *_limits(plane[cut])), greys, bar)
            bar = None
        pictures["predicted"] = _png(one, greys + colours, bar)
        pictures["true"] = _png(other, greys + colours)
        half = (high - low) / 2
        difference = prediction.astype(np.float64) - truth
        diverging = _ramp(DARKER, (255, 255, 255), BRIGHTER)
        pictures["difference"] = _png(_to_levels(difference, -half, half), diverging)
        return Panels(
            pictures,
            (height, width),
            (height, width) == shape,
            (height * size[0], width * size[1]) if size else None,
            bar_um,
            (round(low), round(high)),
        )

    def _pixel_size(self, found: StainImages) -> tuple[float, float] | None:
        return self.pixel_size_um or found.pixel_size_um


def _bar_um(width: int, size: tuple[float, float] | None) -> int | None:
    """Length of a bar of at most a third of `width` pixels, in micrometres."""
    if size is None:
        return None
    return max((n for n in _BAR_UM if n / size[1] < width / 3), default=None)


def _central(length: int) -> slice:
    side = min(length, _SIDE_PX)
    start = (length - side) // 2
    return slice(start, start + side)


def _limits(image: NDArray) -> tuple[float, float]:
    low, high = np.percentile(image, (1.0, 99.7))
    return float(low), float(max(high, low + 2))


def _to_levels(image: NDArray, low: float, high: float) -> NDArray[np.uint8]:
    """Few levels make small files and look the same."""
    scaled = (image.astype(np.float64) - low) / (high - low) * (_LEVELS - 1)
    return np.rint(scaled).clip(0, _LEVELS - 1).astype(np.uint8)


def _draw_outlines(
    one: NDArray[np.uint8],
    other: NDArray[np.uint8],
    found: NDArray,
    true: NDArray,
    cut: tuple[slice, slice],
) -> None:
    """Outline found and false nuclei in the prediction, found and missed ones in the truth."""
    from skimage.segmentation import find_boundaries

    from napari_fluorgen.overlap import find_overlaps

    pairs = find_overlaps(true, found)
    for levels, labels, matched, wrong in (
        (one, found, pairs.best_of_found() >= _MATCH_IOU, _LEVELS + 1),
        (other, true, pairs.best_of_true() >= _MATCH_IOU, _LEVELS + 2),
    ):
        inside = labels[cut]
        numbers = np.unique(labels[labels > 0])
        right = np.isin(inside, numbers[matched])
        for chosen, level in ((right, _LEVELS), (~right, wrong)):
            levels[find_boundaries(np.where(chosen, inside, 0), mode="thick")] = level


def _ramp(*colours: RGB) -> list[RGB]:
    stops = np.linspace(0, 1, len(colours))
    at = np.linspace(0, 1, _LEVELS)
    parts = [np.interp(at, stops, [colour[k] for colour in colours]) for k in range(3)]
    return [(round(r), round(g), round(b)) for r, g, b in zip(*parts, strict=True)]


def _png(levels: NDArray[np.uint8], palette: list[RGB], bar: int | None = None) -> str:
    """Return a picture with a palette as a data address, with a white bar where asked for."""
    from PIL import Image

    levels = levels.copy()
    if bar is not None:
        levels[-14:-8, 8 : 12 + bar] = 0
        levels[-13:-9, 10 : 10 + bar] = _LEVELS - 1
    picture = Image.fromarray(levels)
    picture.putpalette([value for colour in palette for value in colour])
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
