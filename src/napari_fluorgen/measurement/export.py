"""A folder that CellProfiler runs as it is: images, masks, tables and pipelines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.io.own_files import list_files, listed_files
from napari_fluorgen.io.results import file_stem, smallest_labels
from napari_fluorgen.measurement.field import confidence_columns, field_images, find_objects
from napari_fluorgen.measurement.input_modules import METADATA_TABLE, input_modules, window_rules
from napari_fluorgen.measurement.names import (
    CONFIDENCE_IMAGE,
    IMAGE_NAMES,
    check_titles,
    metadata,
    sequential,
)
from napari_fluorgen.measurement.objects import DropletSettings
from napari_fluorgen.measurement.pipeline import pipeline_text
from napari_fluorgen.measurement.pixel_size import pipeline_pixel_size
from napari_fluorgen.measurement.writing import CsvTable
from napari_fluorgen.stack import StainedField

PIPELINE = "fluorgen.cppipe"
LOAD_DATA = "load_data.csv"
MASKS_PIPELINE = "fluorgen_masks.cppipe"
WINDOW_PIPELINE = "fluorgen_window.cppipe"
MASKS_LOAD_DATA = "load_data_masks.csv"
OBJECT_TABLE = "nuclei_objects.csv"

_README = """Virtually stained images for CellProfiler 4.2

{how_to_open}
Without a window, from this folder:
    cellprofiler -c -r -p {pipeline} -i . -o ../results
Keep results outside: exporting again replaces this folder, and stops where it finds other files.

{pipeline}      takes the nuclei from masks/, lets CellProfiler find cells and lipid droplets
{masks_pipeline}  takes nuclei, cells and lipid droplets from masks/: the objects that napari shows
{window_pipeline}  the same, for this folder dropped into CellProfiler's window
images/              stains in camera counts (16 bit)
masks/               labels: pixel value = ObjectNumber in CellProfiler's tables
confidence/          p-value of "this pixel belongs to a nucleus" (0 to 1), where the model has one
{objects}   for each nucleus its ObjectNumber, its label in napari and its confidence
{load_data} and {masks_load_data} list the files of each field with plate, well and site

The images are predictions from brightfield, not measured fluorescence.
"""


@dataclass(frozen=True)
class ExportSummary:
    """What `export_cellprofiler` wrote.

    Attributes
    ----------
    folder, pipeline, load_data : Path
        The folder, the pipeline to open, and its table of files.
    n_fields, n_nuclei : int
        Fields and nuclei in the folder.
    how_to_open : str
        One sentence for the user.
    notes : tuple of str
        What to know of the fields, a sentence each.
    """

    folder: Path
    pipeline: Path
    load_data: Path
    n_fields: int
    n_nuclei: int
    how_to_open: str
    notes: tuple[str, ...] = ()


def export_cellprofiler(
    fields: Iterable[StainedField],
    folder: str | Path,
    *,
    overwrite: bool = False,
    droplets: DropletSettings | None = None,
) -> ExportSummary:
    """Write a folder that CellProfiler opens and runs without a change.

    Parameters
    ----------
    fields : iterable of StainedField
        Drained one by one.
    folder : path-like
        Must not exist, or be empty, unless `overwrite` is true; then it is replaced as a whole.
        The folder appears only when it is complete.
    overwrite : bool
        Whether an existing folder may be replaced. One that holds a file which this function did
        not write, such as CellProfiler's output, is left alone.
    droplets : DropletSettings, optional
        How droplets are found; sets the diameters in the pipeline too.

    Returns
    -------
    ExportSummary

    Raises
    ------
    InputError
        No field, a stain that is missing or is not 16 bit, or two fields of one name.
    OutputError
        The folder exists, is not writable, or the disk is full.
    """
    folder = Path(folder)
    settings = droplets or DropletSettings()
    with atomic_path(folder, overwrite, own=listed_files(folder)) as building:
        building.mkdir()
        writer = _Export(building, settings)
        for field in fields:
            writer.add(field)
        how_to_open = _how_to_open(folder)
        notes = writer.finish(how_to_open)
        list_files(building)
    return ExportSummary(
        folder=folder,
        pipeline=folder / PIPELINE,
        load_data=folder / LOAD_DATA,
        n_fields=len(writer.rows),
        n_nuclei=writer.n_nuclei,
        how_to_open=how_to_open,
        notes=tuple(notes),
    )


def _how_to_open(folder: Path) -> str:
    return (
        f"Open {PIPELINE} in CellProfiler (File > Import > Pipeline from File), set the Default "
        f'Input Folder under "View output settings" to {folder.resolve().name}, '
        'and press "Analyze Images".'
    )


class _Export:
    """The folder while it grows, field by field."""

    def __init__(self, folder: Path, settings: DropletSettings) -> None:
        self.folder = folder
        self.settings = settings
        self.rows: list[dict[str, str | int]] = []
        self.n_nuclei = 0
        self.pixel_sizes: list[tuple[float, float] | None] = []
        self.files: set[str] = set()
        self.titles: dict[str, str] = {}
        self.objects = CsvTable(folder / OBJECT_TABLE)
        for name in ("images", "masks"):
            (folder / name).mkdir()

    def add(self, field: StainedField) -> None:
        """Write the files of one field and its row of the LoadData table."""
        check_titles(self.titles, field.identity)
        name = file_stem(field.identity)
        images = field_images(field)
        labels = find_objects(field, ("nuclei", "cells", "droplets"), self.settings)
        self.pixel_sizes.append(field.pixel_size_um)
        row: dict[str, str | int] = {}
        for stain, image_name in IMAGE_NAMES.items():
            counts = np.asarray(field.images[stain])
            if counts.dtype != np.uint16:
                raise InputError(
                    f"Field {field.identity.name}: the {stain} stain is {counts.dtype}, camera "
                    "counts as uint16 were expected."
                )
            file = field.channel_files.get(stain, f"{name}_{stain}.tif")
            self._image(row, image_name, "images", file, counts, field)
        if CONFIDENCE_IMAGE in images:
            (self.folder / "confidence").mkdir(exist_ok=True)
            file = f"{name}_p-nucleus.tif"
            self._image(row, CONFIDENCE_IMAGE, "confidence", file, images[CONFIDENCE_IMAGE], field)
        for object_name, mask in labels.items():
            file = f"{name}_{object_name}.tif"
            # int32 and int64 masks read as zero objects in CellProfiler, without a word.
            self._write("masks", file, smallest_labels(mask), field)
            row[f"Image_ObjectsFileName_{object_name}"] = file
            row[f"Image_ObjectsPathName_{object_name}"] = "masks"
        self.rows.append(row | metadata(field.identity))
        self._add_objects(field)

    def _image(
        self,
        row: dict[str, str | int],
        image_name: str,
        place: str,
        file: str,
        data: NDArray,
        field: StainedField,
    ) -> None:
        self._write(place, file, data, field)
        row[f"Image_FileName_{image_name}"] = file
        row[f"Image_PathName_{image_name}"] = place

    def _write(self, place: str, file: str, data: NDArray, field: StainedField) -> None:
        import tifffile

        if f"{place}/{file}".lower() in self.files:
            raise InputError(
                f"Two fields would write {place}/{file}: export fields with different names."
            )
        self.files.add(f"{place}/{file}".lower())
        options: dict[str, Any] = {}
        if field.pixel_size_um:
            y, x = field.pixel_size_um
            options = {"resolution": (1e4 / x, 1e4 / y), "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(
            self.folder / place / file,
            data,
            compression="zlib",
            photometric="minisblack",
            metadata=None,
            **options,
        )

    def _add_objects(self, field: StainedField) -> None:
        """Add the nuclei's numbers, original labels and confidence."""
        originals = sequential(field.nuclei_labels)[1]
        count = originals.size
        self.n_nuclei += count
        self.objects.append(
            {
                "ImageNumber": np.full(count, len(self.rows)),
                "ObjectNumber": np.arange(1, count + 1),
                **{key: np.full(count, value) for key, value in metadata(field.identity).items()},
                "Label": originals,
                **confidence_columns(field),
            }
        )

    def _diameters(self, pixel: float) -> tuple[int, int]:
        smallest = max(round(self.settings.min_diameter_um / pixel), 2)
        return smallest, max(round(self.settings.max_diameter_um / pixel), smallest + 1)

    def finish(self, how_to_open: str) -> list[str]:
        """Write the LoadData tables, the pipelines and the README; return what to say."""
        if not self.rows:
            raise InputError("There is no stained field to export: stain one first.")
        pixel, notes = pipeline_pixel_size(self.pixel_sizes)
        diameters = self._diameters(pixel)
        if not all(f"Image_FileName_{CONFIDENCE_IMAGE}" in row for row in self.rows):
            # a column must hold for every row: leave it out where some fields have none
            self.rows = [
                {key: value for key, value in row.items() if not key.endswith(CONFIDENCE_IMAGE)}
                for row in self.rows
            ]
        masks_only = ("Cells", "LipidDroplets")
        found = [
            {key: value for key, value in row.items() if not key.endswith(masks_only)}
            for row in self.rows
        ]
        for name, rows in ((LOAD_DATA, found), (MASKS_LOAD_DATA, self.rows)):
            table = CsvTable(self.folder / name)
            table.append({key: np.array([row[key] for row in rows]) for key in rows[0]})
        images = [
            key.removeprefix("Image_FileName_")
            for key in self.rows[0]
            if key.startswith("Image_FileName_")
        ]
        for name, load_data, find in (
            (PIPELINE, LOAD_DATA, True),
            (MASKS_PIPELINE, MASKS_LOAD_DATA, False),
        ):
            text = pipeline_text(images, diameters, load_data=load_data, find_objects=find)
            (self.folder / name).write_text(text, encoding="utf-8", newline="\n")
        self._write_window_pipeline(images, diameters)
        readme = _README.format(
            how_to_open=how_to_open,
            pipeline=PIPELINE,
            masks_pipeline=MASKS_PIPELINE,
            window_pipeline=WINDOW_PIPELINE,
            objects=OBJECT_TABLE,
            load_data=LOAD_DATA,
            masks_load_data=MASKS_LOAD_DATA,
        )
        (self.folder / "README.txt").write_text(readme, encoding="utf-8")
        return notes

    def _write_window_pipeline(self, images: list[str], diameters: tuple[int, int]) -> None:
        """Write the pipeline that takes dropped files, where their names tell fields apart."""
        found = window_rules(self.rows, images)
        if found is None:
            return
        fields, stains, objects = found
        named = ("Plate", "Well", "Site", "Timepoint")
        table = CsvTable(self.folder / METADATA_TABLE)
        table.append(
            {"Field": np.array(fields)}
            | {key: np.array([row[f"Metadata_{key}"] for row in self.rows]) for key in named}
        )
        text = pipeline_text(
            images,
            diameters,
            load_data=input_modules(stains, objects),
            find_objects=False,
        )
        path = self.folder / WINDOW_PIPELINE
        path.write_text(text, encoding="utf-8", newline="\n")
