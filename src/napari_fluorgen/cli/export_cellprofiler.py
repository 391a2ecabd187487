"""``fluorgen export-cellprofiler``: stained fields to a project that CellProfiler opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_fluorgen.cli import options, output

if TYPE_CHECKING:
    from napari_fluorgen.workflow.events import FieldFailed


def export_cellprofiler(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder that `fluorgen stain` wrote.")
    ],
    project: options.OutputFolder,
    overwrite: options.Overwrite = False,
    json: output.JsonFlag = False,
) -> None:
    """Write images in camera counts, label masks, a LoadData table and a pipeline."""
    from napari_fluorgen.cli.guard import stop_on_interrupt
    from napari_fluorgen.cli.progress import run_progress
    from napari_fluorgen.workflow.measuring import export_folder

    failed: list[FieldFailed] = []
    with run_progress() as progress, stop_on_interrupt("field") as should_stop:
        summary = export_folder(
            folder,
            project,
            overwrite=overwrite,
            failed=failed,
            progress=progress,
            should_stop=should_stop,
        )
    for note in summary.notes:
        output.warn(note)
    left_out = output.left_out(failed, summary.n_fields)
    if json:
        output.finish(
            {
                "command": "export-cellprofiler",
                "output": str(summary.folder),
                "pipeline": str(summary.pipeline),
                "load_data": str(summary.load_data),
                "fields": summary.n_fields,
                "nuclei": summary.n_nuclei,
                "how_to_open": summary.how_to_open,
            }
            | left_out
        )
    else:
        output.result(
            f"{summary.n_fields} fields with {summary.n_nuclei} nuclei exported to {summary.folder}"
        )
        output.result(summary.how_to_open)
    raise typer.Exit(1 if failed else 0)
