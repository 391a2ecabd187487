"""TIFF of any kind: OME, ImageJ, plain multi-page, compressed or not; a stack is read lazily."""

from __future__ import annotations

import logging
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.files import ImageFile, first_was_read, unreadable
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


def open_tiff(path: Path, number: int | None = None) -> ImageFile:
    """Open an image of a TIFF, which is one plane or one stack, without reading its pixels.

    Parameters
    ----------
    path : Path
        An existing file.
    number : int, optional
        Which of its `images`; by default the first, with a note on the others.

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
            return _describe(path, tif, number)
    except InputError:
        raise
    except Exception as error:
        raise unreadable(path, error) from error


def _describe(path: Path, tif: tifffile.TiffFile, number: int | None) -> ImageFile:
    _check_pages(path, tif)
    split = split_image(path, tif.ome_metadata, number) if tif.is_ome else None
    if split is not None:
        return _describe_split(path, split)
    _check_whole(path, tif)
    if not tif.series:
        raise unreadable(path, ValueError("it holds no image"))
    chosen = number or 0
    series = tif.series[chosen]
    loose = _is_plane_by_plane(tif)
    images = {} if loose else _images(path, tif)
    notes = [first_was_read(path, len(images))] if images and number is None else []
    count = len(tif.series)
    if not loose:
        count = _plane_count(path, series.axes, series.shape, notes)
    dtype = _gray_type(path, series.dtype)
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
    _plane_count(path, "TCZYX", (*split.shape, *first.shape), notes)
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
            _plane_count(file, page.axes, page.shape, [])
            dtype = _gray_type(file, page.dtype)
            offset = int(page.dataoffsets[0]) if page.is_memmappable else None
            stored = dtype.newbyteorder(tif.byteorder).str
            shape = (page.imagelength, page.imagewidth)
            white = _white(page.aspage(), dtype, notes)
            planes.append(TiffPlane(file, index, shape, dtype, offset, stored, None, white))
    return planes


def _gray_type(path: Path, found: Any) -> np.dtype[Any]:
    if found is None or np.dtype(found).kind not in "uif":
        raise InputError(
            f"{path} has pixels of type {found}: expected gray values in 8, 16 or 32 bits; "
            "save the brightfield stack in its original bit depth."
        )
    return np.dtype(found).newbyteorder("=")


def _white(page: tifffile.TiffPage, dtype: np.dtype[Any], notes: list[str]) -> int | None:
    """Value of white in a page that counts from it, which is 0 there; else None."""
    if page.photometric != tifffile.PHOTOMETRIC.MINISWHITE:
        return None
    if dtype.kind != "u":
        notes.append(
            f"The file says that its gray values count from white, but values of type {dtype} have "
            "no white to count from: they were left as they are; invert them if bright is dark."
        )
        return None
    notes.append("The file counts its gray values from white: they were inverted, bright is high.")
    return int(2**page.bitspersample - 1)


def _is_plane_by_plane(tif: tifffile.TiffFile) -> bool:
    """Whether a stack was saved one plane after the other, which tifffile takes for many images."""
    kinds = {(part.kind, part.axes, part.shape, part.dtype) for part in tif.series}
    return len(tif.series) > 1 and len(kinds) == 1 and tif.series[0].axes == "YX" and tif.is_shaped


def _plane_count(path: Path, names: str, shape: tuple[int, ...], notes: list[str]) -> int:
    """Planes of an image whose axes can only mean one stack."""
    if "S" in names or "Y" not in names or "X" not in names:
        raise InputError(
            f"{path} is an RGB or otherwise coloured image (axes {names}): expected gray "
            "planes; save the brightfield stack as 8-bit or 16-bit gray."
        )
    pairs = zip(names, shape, strict=True)
    extra = [(axis, size) for axis, size in pairs if axis not in "YX" and size > 1]
    if len(extra) > 1:
        found = " × ".join(f"{size} {_AXIS_WORDS.get(axis, axis)}" for axis, size in extra)
        raise InputError(
            f"{path} holds {found}: expected the focus planes of one brightfield field alone; save "
            "the brightfield channel of one time point and position as its own file (in Fiji: "
            "Image > Duplicate…)."
        )
    for axis, size in extra:
        # Writers without axes information call focus planes channels or time points.
        if axis == "C" and size < 5:
            raise InputError(
                f"{path} holds {size} channels and no focus planes: expected a brightfield z-stack;"
                " save its brightfield channel alone, or if these are focus planes, mark them as "
                "slices (in Fiji: Image > Properties…)."
            )
        if axis in "CT":
            notes.append(f"{path.name}: its {size} {_AXIS_WORDS[axis]} were read as focus planes.")
    return math.prod(size for _, size in extra)


_AXIS_WORDS = {
    "C": "channels",
    "T": "time points",
    "Z": "planes",
    "I": "images",
    "Q": "images",
    "P": "positions",
}


def _images(path: Path, tif: tifffile.TiffFile) -> dict[int, tuple[Path, ...]]:
    """The images of a file that holds several and no part of others."""
    others = [
        number
        for number, series in enumerate(tif.series)
        if number and (series.kind != "baseline" or not tif.is_ome)
    ]
    if not others:
        return {}
    shapes = {s.shape[-2:] for s in tif.series}
    if len(shapes) > 1 and not tif.is_ome:
        found = " and ".join(" × ".join(map(str, shape)) for shape in sorted(shapes))
        raise InputError(
            f"{path} holds planes of different shapes ({found} pixels): expected one stack; save "
            "the brightfield planes as their own file."
        )
    return dict.fromkeys((0, *others), ())


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
