"""Simulated fields as a plate folder in CellVoyager naming, with their truth."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from napari_fluorgen.errors import ConfigError
from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.io.cellvoyager_write import write_metadata
from napari_fluorgen.io.own_files import list_files, listed_files
from napari_fluorgen.io.results import write_tiff
from napari_fluorgen.simulation.field import SimulatedField, simulate_field
from napari_fluorgen.simulation.presets import Preset
from napari_fluorgen.simulation.wide_presets import WidePreset
from napari_fluorgen.stack import STAINS

_PLATE_NAME = re.compile(r'[^\\/:*?"<>|\x00-\x1f\s.][^\\/:*?"<>|\x00-\x1f]{0,149}')
_SITES_A_WELL = 6
_SOFTWARE = "napari-fluorgen simulation"
_COLUMNS = range(2, 12)
_ROWS = "BCDEFG"
MAX_FIELDS = len(_ROWS) * len(_COLUMNS) * _SITES_A_WELL
"""Fields that one plate holds: the inner 60 wells with six sites each."""


def simulate_fields(
    preset: Preset | WidePreset,
    count: int,
    seed: int,
    shape: tuple[int, int] = (512, 512),
    device: str = "cpu",
) -> Iterator[SimulatedField]:
    """Simulate fields one after another; field i is drawn with ``seed + i``."""
    for index in range(count):
        yield simulate_field(preset, seed + index, shape, device)


def write_plate(
    fields: Iterable[SimulatedField],
    folder: str | Path,
    *,
    plate: str,
    overwrite: bool = False,
) -> Path:
    """Write fields with planes C04 Z01 on, true stains C01-C03 and ``labels/``.

    The folder ``labels`` has ``*_nuclei.tif`` and ``*_defects.tif`` of each field, and
    ``heights.csv`` with the true heights of each field's planes; the plate's metadata has the
    nominal ones.

    Parameters
    ----------
    fields : iterable of SimulatedField
        At most `MAX_FIELDS`, all of one pixel size.
    folder : str or Path
        The plate folder; it appears only when all is written.
    plate : str
        Plate name in the file names.
    overwrite : bool
        Whether an older folder may be replaced. One that holds a file which this function did
        not write is left alone.

    Raises
    ------
    ConfigError
        If files cannot be named by the plate.
    OutputError
        If the folder exists, holds something else than such a plate, or cannot be written.
    """
    if not _PLATE_NAME.fullmatch(plate):
        raise ConfigError(
            f"'{plate}' cannot name a plate: file names begin with it, so use up to 150 characters "
            'without \\ / : * ? " < > |, the first one no dot or blank.'
        )
    folder = Path(folder)
    with atomic_path(folder, overwrite, own=listed_files(folder)) as temporary:
        (temporary / "labels").mkdir(parents=True)
        heights: list[tuple[str, tuple[float, ...]]] = []
        for index, field in enumerate(fields):
            pixel = (field.pixel_size_um, field.pixel_size_um)
            write = partial(write_tiff, pixel_size_um=pixel, software=_SOFTWARE)
            stem = _stem(plate, index)
            for number, plane in enumerate(field.brightfield, start=1):
                write(temporary / f"{stem}A04Z{number:02d}C04.tif", plane)
            for channel, stain in enumerate(STAINS, start=1):
                name = f"{stem}A{channel:02d}Z01C{channel:02d}.tif"
                write(temporary / name, field.stains[stain])
            write(temporary / "labels" / f"{stem}_nuclei.tif", field.nuclei_labels)
            write(temporary / "labels" / f"{stem}_defects.tif", field.defects)
            z_um = field.nominal_z_um
            heights.append((stem, field.z_um))
        lines = [",".join([stem, *(f"{z:.3f}" for z in planes)]) for stem, planes in heights]
        heights_file = temporary / "labels" / "heights.csv"
        heights_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        write_metadata(temporary, pixel_size_um=pixel, z_um=z_um)
        list_files(temporary)
    return folder


def _stem(plate: str, index: int) -> str:
    well, site = divmod(index, _SITES_A_WELL)
    row, column = divmod(well, len(_COLUMNS))
    return f"{plate}_{_ROWS[row]}{_COLUMNS[column]:02d}_T0001F{site + 1:03d}L01"
