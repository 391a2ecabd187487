"""Plates of a Yokogawa CellVoyager: one TIFF a plane, named by well, site, plane and channel.

``AssayPlate_Greiner_#655090_D04_T0001F001L01A04Z01C04.tif`` is plate, well, time point, field of
view (site), timeline, action, plane, channel. Plate names contain ``#``, ``_`` and spaces, so names
are read from the right.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.cellvoyager_xml import PlateMetadata, read_metadata
from napari_fluorgen.io.files import natural_key, some_names
from napari_fluorgen.io.plate import FieldEntry, Plate
from napari_fluorgen.stack import STAINS, FieldIdentity

BRIGHTFIELD_CHANNEL = 4

_NAME = re.compile(
    r"(?P<stem>(?P<plate>.+)_(?P<well>[A-Z]{1,2}\d{2})_T(?P<time>\d{4})F(?P<site>\d{3,4})L\d{2,3})"
    r"A(?P<action>\d{2,3})Z(?P<plane>\d{2,3})C(?P<channel>\d{2,3})(?P<suffix>\.tiff?)",
    re.IGNORECASE,
)
# Dark and shading references that the instrument leaves beside the images.
_REFERENCE = re.compile(r"(DC|SC)_.*\.tiff?$", re.IGNORECASE)


@dataclass(frozen=True)
class PlaneName:
    """A file name of the instrument, taken apart.

    `stem` is all before the action: the name of the field.
    """

    stem: str
    plate: str
    well: str
    timepoint: int
    site: int
    action: int
    plane: int
    channel: int
    suffix: str

    def sibling(self, action: int, plane: int, channel: int) -> str:
        """Name of another image of the same field."""
        return f"{self.stem}A{action:02d}Z{plane:02d}C{channel:02d}{self.suffix}"


def parse_name(name: str) -> PlaneName | None:
    """Take a file name apart; None where it is not the instrument's."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    return PlaneName(
        stem=found["stem"],
        plate=found["plate"],
        well=found["well"].upper(),
        timepoint=int(found["time"]),
        site=int(found["site"]),
        action=int(found["action"]),
        plane=int(found["plane"]),
        channel=int(found["channel"]),
        suffix=found["suffix"],
    )


def is_plate_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a folder holds at least one file named by a CellVoyager; never raises."""
    try:
        with os.scandir(path) as items:
            return any(_NAME.fullmatch(item.name) for item in items)
    except OSError:
        return False


def read_plate(folder: str | os.PathLike[str], *, brightfield_channel: int | None = None) -> Plate:
    """Index a plate by its file names; no pixels are read.

    Parameters
    ----------
    folder : path-like
        Folder with the images and, where present, ``MeasurementData.mlf``,
        ``MeasurementDetail.mrf`` and the ``.mes`` settings.
    brightfield_channel : int, optional
        Number of the brightfield channel; by default the one that the settings light with the
        lamp, else C04, else the only channel with several planes.

    Returns
    -------
    Plate
        With its holes listed in `notes`.

    Raises
    ------
    InputError
        No folder, no files of the instrument, or no brightfield channel.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: expected the folder of a CellVoyager plate.")
    try:
        names = sorted(item.name for item in os.scandir(folder) if not item.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}.") from error
    parsed = {name: found for name in names if (found := parse_name(name)) is not None}
    if not parsed:
        raise InputError(
            f"{folder} has no CellVoyager images (names like "
            "Plate_D04_T0001F001L01A04Z01C04.tif): choose the folder that holds them."
        )
    metadata = read_metadata(folder)
    notes = list(metadata.notes)
    channel = _brightfield(folder, parsed.values(), metadata, brightfield_channel, notes)
    fields = _group(folder, parsed, channel, metadata)
    # First what is missing: where no field is whole, the first note says why.
    notes[:0] = [entry.describe_missing() for entry in fields if entry.missing]
    numbers = {n for entry in fields for n in (*entry.plane_numbers, *entry.missing)}
    if absent := sorted(set(range(1, max(numbers))) - numbers):
        notes.append(f"No field has {', '.join(f'Z{n:02d}' for n in absent)}.")
    notes += _missing_sites(fields)
    others = [
        name
        for name in names
        if name not in parsed
        and name.lower().endswith((".tif", ".tiff", ".png"))
        and not _REFERENCE.match(name)
    ]
    if others:
        notes.append(f"Left out, not named as images of the plate: {some_names(others)}.")
    plates = list(dict.fromkeys(entry.identity.plate or "" for entry in fields))
    return Plate(" + ".join(plates), folder, tuple(fields), tuple(notes))


def _brightfield(
    folder: Path,
    parsed: Iterable[PlaneName],
    metadata: PlateMetadata,
    wanted: int | None,
    notes: list[str],
) -> int:
    planes = defaultdict(set)
    for name in parsed:
        planes[name.channel].add(name.plane)
    found = ", ".join(f"C{channel:02d}" for channel in sorted(planes))
    if wanted is not None:
        if wanted not in planes:
            raise InputError(f"{folder} has no channel C{wanted:02d}: it has {found}.")
        return wanted
    lamp = [channel for channel in metadata.transmitted if channel in planes]
    if lamp:
        if lamp[0] != BRIGHTFIELD_CHANNEL:
            notes.append(f"C{lamp[0]:02d} was read as brightfield: its light source is the lamp.")
        return lamp[0]
    if BRIGHTFIELD_CHANNEL in planes:
        return BRIGHTFIELD_CHANNEL
    stacks = [channel for channel, numbers in planes.items() if len(numbers) > 1]
    if len(stacks) == 1 and stacks[0] not in metadata.fluorescence:
        notes.append(f"C{stacks[0]:02d} was read as brightfield: no other has several planes.")
        return stacks[0]
    raise InputError(
        f"{folder} has no brightfield channel: expected planes of C04, found {found}; choose a "
        "plate with a brightfield z-stack, or name its channel."
    )


def _group(
    folder: Path, parsed: Mapping[str, PlaneName], channel: int, metadata: PlateMetadata
) -> list[FieldEntry]:
    groups: dict[str, list[tuple[str, PlaneName]]] = defaultdict(list)
    for text, name in parsed.items():
        groups[name.stem].append((text, name))
    expected = _expected_planes(groups.values(), channel)
    entries = [_entry(folder, group, channel, expected, metadata) for group in groups.values()]

    def order(entry: FieldEntry) -> tuple[object, ...]:
        identity = entry.identity
        well = identity.well or ""
        return (len(well), well, identity.site, identity.timepoint, natural_key(identity.name))

    return sorted(entries, key=order)


def _series(group: list[tuple[str, PlaneName]], channel: int) -> tuple[dict[int, str], list[str]]:
    """A field's planes of a channel by number, and the files that belong to another series.

    Of several actions that image the channel, the one with most planes took the focus series.
    """
    mine = [(text, name) for text, name in group if name.channel == channel]
    depth = Counter(name.action for name in {replace(name, suffix="") for _, name in mine})
    endings = Counter(name.suffix for _, name in mine)
    mine.sort(key=lambda item: (-depth[item[1].action], item[1].action, -endings[item[1].suffix]))
    planes: dict[int, str] = {}
    left = []
    for text, name in mine:
        if name.action != mine[0][1].action or name.plane in planes:
            left.append(text)
        else:
            planes[name.plane] = text
    return planes, left


def _expected_planes(groups: Iterable[list[tuple[str, PlaneName]]], channel: int) -> set[int]:
    """Plane numbers that a whole field has: those that at least half of the fields have.

    Each number is voted on by itself: every field may have lost another plane.
    """
    found = [set(_series(group, channel)[0]) for group in groups]
    imaged = sum(map(bool, found))
    votes = Counter(plane for planes in found for plane in planes)
    expected = {plane for plane, count in votes.items() if 2 * count >= imaged} or set(votes)
    if not expected:
        return set()
    # A number that no field has was left out on purpose, unless there is but one field to tell by.
    if len(found) == 1:
        expected |= set(range(1, max(expected)))
    return expected


def _entry(
    folder: Path,
    group: list[tuple[str, PlaneName]],
    channel: int,
    expected: set[int],
    metadata: PlateMetadata,
) -> FieldEntry:
    first = group[0][1]
    planes, left = _series(group, channel)
    stains: dict[str, list[tuple[str, PlaneName]]] = defaultdict(list)
    notes = []
    if left:
        notes.append(f"Left out, beside the brightfield series of its field: {some_names(left)}.")
    for text, name in group:
        if name.channel != channel and 1 <= name.channel <= len(STAINS):
            stains[STAINS[name.channel - 1]].append((text, name))
    truth = {}
    channel_files = {}
    for number, stain in enumerate(STAINS, start=1):
        channel_files[stain] = first.sibling(number, 1, number)
        files = stains.get(stain, [])
        if len(files) == 1:
            channel_files[stain] = files[0][0]
            truth[stain] = folder / files[0][0]
        elif files:
            notes.append(f"C{number:02d} has {len(files)} planes: no true {stain} stain is read.")
    if surplus := sorted(planes.keys() - expected):
        names = ", ".join(f"Z{number:02d}" for number in surplus)
        notes.append(f"{first.stem}: {names} left out, which most fields of the plate lack.")
    numbers = tuple(sorted(planes.keys() & expected))
    heights = [metadata.heights.get(planes[number]) for number in numbers]
    z_um = tuple(height for height in heights if height is not None)
    return FieldEntry(
        identity=FieldIdentity(first.stem, first.plate, first.well, first.site, first.timepoint),
        planes=tuple(folder / planes[number] for number in numbers),
        plane_numbers=numbers,
        missing=tuple(sorted(expected - set(numbers))),
        truth=truth,
        channel_files=channel_files,
        z_um=z_um if z_um and len(z_um) == len(numbers) == len(set(z_um)) else None,
        pixel_size_um=metadata.pixel_size_um.get(channel),
        notes=tuple(notes),
    )


def _missing_sites(fields: list[FieldEntry]) -> list[str]:
    """Sentences on sites that some wells have and others lack."""
    sites = {entry.identity.site for entry in fields}
    notes = []
    for well in dict.fromkeys(entry.identity.well for entry in fields):
        here = {entry.identity.site for entry in fields if entry.identity.well == well}
        lacking = sorted(site for site in sites - here if site is not None)
        if lacking:
            notes.append(f"Well {well} lacks the sites {', '.join(map(str, lacking))}.")
    return notes
