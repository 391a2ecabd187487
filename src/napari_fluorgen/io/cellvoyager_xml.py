"""The XML files that a CellVoyager leaves beside its images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

RECORD_SUFFIXES = (".mrf", ".mlf", ".mes")
"""Of the files in which pixel sizes, heights and the light of the channels stand."""

_BTS = "{http://www.yokogawa.co.jp/BTS/BTSSchema/1.0}"


@dataclass(frozen=True)
class PlateMetadata:
    """What the instrument recorded.

    Attributes
    ----------
    pixel_size_um : mapping of int to tuple of float (y, x)
        By channel; from ``MeasurementDetail.mrf``.
    heights : mapping of str to float
        Height of each image in micrometres, by file name; from ``MeasurementData.mlf``.
    transmitted, fluorescence : tuple of int
        Channels that are lit by the lamp, and by lasers only; from the ``.mes`` settings.
    notes : tuple of str
        Files that could not be read.
    """

    pixel_size_um: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    heights: Mapping[str, float] = field(default_factory=dict)
    transmitted: tuple[int, ...] = ()
    fluorescence: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def read_metadata(folder: Path, suffixes: Iterable[str] = RECORD_SUFFIXES) -> PlateMetadata:
    """Read the ``.mrf``, ``.mlf`` and ``.mes`` of a plate as far as they are there and intact."""
    sizes: dict[int, tuple[float, float]] = {}
    heights: dict[str, float] = {}
    lamp: list[int] = []
    laser: list[int] = []
    notes = []
    for suffix in suffixes:
        for path in sorted(folder.glob(f"*{suffix}")):
            if path.name.startswith("."):
                continue
            try:
                if suffix == ".mrf":
                    sizes |= _pixel_sizes(path)
                elif suffix == ".mlf":
                    heights |= _heights(path)
                else:
                    _light(path, lamp, laser)
            except (ElementTree.ParseError, OSError, ValueError) as error:
                notes.append(f"{path.name} could not be read and is ignored ({error}).")
    return PlateMetadata(sizes, heights, tuple(lamp), tuple(laser), tuple(notes))


def _pixel_sizes(path: Path) -> dict[int, tuple[float, float]]:
    sizes = {}
    for channel in ElementTree.parse(path).iter(f"{_BTS}MeasurementChannel"):
        y = float(channel.get(f"{_BTS}VerticalPixelDimension", "nan"))
        x = float(channel.get(f"{_BTS}HorizontalPixelDimension", "nan"))
        if math.isfinite(y) and math.isfinite(x) and y > 0 and x > 0:
            sizes[int(channel.get(f"{_BTS}Ch", "0"))] = (y, x)
    return sizes


def _heights(path: Path) -> dict[str, float]:
    heights = {}
    # A plate has tens of thousands of records: drop each once it is read.
    for _, record in ElementTree.iterparse(path):
        if record.tag == f"{_BTS}MeasurementRecord":
            height = record.get(f"{_BTS}Z")
            if height is not None and record.get(f"{_BTS}Type", "IMG") == "IMG" and record.text:
                heights[record.text.strip()] = float(height)
            record.clear()
    return heights


def _light(path: Path, lamp: list[int], laser: list[int]) -> None:
    root = ElementTree.parse(path).getroot()
    types = {
        source.get(f"{_BTS}Name"): source.get(f"{_BTS}Type", "")
        for source in root.iter(f"{_BTS}LightSource")
    }
    for channel in root.iter(f"{_BTS}Channel"):
        sources = [name.text for name in channel.iter(f"{_BTS}LightSourceName")]
        lit_by = {types.get(source, "") for source in sources}
        number = int(channel.get(f"{_BTS}Ch", "0"))
        if "Lamp" in lit_by:
            lamp.append(number)
        elif lit_by == {"Laser"}:
            laser.append(number)
