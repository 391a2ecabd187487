"""Measure an exported folder with the real CellProfiler, by several programs at a time."""

from __future__ import annotations

import csv
import hashlib
import math
import shutil
import struct
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_fluorgen.errors import ExternalToolError, InputError
from napari_fluorgen.io.atomic import check_replaceable, ensure_folder
from napari_fluorgen.io.own_files import listed_files
from napari_fluorgen.measurement.cellprofiler_find import CellProfiler, require_cellprofiler
from napari_fluorgen.measurement.cellprofiler_gather import (
    COMPLETE,
    FILES,
    gather_files,
    gather_log,
    gather_masks,
    gather_tables,
)
from napari_fluorgen.measurement.cellprofiler_parts import Part, run_together
from napari_fluorgen.measurement.cellprofiler_run import image_table, run_pipeline
from napari_fluorgen.measurement.cppipe import insert_before_last, save_masks
from napari_fluorgen.measurement.export import LOAD_DATA, OBJECT_TABLE, PIPELINE
from napari_fluorgen.measurement.feature_run import read_pipeline
from napari_fluorgen.measurement.names import IMAGE_NAMES, MASKS, OBJECT_NAMES
from napari_fluorgen.measurement.single_cells import TABLE

Row = dict[str, str]

# CellProfiler writes its tables at the end: a program that is killed loses no more than this.
_MOST_IMAGES = 8
_PARTS = ".cellprofiler-parts"
_FOUND = ("Cells", "Cytoplasm", "LipidDroplets")


@dataclass(frozen=True)
class CellProfilerResult:
    """What CellProfiler measured.

    Attributes
    ----------
    tables : dict of str to Path
        ``"Image"``, ``"Nuclei"`` ... to CSV files, named as those of the built-in engine.
    masks : dict of str to dict of str to Path
        Field name -> object name -> label image, 16 bit; pixel value = ``ObjectNumber``. Those
        that CellProfiler found itself; empty for a pipeline of one's own.
    objects : dict of str to int
        Objects in all fields.
    fields : tuple of str
        In the order of ``ImageNumber``.
    cellprofiler : CellProfiler
        The program that measured.
    notes : tuple of str
        Sentences for the user.
    """

    tables: dict[str, Path]
    masks: dict[str, dict[str, Path]]
    objects: dict[str, int]
    fields: tuple[str, ...]
    cellprofiler: CellProfiler
    notes: tuple[str, ...] = ()


def run_cellprofiler(
    folder: str | Path,
    output: str | Path,
    *,
    executable: str | Path | None = None,
    pipeline: str | Path | None = None,
    processes: int = 2,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> CellProfilerResult:
    """Measure what `export_cellprofiler` wrote with the real CellProfiler.

    What is finished is kept when CellProfiler fails, is killed or is stopped: the same call goes
    on there. Tables appear only when every image is measured.

    Parameters
    ----------
    folder : path-like
        Written by `export_cellprofiler`.
    output : path-like
        Folder of the tables and masks.
    executable : path-like, optional
        As for `locate_cellprofiler`.
    pipeline : path-like, optional
        A ``.cppipe`` of one's own that begins with LoadData; default: that of the folder, which
        then also writes its cells, cytoplasm and lipid droplets as masks.
    processes : int
        CellProfiler programs at a time; each takes about 1 GB.
    overwrite : bool
        Whether tables and masks of an earlier run may be replaced.
    progress : callable, optional
        Called with the image sets measured and the image sets in all.
    should_stop : callable, optional
        Asked several times a second; true ends CellProfiler.

    Raises
    ------
    ExternalToolError
        CellProfiler is missing, failed, or did not measure every image and nucleus.
    InputError
        The folder is none of ours, or a file is missing in it.
    OutputError
        A table exists, or cannot be written.
    Cancelled
        When `should_stop` returned true.
    """
    steps = cellprofiler_steps(
        folder,
        output,
        executable=executable,
        own=None if pipeline is None else own_pipeline(pipeline),
        processes=processes,
        overwrite=overwrite,
        should_stop=should_stop,
    )
    while True:
        try:
            done, total = next(steps)
        except StopIteration as end:
            return end.value
        if progress is not None:
            progress(done, total)


def cellprofiler_steps(
    folder: str | Path,
    output: str | Path,
    *,
    executable: str | Path | None = None,
    own: str | None = None,
    processes: int = 2,
    overwrite: bool = False,
    should_stop: Callable[[], bool] | None = None,
) -> Generator[tuple[int, int], None, CellProfilerResult]:
    """Do what `run_cellprofiler` does and yield (image sets measured, in all) on the way.

    `own` is the text of a pipeline of one's own, from `own_pipeline`.
    """
    folder, output = Path(folder).absolute(), Path(output).absolute()
    found = require_cellprofiler(executable)
    check_outputs(output, overwrite)
    rows = _read_rows(folder)
    text = read_pipeline(folder / PIPELINE) if own is None else own
    if own is None:
        # the pipeline that a person opens does not write masks; ours brings them back
        modules = [m for name in _FOUND for m in save_masks(name, IMAGE_NAMES["nuclei"], MASKS)]
        text = insert_before_last(text, modules)
    work = ensure_folder(output / _PARTS)
    (work / "pipeline.cppipe").write_text(text, encoding="utf-8", newline="\n")
    run = _Run(found, folder, work, work / "pipeline.cppipe", rows)
    ranges = _split(len(rows), processes)
    yield 0, len(rows)
    parts = [Part(len(numbers), run.part(numbers)) for numbers in ranges]
    steps = run_together(parts, processes, should_stop, finish_started=True)
    try:
        while True:
            try:
                yield next(steps), len(rows)
            except StopIteration as end:
                places: list[Path] = end.value
                break
    finally:
        steps.close()
    notes, masks = [], {}
    if own is None:
        _check_nuclei(folder, rows, places)
        wrapped = _wrapped(rows, places)
        masks = gather_masks(places, rows, output, wrapped)
        notes = [
            f"{field} has more than 65,535 {name}, which CellProfiler's masks cannot number: "
            "there is no mask of them."
            for field, name in sorted(wrapped)
        ]
    exported = folder / OBJECT_TABLE
    tables, objects = gather_tables(places, exported, output, overwrite, should_stop)
    files = gather_files(places, output, masks=own is not None)
    if files:
        notes.append(f"The pipeline saved {len(files)} other files: they are in {output / FILES}.")
    gather_log(places, output / "cellprofiler.log")
    shutil.rmtree(work, ignore_errors=True)
    fields = tuple(row["Metadata_Field"] for row in rows)
    return CellProfilerResult(tables, masks, objects, fields, found, tuple(notes))


def own_pipeline(path: str | Path) -> str:
    """Return the text of a pipeline of one's own.

    Raises
    ------
    InputError
        The file cannot be read, is no pipeline or does not begin with LoadData.
    """
    text = read_pipeline(Path(path))
    if "\nLoadData:[" not in text:
        raise InputError(
            f"{path} does not begin with LoadData, which hands the images over: save the pipeline "
            f"with LoadData as its first module, as in the {PIPELINE} of an export."
        )
    return text


def check_outputs(output: Path, overwrite: bool) -> None:
    """Refuse, before hours of work, what would refuse to be written.

    Raises
    ------
    OutputError
        A table of an earlier run is there and `overwrite` is false, or somebody has put files
        among the masks or other files of that run.
    """
    for name in (f"{name}.csv" for name in ("Image", *OBJECT_NAMES.values(), TABLE)):
        check_replaceable(output / name, overwrite)
    for name in (MASKS, FILES):
        check_replaceable(output / name, overwrite, listed_files(output / name))


@dataclass(frozen=True)
class _Run:
    """One way of measuring a folder, for the parts to share."""

    found: CellProfiler
    folder: Path
    work: Path
    pipeline: Path
    rows: list[Row]

    def part(self, numbers: range) -> Callable[[Callable[[int], None], Callable[[], bool]], Path]:
        def run(tell: Callable[[int], None], stopped: Callable[[], bool]) -> Path:
            place = self.work / self._digest(numbers)
            if (place / COMPLETE).is_file():
                return place
            shutil.rmtree(place, ignore_errors=True)
            run_pipeline(
                self.found.command,
                self.pipeline,
                self.folder,
                place,
                images=len(numbers),
                first=numbers[0],
                progress=tell,
                should_stop=stopped,
            )
            (place / COMPLETE).touch()
            return place

        return run

    def _digest(self, numbers: range) -> str:
        """Name the work by all that goes into it, so that only the same is taken up again."""
        digest = hashlib.sha256(repr((self.found.version, numbers)).encode())
        digest.update(self.pipeline.read_bytes())
        for number in numbers:
            row = self.rows[number - 1]
            digest.update(repr(sorted(row.items())).encode())
            for path in _files(self.folder, row):
                digest.update(path.read_bytes())
        return f"{numbers[0]:05d}-{digest.hexdigest()[:16]}"


def _split(images: int, processes: int) -> list[range]:
    size = max(1, min(math.ceil(images / max(processes, 1)), _MOST_IMAGES))
    return [range(first, min(first + size, images + 1)) for first in range(1, images + 1, size)]


def _read_rows(folder: Path) -> list[Row]:
    """Read the LoadData table and check that its files are there."""
    table = folder / LOAD_DATA
    if not table.is_file():
        raise InputError(
            f"{folder} is no folder for CellProfiler, it has no {LOAD_DATA}: name one that "
            "`fluorgen export-cellprofiler` wrote."
        )
    with table.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        for path in _files(folder, row):
            if not path.is_file():
                raise InputError(
                    f"{path} is missing, which {table} lists for the field "
                    f"{row['Metadata_Field']}: export the fields again."
                )
            _check_image(path)
    return rows


def _check_image(path: Path) -> None:
    """Refuse a damaged image, whose missing pixels CellProfiler may take for 0 without a word."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages[0]
            ends = map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))
            sound = max(ends, default=0) <= file.filehandle.size
    except (tifffile.TiffFileError, IndexError, ValueError, struct.error):
        sound = False
    if not sound:
        raise InputError(f"{path} is cut short or damaged: export the fields again.")


def _files(folder: Path, row: Row) -> list[Path]:
    return [
        folder / row[name.replace("FileName", "PathName")] / value
        for name, value in row.items()
        if "FileName_" in name
    ]


def _image_rows(places: Sequence[Path]) -> Iterator[Row]:
    for place in places:
        table = image_table(place)
        if table is None:
            raise ExternalToolError(f"The table of images in {place} is gone: measure again.")
        with table.open(newline="", encoding="utf-8") as stream:
            yield from csv.DictReader(stream)


def _check_nuclei(folder: Path, rows: Sequence[Row], places: Sequence[Path]) -> None:
    """Compare the nuclei that CellProfiler counted with those that were exported."""
    exported = dict.fromkeys(range(1, len(rows) + 1), 0)
    with (folder / OBJECT_TABLE).open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            exported[int(row["ImageNumber"])] += 1
    for row in _image_rows(places):
        number, count = int(float(row["ImageNumber"])), float(row["Count_Nuclei"])
        if count != exported[number]:
            raise ExternalToolError(
                f"CellProfiler counted {count:g} nuclei in the field "
                f"{rows[number - 1]['Metadata_Field']}, {exported[number]} were exported: "
                "please report it with the log."
            )


def _wrapped(rows: Sequence[Row], places: Sequence[Path]) -> set[tuple[str, str]]:
    """Fields and objects with more numbers than CellProfiler's 16-bit masks hold."""
    return {
        (rows[int(float(row["ImageNumber"])) - 1]["Metadata_Field"], name)
        for row in _image_rows(places)
        for name in _FOUND
        if float(row[f"Count_{name}"]) > 0xFFFF
    }
