"""Run the real CellProfiler, an outside program, and judge by its tables whether it worked."""

from __future__ import annotations

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from napari_fluorgen.errors import Cancelled, ExternalToolError

ENVIRONMENT_VARIABLE = "FLUORGEN_CELLPROFILER"
"""Names the program ``cellprofiler`` or the python that it is installed in."""

Row = dict[str, str]

_POLL_S = 0.2
_STALLED_S = 1800.0
_IMAGE = re.compile(r"Image # (\d+),")
_FAULT = re.compile(r"^(?:[A-Za-z_.]*\.)?[A-Z][A-Za-z]*(?:Error|Exception)\b.*", re.MULTILINE)
_HARMLESS = ("MySQLdb", "wx")
# What belongs to the environment that runs us and would break the one of CellProfiler.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def find_cellprofiler(program: str | Path | None = None) -> tuple[str, ...] | None:
    """Return the command that starts CellProfiler, or None where there is none.

    Parameters
    ----------
    program : path-like, optional
        The program, or the python it is installed in; without it ``FLUORGEN_CELLPROFILER``
        and then PATH are asked.

    Raises
    ------
    ExternalToolError
        When what `program` or ``FLUORGEN_CELLPROFILER`` names does not exist.
    """
    named = program or os.environ.get(ENVIRONMENT_VARIABLE)
    if not named:
        found = shutil.which("cellprofiler")
        return (found,) if found else None
    found = shutil.which(str(Path(named).expanduser()))
    if found is None:
        where = "" if program else f"{ENVIRONMENT_VARIABLE} says "
        raise ExternalToolError(
            f"{where}{named} is no program: give the path of CellProfiler 4.2, for example "
            "/opt/cellprofiler/bin/cellprofiler."
        )
    # not resolved: the python of an environment is a link, and finds its packages by the link
    if Path(found).stem.lower().startswith("python"):
        return (found, "-m", "cellprofiler")
    return (found,)


def run_pipeline(
    command: tuple[str, ...],
    pipeline: Path,
    folder: Path,
    output: Path,
    *,
    images: int,
    table: Path | None = None,
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
    table : Path, optional
        LoadData table, for pipelines that start with LoadData.
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
    arguments = ["-c", "-r", "-p", pipeline, "-i", folder, "-o", output]
    if table is not None:
        arguments += ["--data-file", table]
    # without --always-continue a damaged image ends the run, which the rows show
    with log.open("wb") as stream:
        try:
            process = subprocess.Popen(
                [*command, *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=_environment(os.environ),
                cwd=output,
                start_new_session=True,
            )
        except OSError as error:
            raise ExternalToolError(
                f"CellProfiler cannot be started ({command[0]}: {error.strerror or error}): "
                f"check {ENVIRONMENT_VARIABLE}."
            ) from error
        try:
            _watch(process, log, progress, should_stop)
        finally:
            _end(process)
    return _judge(folder, output, log, images)


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in ours.items() if name not in _FOREIGN}
    # several processes share the cores, and texture takes 70 times longer with many BLAS threads
    return kept | {"PYTHONUTF8": "1"} | dict.fromkeys(_THREADS, "1")


def _watch(
    process: subprocess.Popen[bytes],
    log: Path,
    progress: Callable[[int], None] | None,
    should_stop: Callable[[], bool] | None,
) -> None:
    size, changed, done = 0, time.monotonic(), 0
    while True:
        ended = process.poll() is not None
        if should_stop is not None and should_stop():
            raise Cancelled("CellProfiler was stopped; its numbers are not complete.")
        if log.stat().st_size != size:
            with log.open("rb") as stream:
                stream.seek(size)
                added = stream.read()
            size, changed = size + len(added), time.monotonic()
            numbers = _IMAGE.findall(added.decode("utf-8", "replace"))
            # an image is finished when the log names the next one
            if numbers and progress is not None and int(numbers[-1]) - 1 > done:
                done = int(numbers[-1]) - 1
                progress(done)
        if ended:
            return
        if time.monotonic() - changed > _STALLED_S:
            raise ExternalToolError(
                f"CellProfiler has said nothing for {_STALLED_S / 60:.0f} minutes and was ended: "
                "run the pipeline in its window to see where it hangs."
            )
        time.sleep(_POLL_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it started, and wait for it."""
    if process.poll() is None:
        if sys.platform == "win32":
            process.terminate()
        else:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
    if process.poll() is None:
        process.kill()
        process.wait()


def _judge(folder: Path, output: Path, log: Path, images: int) -> list[Row]:
    """Return the rows of the image table when every image was measured."""
    path = _image_table(output) or _image_table(folder)
    reason = _reason(log)
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


def _image_table(folder: Path) -> Path | None:
    """Find the table with a row an image; pipelines choose its folder and the start of its name."""
    for path in sorted(folder.rglob("*Image.csv")):
        with path.open(newline="", encoding="utf-8") as stream:
            header = next(csv.reader(stream), [])
        if "ImageNumber" in header and "ObjectNumber" not in header:
            return path
    return None


def _reason(log: Path) -> str:
    """Return the last fault in the log, in brackets."""
    text = log.read_text(encoding="utf-8", errors="replace")
    faults = [line for line in _FAULT.findall(text) if not any(word in line for word in _HARMLESS)]
    return f" ({faults[-1].strip()[:200]})" if faults else ""
