"""Measure predicted and true stains with the real CellProfiler and compare the features."""

from __future__ import annotations

import csv
import math
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import ExternalToolError, InputError
from napari_fluorgen.measurement.cellprofiler_find import require_cellprofiler
from napari_fluorgen.measurement.cellprofiler_parts import Part, run_together
from napari_fluorgen.measurement.cellprofiler_run import Row, run_pipeline
from napari_fluorgen.measurement.challenge import challenge_style_pipeline
from napari_fluorgen.measurement.feature_error import FeatureScores, columns_of, feature_error
from napari_fluorgen.measurement.names import IMAGE_NAMES
from napari_fluorgen.measurement.pixel_size import DEFAULT_PIXEL_SIZE_UM
from napari_fluorgen.stack import STAINS

Images = Mapping[str, NDArray]
Progress = Callable[[int, int], None]
"""Called with the images measured so far and the images in all, of both sets."""

_SIDES = ("truth", "predicted")
# The challenge's pipeline takes well and field of view from names with 655090 in them.
_FILE = "fluorgen_#655090_A01_T0001F{number:04d}L01A0{channel}Z01C0{channel}.tif"
_FIELD_OF_VIEW = "Metadata_FoV"


@dataclass(frozen=True)
class MeasuredFeatures:
    """What CellProfiler measured on both sets, in the order of the fields.

    Attributes
    ----------
    scores : FeatureScores
        The feature error.
    predicted, truth : dict of str to ndarray, shape (fields,)
        The features themselves.
    fields : tuple of str
        Names of the fields.
    pipeline : str
        Name of the pipeline's file, or ``"challenge-style"`` for the one that comes along.
    """

    scores: FeatureScores
    predicted: dict[str, NDArray[np.float64]]
    truth: dict[str, NDArray[np.float64]]
    fields: tuple[str, ...]
    pipeline: str


def measure_features(
    pairs: Iterable[tuple[str, Images, Images]],
    *,
    cellprofiler: str | Path | None = None,
    pipeline: str | Path | None = None,
    pixel_size_um: float = DEFAULT_PIXEL_SIZE_UM,
    processes: int = 1,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> MeasuredFeatures:
    """Run a pipeline in CellProfiler on predicted and on true stains and compare the features.

    Parameters
    ----------
    pairs : iterable of (name, predicted, truth)
        Stain to image (Y, X) in camera counts, all three stains on both sides; drained one by one.
    cellprofiler : path-like, optional
        As for `locate_cellprofiler`.
    pipeline : path-like, optional
        A ``.cppipe`` file, such as the challenge's own; default: `challenge_style_pipeline`.
        It finds the images by file names that end with ``C01.tif`` (nuclei), ``C02.tif``
        (lipids) and ``C03.tif`` (cytoplasm), or by LoadData under the names Hoechst, Bodipy and
        CellTrackerRed, and must measure each image by itself.
    pixel_size_um : float
        For the default pipeline.
    processes : int
        CellProfiler programs at a time; each takes about 1 GB.

    Raises
    ------
    ExternalToolError
        CellProfiler is missing or failed.
    InputError
        A stain is missing or is not in camera counts; there is no pair.
    Cancelled
        When `should_stop` returned true.
    """
    command = require_cellprofiler(cellprofiler).command
    with tempfile.TemporaryDirectory(prefix="fluorgen-features-") as folder:
        run = FeatureRun(Path(folder), pipeline)
        for name, predicted, truth in pairs:
            run.add(name, predicted, truth)
        return run.measure(
            command,
            pixel_size_um=pixel_size_um,
            processes=processes,
            progress=progress,
            should_stop=should_stop,
        )


class FeatureRun:
    """Fields gathered in a folder, for CellProfiler to measure.

    Parameters
    ----------
    folder : Path
        An empty folder that the caller removes; it takes the images uncompressed.
    pipeline : path-like, optional
        As for `measure_features`.

    Raises
    ------
    InputError
        When `pipeline` cannot be read or is none.
    """

    def __init__(self, folder: Path, pipeline: str | Path | None = None) -> None:
        self.folder = folder
        self.fields: list[str] = []
        self._own = read_pipeline(Path(pipeline)) if pipeline is not None else None
        self._smallest_side: int | None = None
        self._name = Path(pipeline).name if pipeline is not None else "challenge-style"
        for side in _SIDES:
            (folder / side).mkdir(parents=True)

    @property
    def hangs_on_pixel_size(self) -> bool:
        """Whether the pipeline is fluorgen's own, which is written for one pixel size."""
        return self._own is None

    def add(self, name: str, predicted: Images, truth: Images) -> None:
        """Write the stains of one field; raises `InputError` where one is missing or unfit."""
        number = len(self.fields) + 1
        sides = {
            "predicted": _checked(name, "prediction", predicted),
            "truth": _checked(name, "truth", truth),
        }
        self._write(number, sides)
        shortest = min(min(image.shape) for images in sides.values() for image in images.values())
        self._smallest_side = min(self._smallest_side or shortest, shortest)
        self.fields.append(name)

    def _write(self, number: int, sides: Mapping[str, Images]) -> None:
        import tifffile

        for side, images in sides.items():
            for channel, stain in enumerate(STAINS, 1):
                path = self.folder / side / _FILE.format(number=number, channel=channel)
                tifffile.imwrite(path, images[stain], photometric="minisblack", metadata=None)

    def measure(
        self,
        command: tuple[str, ...],
        *,
        pixel_size_um: float = DEFAULT_PIXEL_SIZE_UM,
        processes: int = 1,
        progress: Progress | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> MeasuredFeatures:
        """Measure what was added; parameters and errors are those of `measure_features`."""
        if not self.fields:
            raise InputError("There is no field to measure: give at least one pair of stains.")
        text = self._own or challenge_style_pipeline(
            pixel_size_um, smallest_side=self._smallest_side
        )
        pipeline = self.folder / "pipeline.cppipe"
        pipeline.write_text(text, encoding="utf-8", newline="\n")
        jobs = [
            self._job(side, part, numbers)
            for side in _SIDES
            for part, numbers in enumerate(self._parts(processes))
        ]
        loads = "\nLoadData:[" in text
        rows = _run_all(command, pipeline, jobs, loads, processes, progress, should_stop)
        tables = {}
        for side in _SIDES:
            ordered = [row for job in jobs if job.side == side for row in rows[job.folder]]
            tables[side] = columns_of(ordered)
        scores = feature_error(tables["predicted"], tables["truth"])
        return MeasuredFeatures(
            scores, tables["predicted"], tables["truth"], tuple(self.fields), self._name
        )

    def _parts(self, processes: int) -> list[range]:
        """Split the numbers of the fields so that all processes have work."""
        parts = min(math.ceil(max(processes, 1) / len(_SIDES)), len(self.fields))
        edges = [1 + len(self.fields) * part // parts for part in range(parts + 1)]
        return [range(first, last) for first, last in pairwise(edges)]

    def _job(self, side: str, part: int, numbers: range) -> _Job:
        """Move the images of one process into a folder, with a table that lists them."""
        folder = self.folder / f"{side}-{part}"
        folder.mkdir()
        table = self.folder / f"{side}-{part}.csv"
        with table.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            heads = [f"Image_{kind}_{n}" for n in IMAGE_NAMES.values() for kind in _FILE_COLUMNS]
            writer.writerow([*heads, "Metadata_Well", _FIELD_OF_VIEW])
            for number in numbers:
                row = []
                for channel in range(1, len(STAINS) + 1):
                    name = _FILE.format(number=number, channel=channel)
                    (self.folder / side / name).rename(folder / name)
                    row += [name, str(folder)]
                writer.writerow([*row, "A01", f"F{number:04d}"])
        return _Job(side, folder, table, numbers)


_FILE_COLUMNS = ("FileName", "PathName")


@dataclass(frozen=True)
class _Job:
    side: str
    folder: Path
    table: Path
    numbers: range


def _run_all(
    command: tuple[str, ...],
    pipeline: Path,
    jobs: Sequence[_Job],
    loads: bool,
    processes: int,
    progress: Progress | None,
    should_stop: Callable[[], bool] | None,
) -> dict[Path, list[Row]]:
    """Run the jobs, a few at a time; the first fault or the user's wish ends all of them."""
    total = sum(len(job.numbers) for job in jobs)

    def part(job: _Job) -> Part[list[Row]]:
        def run(tell: Callable[[int], None], stopped: Callable[[], bool]) -> list[Row]:
            rows = run_pipeline(
                command,
                pipeline,
                job.folder,
                job.folder.with_name(f"{job.folder.name}-out"),
                images=len(job.numbers),
                table=job.table if loads else None,
                progress=tell,
                should_stop=stopped,
            )
            return _in_order(rows, job.numbers)

        return Part(len(job.numbers), run)

    if progress is not None:
        progress(0, total)
    steps = run_together([part(job) for job in jobs], processes, should_stop)
    while True:
        try:
            done = next(steps)
        except StopIteration as end:
            return dict(zip((job.folder for job in jobs), end.value, strict=True))
        if progress is not None:
            progress(done, total)


def _in_order(rows: list[Row], numbers: range) -> list[Row]:
    """Return the rows in the order of the fields, by the field of view where the table has it."""
    found = [re.fullmatch(r"F?0*(\d+)(?:\.0)?", row.get(_FIELD_OF_VIEW, "")) for row in rows]
    if not all(found):
        return rows
    by_number = {int(match[1]): row for match, row in zip(found, rows, strict=True) if match}
    if set(by_number) != set(numbers):
        raise ExternalToolError(
            f"The pipeline gave the fields of view {sorted(by_number)} where {numbers[0]} to "
            f"{numbers[-1]} were asked for: let it take all images of its folder."
        )
    return [by_number[number] for number in numbers]


def read_pipeline(path: Path) -> str:
    """Return the text of a CellProfiler pipeline.

    Raises
    ------
    InputError
        When the file is missing or is no pipeline.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"The pipeline {path} cannot be read: give a .cppipe file.") from error
    if not text.startswith("CellProfiler Pipeline"):
        raise InputError(f"{path} is no CellProfiler pipeline: give a .cppipe file.")
    return text


def _checked(name: str, side: str, images: Images) -> dict[str, NDArray[np.uint16]]:
    missing = [stain for stain in STAINS if stain not in images]
    if missing:
        raise InputError(
            f"The {side} of {name} has no {' and no '.join(missing)} stain: the feature error "
            "needs all three."
        )
    return {stain: _counts(name, side, stain, images[stain]) for stain in STAINS}


def _counts(name: str, side: str, stain: str, image: NDArray) -> NDArray[np.uint16]:
    image = np.asarray(image)
    if image.dtype == np.uint16:
        return image
    rounded = np.rint(image.astype(np.float64))
    if not (np.isfinite(rounded).all() and rounded.min() >= 0 and rounded.max() <= 0xFFFF):
        raise InputError(
            f"The {stain} {side} of {name} is not in camera counts (0 to 65535): CellProfiler "
            "measures 16 bit images."
        )
    return rounded.astype(np.uint16)
