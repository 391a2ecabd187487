"""TIFF of any kind: OME, ImageJ, plain multi-page, compressed or not; a stack is read lazily."""

from __future__ import annotations

import logging
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.files import ImageFile, one_was_read, unreadable
from napari_fluorgen.io.ome import (
    MICROMETRES,
    Calibration,
    SplitImage,
    calibration,
    even_heights,
    identifier,
    parse,
    plain_unit,
    split_image,
)
from napari_fluorgen.io.tiff_images import (
    find_stacks,
    gray_type,
    is_plane_by_plane,
    plane_count,
)

# What tifffile would print about odd files is said in notes and errors instead.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

# Printers' resolutions (72 or 300 dpi) are not pixel sizes; a microscope's lie in here.
_PLAUSIBLE_UM = (0.02, 10.0)


@dataclass(frozen=True)
class TiffPlane:
    """One page of a TIFF, or one image of an uncompressed block.

    `offset` and `stored` are given where the pixels lie in one piece in the file; `index` counts
    the images of `series`, or the pages of the file where it is None. `white` is given where the
    file counts from white: values are read as what they lack of it.
    """

    path: Path
    index: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    offset: int | None = None
    stored: str = ""
    series: int | None = 0
    white: int | None = None

    @property
    def windowed(self) -> bool:
        """Whether a part can be read without decoding the whole plane."""
        return self.offset is not None

    def read(self, window: tuple[Any, ...] = ()) -> NDArray[Any]:
        """Pixels of `window` in the machine's byte order."""
        try:
            whole = self._mapped() if self.windowed else self._decoded()
        except Exception as error:
            raise unreadable(self.path, error) from error
        values = np.array(whole[window], dtype=self.dtype)
        return values if self.white is None else np.asarray(self.dtype.type(self.white) - values)

    def _mapped(self) -> NDArray[Any]:
        offset = self.offset or 0
        return np.memmap(self.path, self.stored, mode="r", offset=offset, shape=self.shape)

    def _decoded(self) -> NDArray[Any]:
        with tifffile.TiffFile(self.path) as tif:
            block: NDArray[Any] = tif.asarray(key=self.index, series=self.series)
        return block.reshape(self.shape)


def open_tiff(path: Path, number: int | None = None, *, as_stored: bool = False) -> ImageFile:
    """Open an image of a TIFF, which is one plane or one stack, without reading its pixels.

    Parameters
    ----------
    path : Path
        An existing file.
    number : int, optional
        Which of its `images`; by default the first, with a note on the others.
    as_stored : bool
        Whether values that count from white are left so.

    Returns
    -------
    ImageFile
        Its planes, pixel size and plane heights.

    Raises
    ------
    InputError
        Not a TIFF, truncated, in colour, several channels or time points, planes of several
        shapes.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            image = _describe(path, tif, number)
    except InputError:
        raise
    except Exception as error:
        raise unreadable(path, error) from error
    if not as_stored:
        return image
    planes = (replace(plane, white=None) for plane in image.planes if isinstance(plane, TiffPlane))
    return replace(image, planes=tuple(planes))


def _describe(path: Path, tif: tifffile.TiffFile, number: int | None) -> ImageFile:
    _check_pages(path, tif)
    split = split_image(path, tif.ome_metadata, number) if tif.is_ome else None
    if split is not None:
        return _describe_split(path, split)
    _check_whole(path, tif)
    if not tif.series:
        raise unreadable(path, ValueError("it holds no image"))
    loose = is_plane_by_plane(tif)
    stacks, held = ([0], 1) if loose else find_stacks(path, tif)
    chosen = stacks[0] if number is None else number
    series = tif.series[chosen]
    images: dict[int, tuple[Path, ...]] = dict.fromkeys(stacks, ()) if len(stacks) > 1 else {}
    notes = []
    if held > 1 and number is None:
        notes.append(one_was_read(path, held, chosen))
    elif held > len(stacks):
        notes.append(f"{path.name} holds {held} images: {len(stacks)} are stacks and were read.")
    count = len(tif.series)
    if not loose:
        count = plane_count(path, series.axes, series.shape, notes)
    dtype = gray_type(path, series.dtype)
    lengths = dict(zip(series.axes, series.shape, strict=True))
    shape = (int(lengths["Y"]), int(lengths["X"]))
    step = shape[0] * shape[1] * dtype.itemsize
    stored = dtype.newbyteorder(tif.byteorder).str
    planes = []
    for plane in range(count):
        part, index = (plane, 0) if loose else (chosen, plane)
        white = _white(tif.series[part].keyframe, dtype, notes)
        start = tif.series[part].dataoffset if not series.is_multifile else None
        offset = None if start is None else int(start) + index * step
        planes.append(TiffPlane(path, index, shape, dtype, offset, stored, part, white))
    pixel_size, z_um = _calibration(tif, chosen, count)
    return ImageFile(tuple(planes), pixel_size, z_um, _once(notes), images=images)


def _describe_split(path: Path, split: SplitImage) -> ImageFile:
    """The image of a file whose planes lie in several, read page by page."""
    files = tuple(dict.fromkeys(file for file, _ in split.pages))
    notes = list(split.notes)
    pages = {file: _pages(file, path, split.identifiers.get(file), notes) for file in files}
    planes = []
    for file, page in split.pages:
        if page >= len(pages[file]):
            raise unreadable(file, ValueError(f"it lacks page {page + 1}"))
        planes.append(pages[file][page])
    first = planes[0]
    plane_count(path, "TCZYX", (*split.shape, *first.shape), notes)
    expected = tuple(int(split.pixels.get(f"Size{axis}", -1)) for axis in "YX")
    for plane in planes:
        if plane.shape != expected or plane.dtype != first.dtype:
            raise InputError(
                f"{plane.path} has {plane.shape[0]} × {plane.shape[1]} pixels of type "
                f"{plane.dtype} where {path.name} expects {expected[0]} × {expected[1]} of type "
                f"{first.dtype}: it is no file of that image; export the image again."
            )
    pixel_size, z_um = calibration(split.pixels, len(planes))
    return ImageFile(tuple(planes), pixel_size, z_um, _once(notes), files, split.images)


def _once(notes: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(notes))


def _pages(file: Path, asked: Path, expected: str | None, notes: list[str]) -> list[TiffPlane]:
    """Every page of a file as a plane."""
    if not file.is_file():
        raise InputError(
            f"{asked} is one of the files of an image and {file.name} is missing: expected all of "
            "them in one folder; copy it beside the others, or export the image into one file."
        )
    planes = []
    with tifffile.TiffFile(file) as tif:
        _check_pages(file, tif)
        found = identifier(tif.ome_metadata) if expected and tif.is_ome else None
        if found not in (None, expected):
            raise InputError(
                f"{file} is not the file of that name that {asked.name} expects: the names of the "
                "files of an OME-TIFF have changed; rename them back, or export it again."
            )
        for index, page in enumerate(tif.pages):
            plane_count(file, page.axes, page.shape, [])
            dtype = gray_type(file, page.dtype)
            offset = int(page.dataoffsets[0]) if page.is_memmappable else None
            stored = dtype.newbyteorder(tif.byteorder).str
            shape = (page.imagelength, page.imagewidth)
            white = _white(page.aspage(), dtype, notes)
            planes.append(TiffPlane(file, index, shape, dtype, offset, stored, None, white))
    return planes


def _white(page: tifffile.TiffPage, dtype: np.dtype[Any], notes: list[str]) -> int | None:
    """Value of white in a page that counts from it, which is 0 there; else None."""
    if page.photometric != tifffile.PHOTOMETRIC.MINISWHITE:
        return None
    if page.parent.is_imagej:
        # Its inverting colour table changes the display alone, as that of masks often does.
        notes.append(
            "ImageJ shows the file inverted: its values were left as they are; invert them if "
            "bright is dark."
        )
        return None
    if dtype.kind != "u":
        notes.append(
            f"The file says that its gray values count from white, but values of type {dtype} have "
            "no white to count from: they were left as they are; invert them if bright is dark."
        )
        return None
    notes.append("The file counts its gray values from white: they were inverted, bright is high.")
    return int(2**page.bitspersample - 1)


def _check_pages(path: Path, tif: tifffile.TiffFile) -> None:
    """Refuse a file whose page list or pages end early: tifffile would read what is left."""
    size = tif.filehandle.size
    page = tif.pages[0]
    for page in tif.pages:
        ends = [a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if max(ends, default=0) > size:
            raise unreadable(path, ValueError("the file is truncated"))
    layout = tif.tiff
    file = tif.filehandle
    file.seek(page.offset)
    (tags,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
    file.seek(page.offset + layout.tagnosize + tags * layout.tagsize)
    following = file.read(layout.offsetsize)
    if len(following) < layout.offsetsize or struct.unpack(layout.offsetformat, following)[0]:
        raise unreadable(path, ValueError("the file is truncated"))


def _check_whole(path: Path, tif: tifffile.TiffFile) -> None:
    """Refuse a file whose images end early or lack planes."""
    size = tif.filehandle.size
    for series in tif.series:
        if series.dataoffset is not None and series.dataoffset + series.nbytes > size:
            raise unreadable(path, ValueError("the file is truncated"))
        if any(part is None for part in series.pages):
            raise unreadable(path, ValueError("some of its planes are missing"))


def _calibration(tif: tifffile.TiffFile, chosen: int, count: int) -> Calibration:
    """Pixel size (y, x) and plane heights in micrometres, as far as the file says of an image."""
    root = parse(tif.ome_metadata) if tif.is_ome else None
    if root is not None:
        described = list(root.iterfind(".//{*}Image/{*}Pixels"))
        found = calibration(described[chosen] if chosen < len(described) else None, count)
        if found[0] is not None:
            return found
    page = tif.series[chosen].keyframe
    resolution = _resolution(page)
    by_tags = None if tif.is_imagej else _tag_pixel_size(page, resolution)
    metadata: dict[str, Any] = {}
    if tif.is_imagej:
        metadata = tif.imagej_metadata or {}
    elif tif.is_shaped and tif.shaped_metadata:
        described = tif.shaped_metadata
        metadata = dict(described[chosen] if chosen < len(described) else described[0])
    unit = MICROMETRES.get(plain_unit(metadata.get("unit")))
    if unit is None:
        return by_tags or _tag_pixel_size(page, resolution), None
    z_um = even_heights(metadata.get("spacing"), unit, count)
    if by_tags is None and resolution is not None:
        return (unit / resolution[0], unit / resolution[1]), z_um
    return by_tags, z_um


def _resolution(page: tifffile.TiffPage) -> tuple[float, float] | None:
    """Pixels a unit along (y, x)."""
    values = []
    for name in ("YResolution", "XResolution"):
        tag = page.tags.get(name)
        if tag is None or not tag.value[1] or not tag.value[0]:
            return None
        values.append(tag.value[0] / tag.value[1])
    return values[0], values[1]


def _resolution_unit(page: tifffile.TiffPage) -> int:
    tag = page.tags.get("ResolutionUnit")
    return int(tag.value) if tag is not None else 0


def _tag_pixel_size(
    page: tifffile.TiffPage, resolution: tuple[float, float] | None
) -> tuple[float, float] | None:
    micrometres = {2: 25_400.0, 3: 10_000.0}.get(_resolution_unit(page))
    if micrometres is None or resolution is None:
        return None
    size = (micrometres / resolution[0], micrometres / resolution[1])
    low, high = _PLAUSIBLE_UM
    return size if all(low <= value <= high for value in size) else None
