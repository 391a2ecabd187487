"""Run the real CellProfiler, an outside program, and judge by its tables whether it worked."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

from napari_fluorgen.errors import ExternalToolError
from napari_fluorgen.measurement.cellprofiler_find import ENVIRONMENT_VARIABLE, clean_environment
from napari_fluorgen.measurement.processes import Running, follow, started

Row = dict[str, str]

_STALLED_S = 1800.0
_IMAGE = re.compile(r"Image # (\d+),")
_FAULT = re.compile(r"^(?:[A-Za-z_.]*\.)?[A-Z][A-Za-z]*(?:Error|Exception)\b.*", re.MULTILINE)
_UNKNOWN_MODULE = re.compile(r"Could not find the (\w+) module")
_FAILED_MODULE = re.compile(r"Error detected during run of module (\w+)")
_HARMLESS = ("MySQLdb", "wx")


def run_pipeline(
    command: tuple[str, ...],
    pipeline: Path,
    folder: Path,
    output: Path,
    *,
    images: int,
    first: int | None = None,
    table: Path | None = None,
    plugins: Path | None = None,
    progress: Callable[[int], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Row]:
    """Run a pipeline without a window and return the rows of its image table.

    Parameters
    ----------
    command : tuple of str
        From `find_cellprofiler`.
    pipeline : Path
        The ``.cppipe`` file.
    folder : Path
        Default input folder; the pipeline may write below it.
    output : Path
        Default output folder, made where it is missing; the log ``cellprofiler.log`` goes there.
    images : int
        Image sets that must be measured.
    first : int, optional
        Measure `images` image sets from this one on, which counts from 1, and no others.
    table : Path, optional
        LoadData table, for pipelines that start with LoadData.
    plugins : Path, optional
        Folder of modules that do not come with CellProfiler.
    progress : callable, optional
        Called with the number of image sets finished.
    should_stop : callable, optional
        Asked several times a second; true ends CellProfiler.

    Returns
    -------
    list of dict of str to str
        In the order of ``ImageNumber``.

    Raises
    ------
    ExternalToolError
        CellProfiler cannot be started, stops, hangs, leaves out images or fails on some. Its exit
        status is not asked: it is 0 in many of these cases.
    Cancelled
        When `should_stop` returned true.
    """
    output.mkdir(parents=True, exist_ok=True)
    log = output / "cellprofiler.log"
    arguments: list[str | Path] = ["-c", "-r", "-p", pipeline, "-i", folder, "-o", output]
    if table is not None:
        arguments += ["--data-file", table]
    if plugins is not None:
        arguments += ["--plugins-directory", plugins]
    if first is not None:
        arguments += ["-f", str(first), "-l", str(first + images - 1)]
    # without --always-continue a damaged image ends the run, which the rows show
    log.write_bytes(b"")
    try:
        with started([*command, *arguments], log, clean_environment()) as running:
            done = _watch(running, first or 1, progress, should_stop)
    except OSError as error:
        raise ExternalToolError(
            f"CellProfiler cannot be started ({command[0]}: {error.strerror or error}): "
            f"check {ENVIRONMENT_VARIABLE}."
        ) from error
    status = running.process.returncode
    if status < 0:
        raise ExternalToolError(
            f"CellProfiler was ended from outside after {done} of {images} images (signal "
            f"{-status}, as by a system that is short of memory): run fewer processes "
            "at a time, or start again."
        )
    return _judge(pipeline, folder, output, log, images)


def _watch(
    running: Running,
    first: int,
    progress: Callable[[int], None] | None,
    should_stop: Callable[[], bool] | None,
) -> int:
    """Wait for the end and return the number of image sets that were finished by then."""
    done = 0
    for text in follow(
        running,
        should_stop,
        stopped="CellProfiler was stopped; its numbers are not complete.",
        stalled=_silent,
        stalled_s=_STALLED_S,
    ):
        numbers = _IMAGE.findall(text)
        # an image is finished when the log names the next one
        if numbers and int(numbers[-1]) - first > done:
            done = int(numbers[-1]) - first
            if progress is not None:
                progress(done)
    return done


def _silent() -> ExternalToolError:
    return ExternalToolError(
        f"CellProfiler has said nothing for {_STALLED_S / 60:.0f} minutes and was ended: "
        "run the pipeline in its window to see where it hangs."
    )


def _judge(pipeline: Path, folder: Path, output: Path, log: Path, images: int) -> list[Row]:
    """Return the rows of the image table when every image was measured."""
    text = log.read_text(encoding="utf-8", errors="replace")
    unknown = _UNKNOWN_MODULE.search(text)
    if unknown:
        raise ExternalToolError(
            f"This CellProfiler does not have the module {unknown[1]} of {pipeline.name}, and "
            "measured nothing: put the module's file into its folder of plugins."
        )
    path = image_table(output) or image_table(folder)
    reason = _reason(text)
    if path is None:
        raise ExternalToolError(
            f"CellProfiler wrote no table of images{reason}: check that the pipeline ends with "
            "ExportToSpreadsheet and runs in CellProfiler's window."
        )
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    if len(rows) != images:
        raise ExternalToolError(
            f"CellProfiler measured {len(rows)} of {images} images{reason}: run the pipeline in "
            "its window on these images to see why."
        )
    failed = sorted(
        {
            name.removeprefix("ModuleError_")
            for row in rows
            for name, value in row.items()
            if name.startswith("ModuleError_") and value not in ("0", "0.0", "")
        }
    )
    if failed:
        raise ExternalToolError(
            f"Modules of CellProfiler failed on some images ({', '.join(failed)}){reason}: run the "
            "pipeline in its window on these images to see why."
        )
    return sorted(rows, key=lambda row: float(row["ImageNumber"]))


def image_table(folder: Path) -> Path | None:
    """Find the table with a row an image; pipelines choose its folder and the start of its name."""
    for path in sorted(folder.rglob("*Image.csv")):
        with path.open(newline="", encoding="utf-8") as stream:
            header = next(csv.reader(stream), [])
        if "ImageNumber" in header and "ObjectNumber" not in header:
            return path
    return None


def _reason(text: str) -> str:
    """Return the module that failed and the last fault in the log, in brackets."""
    faults = [line for line in _FAULT.findall(text) if not any(word in line for word in _HARMLESS)]
    modules = _FAILED_MODULE.findall(text)
    reason = ": ".join([*modules[-1:], *(fault.strip() for fault in faults[-1:])])
    return f" ({reason[:300]})" if reason else ""
