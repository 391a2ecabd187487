"""OME-XML of a TIFF: calibration, and which planes of which files make the image of a file."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import tifffile

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.files import one_was_read

MICROMETRES = {
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "m": 1e6,
}

Calibration = tuple[tuple[float, float] | None, tuple[float, ...] | None]


@dataclass(frozen=True)
class SplitImage:
    """The image of a file that is one of several.

    Attributes
    ----------
    pixels : Element
        Its description.
    shape : tuple of int
        Time points, channels and planes.
    pages : tuple of (Path, int)
        File and page of each of them, planes fastest.
    identifiers : mapping of Path to str
        What the other files say of themselves that they are.
    notes : tuple of str
        What was left out.
    images : mapping of int to tuple of Path
        Numbers and files of all images in the file, where it or another of those holds several.
    """

    pixels: Element
    shape: tuple[int, int, int]
    pages: tuple[tuple[Path, int], ...]
    identifiers: Mapping[Path, str]
    notes: tuple[str, ...] = ()
    images: Mapping[int, tuple[Path, ...]] = field(default_factory=dict)


def parse(xml: str | None) -> Element | None:
    """Root of an OME-XML; None where it is none."""
    try:
        return ElementTree.fromstring(xml) if xml else None
    except ElementTree.ParseError:
        return None


def split_image(path: Path, xml: str | None, wanted: int | None = None) -> SplitImage | None:
    """Find the planes of a file's own image over the files that OME-XML lists.

    Parameters
    ----------
    path : Path
        A file of a set.
    xml : str or None
        Its description.
    wanted : int, optional
        Number of the image, where the file holds several; by default its first.

    Returns
    -------
    SplitImage or None
        None where the file stands alone.

    Raises
    ------
    InputError
        The file is not among those that its description lists, planes are not listed, or a number
        is none.
    """
    root = parse(xml)
    if root is None:
        return None
    uuid = root.get("UUID")
    elsewhere = root.find("{*}BinaryOnly")
    if elsewhere is not None:
        root = _described_elsewhere(path, elsewhere)
        if root is None:
            return None
    entries = list(root.iterfind("{*}Image/{*}Pixels/{*}TiffData/{*}UUID"))
    own = _OwnFile(path, uuid, entries)
    if elsewhere is None and all(own.holds(entry) for entry in entries):
        return None
    try:
        described = [(item, _places(item, own)) for item in root.iterfind("{*}Image/{*}Pixels")]
    except ValueError as error:
        raise InputError(
            f"{path} is one of several files of an OME-TIFF whose metadata cannot be read "
            f"({error}): export it again."
        ) from error
    files = [_files(places) for _, places in described]
    images = {number: held for number, held in enumerate(files) if path in held}
    if not images:
        raise InputError(
            f"{path} is one of several files of an OME-TIFF but not among those that its metadata "
            "lists: expected the names that the files were exported with; rename it back, or "
            "export it again."
        )
    notes: tuple[str, ...] = ()
    if wanted is None and len(images) > 1:
        notes = (one_was_read(path, len(images)),)
    image = _image(own, *described[min(images) if wanted is None else wanted], notes)
    # An image that goes on in a second file is numbered there too if the first holds others.
    beside = Counter(file for held in files for file in held)
    several = any(beside[file] > 1 for held in images.values() for file in held)
    return replace(image, images=images) if several else image


def _files(places: dict[int, tuple[Path | None, int]]) -> tuple[Path, ...]:
    """Files of an image in the order of its planes."""
    found = (places[number][0] for number in sorted(places))
    return tuple(dict.fromkeys(file for file in found if file is not None))


def _described_elsewhere(path: Path, reference: Element) -> Element | None:
    """The description that a file without its own names, where it is there."""
    other = path.with_name(Path(reference.get("MetadataFile", "")).name or path.name)
    try:
        if other.suffix.lower() in (".ome", ".xml"):
            return parse(other.read_text(encoding="utf-8"))
        with tifffile.TiffFile(other) as tif:
            return parse(tif.ome_metadata)
    except (OSError, ValueError):
        # What the file itself holds is right; only its calibration is not known then.
        return None


class _OwnFile:
    """Tells which entries of a description mean the file itself."""

    def __init__(self, path: Path, uuid: str | None, entries: list[Element]) -> None:
        self.path = path
        # A file that was renamed is still known by its identifier.
        self.uuid = uuid if uuid in {entry.text for entry in entries} else None
        self.name = path.name
        self.identifiers: dict[Path, str] = {}
        names = {entry.get("FileName", "") for entry in entries}
        if len(names) == 1:
            self.name = names.pop()

    def holds(self, entry: Element) -> bool:
        if self.uuid is not None:
            return entry.text == self.uuid
        return entry.get("FileName", "") == self.name

    def locate(self, entry: Element | None) -> Path | None:
        """The file of an entry; None where its name cannot be right."""
        if entry is None or self.holds(entry):
            return self.path
        name = Path(entry.get("FileName", "")).name
        if name in ("", self.path.name):
            return None
        file = self.path.with_name(name)
        if self.uuid is not None and entry.text:
            self.identifiers[file] = entry.text
        return file


def _places(pixels: Element, own: _OwnFile) -> dict[int, tuple[Path | None, int]]:
    """File and page of the planes, by their number in the image's order."""
    order, sizes = _order(pixels)
    total = math.prod(sizes.values())
    runs = []
    for data in pixels.iterfind("{*}TiffData"):
        first, step = 0, 1
        for axis in order:
            first += int(data.get(f"First{axis}", 0)) * step
            step *= sizes[axis]
        count = int(data.get("PlaneCount", 1 if "IFD" in data.attrib else total - first))
        runs.append((first, count, int(data.get("IFD", 0)), data.find("{*}UUID")))
    places = {}
    for first, count, page, entry in sorted(runs, key=lambda run: run[0]):
        file = own.locate(entry)
        for number in range(min(count, total - first)):
            places[first + number] = (file, page + number)
    return places


def _order(pixels: Element) -> tuple[str, dict[str, int]]:
    order = pixels.get("DimensionOrder", "XYZCT")[2:]
    return order, {axis: int(pixels.get(f"Size{axis}", 1)) for axis in order}


def _image(
    own: _OwnFile,
    pixels: Element,
    places: dict[int, tuple[Path | None, int]],
    notes: tuple[str, ...],
) -> SplitImage:
    order, sizes = _order(pixels)
    steps, step = {}, 1
    for axis in order:
        steps[axis] = step
        step *= sizes[axis]
    mine = [number for number, (file, _) in places.items() if file == own.path]
    # Of channels and time points only the file's own: those of other files are other stacks.
    times = sorted({number // steps["T"] % sizes["T"] for number in mine})
    channels = sorted({number // steps["C"] % sizes["C"] for number in mine})
    pages: list[tuple[Path, int]] = []
    for t, c, z in product(times, channels, range(sizes["Z"])):
        number = t * steps["T"] + c * steps["C"] + z * steps["Z"]
        file, page = places.get(number, (None, 0))
        if file is None:
            raise InputError(
                f"{own.path} belongs to an OME-TIFF of several files whose metadata does not say "
                f"in which of them plane {z + 1} of {sizes['Z']} lies: expected every plane, under "
                "the names that the files were exported with; rename them back, or export again."
            )
        pages.append((file, page))
    for kept, axis, word in ((channels, "C", "channel"), (times, "T", "time point")):
        if len(kept) == 1 < sizes[axis]:
            notes += (f"{own.path.name}: {word} {kept[0] + 1} of {sizes[axis]} was read.",)
    shape = (len(times), len(channels), sizes["Z"])
    return SplitImage(pixels, shape, tuple(pages), own.identifiers, notes)


def identifier(xml: str | None) -> str | None:
    """What a file is called in OME-XML, whatever its name."""
    root = parse(xml)
    return None if root is None else root.get("UUID")


def plain_unit(unit: object) -> str:
    """A unit of length as in `MICROMETRES`."""
    return str(unit or "").replace("\\u00B5", "µ").strip().lower()


def even_heights(spacing: object, unit: float, count: int) -> tuple[float, ...] | None:
    """Heights of evenly spaced planes in µm; None where the spacing is no length."""
    try:
        step = abs(float(spacing)) * unit  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    if count < 2 or not math.isfinite(step) or step == 0:
        return None
    return tuple(round(index * step, 6) for index in range(count))


def calibration(pixels: Element | None, count: int) -> Calibration:
    """Pixel size (y, x) and heights of `count` planes in µm, as far as OME-XML says."""
    if pixels is None:
        return None, None

    def size(axis: str) -> float | None:
        unit = MICROMETRES.get(plain_unit(pixels.get(f"PhysicalSize{axis}Unit", "µm")))
        try:
            value = float(pixels.get(f"PhysicalSize{axis}", "")) * (unit or math.nan)
        except ValueError:
            return None
        return value if math.isfinite(value) and value > 0 else None

    y, x = size("Y"), size("X")
    pixel_size = (y, x) if y is not None and x is not None else None
    return pixel_size, _heights(pixels, count) or even_heights(size("Z"), 1.0, count)


def _heights(pixels: Element, count: int) -> tuple[float, ...] | None:
    """Stage heights of the planes, where every plane carries one and they differ."""
    heights: dict[int, float] = {}
    for plane in pixels.iterfind("{*}Plane"):
        unit = MICROMETRES.get(plain_unit(plane.get("PositionZUnit", "µm")))
        try:
            heights[int(plane.get("TheZ", ""))] = float(plane.get("PositionZ", "")) * (
                unit or math.nan
            )
        except ValueError:
            return None
    values = tuple(heights.get(index, math.nan) for index in range(count))
    if count < 2 or not all(map(math.isfinite, values)) or len(set(values)) < count:
        return None
    return values
