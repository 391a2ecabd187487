"""``fluorgen demo``: the whole path on the sample data."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from napari_fluorgen.cli import options, output
from napari_fluorgen.errors import ExternalToolError


def demo(
    folder: options.OutputFolder = Path("fluorgen-demo"),
    view: Annotated[bool, typer.Option("--view", help="Open napari with the result.")] = False,
    model: options.ModelName = "adipocyte-20x",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    overwrite: options.Overwrite = False,
    json: output.JsonFlag = False,
) -> None:
    """Stain, measure, export and picture two simulated fields."""
    if view:
        require_napari(folder)
    from napari_fluorgen.cli.evaluate import score_lines
    from napari_fluorgen.cli.guard import stop_on_interrupt
    from napari_fluorgen.cli.progress import run_progress
    from napari_fluorgen.workflow import StainRequest, drain, run_demo

    began = time.perf_counter()
    request = StainRequest.build(model=model, device=device, precision=precision)
    with run_progress() as progress, stop_on_interrupt() as should_stop:
        run = run_demo(folder, request, overwrite=overwrite, should_stop=should_stop)
        result = drain(run, progress)
    seconds = time.perf_counter() - began
    if json:
        record = {
            "command": "demo",
            "status": "done",
            "output": str(result.folder),
            "seconds": round(seconds, 2),
            "objects": result.measured.objects,
            "pipeline": str(result.exported.pipeline),
            "pictures": [str(path) for path in result.pictures],
            "simulated": True,
        }
        output.finish(record | {"scores": result.evaluation.to_record()})
    else:
        output.result(f"Demo on simulated data, done in {seconds:.0f} s. In {result.folder}:")
        output.result(
            f"  stained/       {len(result.stained.done)} fields: stains, masks, confidence"
        )
        output.result("  tables/        measurements with CellProfiler's names")
        output.result(f"  cellprofiler/  {result.exported.how_to_open}")
        output.result(f"  pictures       {', '.join(path.name for path in result.pictures)}")
        output.result("Against the simulated true stains:")
        for line in score_lines(result.evaluation):
            output.result(f"  {line}")
    if view:
        open_napari(result.stained.folder)


def require_napari(folder: Path) -> None:
    """Raise `ExternalToolError` when napari is not installed."""
    if importlib.util.find_spec("napari") is None:
        raise ExternalToolError(
            "napari is not installed: run `python -m pip install 'napari-fluorgen[all]'`, or leave "
            f"out --view and look at the pictures in {folder}."
        )


def open_napari(folder: Path) -> None:
    """Open the folder in napari, in a process of its own, and wait until it is closed."""
    command = [sys.executable, "-m", "napari", "--plugin", "napari-fluorgen", str(folder)]
    status = subprocess.run(command, check=False).returncode
    if status:
        raise ExternalToolError(
            f"napari ended with status {status}: see its messages above, and open {folder} in "
            "napari by hand."
        )
