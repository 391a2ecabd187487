"""``fluorgen measure``: stained fields to tables with CellProfiler's names."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from napari_fluorgen.cli import options, output


def measure(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder that `fluorgen stain` wrote.")
    ],
    tables: options.OutputFolder,
    engine: Annotated[
        Literal["builtin"], typer.Option("--engine", help="What measures.")
    ] = "builtin",
    overwrite: options.Overwrite = False,
    json: output.JsonFlag = False,
) -> None:
    """Measure nuclei, cells, cytoplasm and lipid droplets of stained fields."""
    from napari_fluorgen.cli.guard import stop_on_interrupt
    from napari_fluorgen.cli.progress import run_progress
    from napari_fluorgen.workflow.measuring import measure_folder

    with run_progress() as progress, stop_on_interrupt() as should_stop:
        summary = measure_folder(
            folder, tables, overwrite=overwrite, progress=progress, should_stop=should_stop
        )
    if json:
        output.finish(
            {
                "command": "measure",
                "status": "done",
                "engine": engine,
                "output": str(tables),
                "fields": list(summary.fields),
                "objects": summary.objects,
                "files": [str(file) for file in summary.files],
            }
        )
        return
    counts = ", ".join(f"{count} {name}" for name, count in summary.objects.items())
    output.result(f"{len(summary.fields)} fields measured in {tables}: {counts}")
