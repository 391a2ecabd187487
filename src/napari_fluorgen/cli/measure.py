"""``fluorgen measure``: stained fields to tables with CellProfiler's names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_fluorgen.cli import options, output

if TYPE_CHECKING:
    from napari_fluorgen.measurement import CellProfilerResult
    from napari_fluorgen.stack import StainedField
    from napari_fluorgen.workflow.events import FieldFailed


def measure(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder that `fluorgen stain` wrote.")
    ],
    tables: options.OutputFolder,
    engine: Annotated[
        Literal["builtin", "cellprofiler"],
        typer.Option("--engine", help="What measures: this package, or the real CellProfiler."),
    ] = "builtin",
    cellprofiler: Annotated[
        str | None,
        typer.Option(
            "--cellprofiler",
            metavar="PATH",
            help="CellProfiler's program or python; default: `fluorgen cellprofiler status`.",
        ),
    ] = None,
    pipeline: Annotated[
        Path | None,
        typer.Option(
            "--pipeline", metavar="FILE", help="A .cppipe of your own that begins with LoadData."
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            min=1,
            help="CellProfiler programs at a time, 1 GB each; default: half the cores, up to 4.",
        ),
    ] = None,
    features: Annotated[
        str,
        typer.Option(
            "--features",
            help="basic (shape, intensity, location, relations), all, or some of texture, "
            "granularity, radial, zernike, colocalization, neighbors with commas "
            "(extra: measure).",
        ),
    ] = "basic",
    trusted_only: Annotated[
        bool, typer.Option("--trusted-only", help="Leave out nuclei that are not accepted.")
    ] = False,
    certain_only: Annotated[
        bool, typer.Option("--certain-only", help="Leave out pixels that are not certain.")
    ] = False,
    database: Annotated[
        bool, typer.Option("--database", help="Also SQLite for CellProfiler Analyst.")
    ] = False,
    overwrite: options.Overwrite = False,
    json: output.JsonFlag = False,
) -> None:
    """Measure nuclei, cells, cytoplasm and lipid droplets of stained fields."""
    from napari_fluorgen.cli.guard import stop_on_interrupt
    from napari_fluorgen.cli.progress import run_progress
    from napari_fluorgen.workflow.measuring import measure_folder, stained_fields

    if engine == "builtin" and (cellprofiler or pipeline or processes):
        raise typer.BadParameter(
            "--cellprofiler, --pipeline and --processes go with --engine cellprofiler."
        )
    if engine == "cellprofiler" and (
        features != "basic" or trusted_only or certain_only or database
    ):
        raise typer.BadParameter(
            "--features, --trusted-only, --certain-only and --database go with --engine builtin; "
            "CellProfiler measures what its pipeline says."
        )
    more: dict[str, Any] = {}
    failed: list[FieldFailed] = []
    with run_progress() as progress, stop_on_interrupt() as should_stop:
        if engine == "cellprofiler":
            result = _with_cellprofiler(
                stained_fields(folder, failed=failed, progress=progress, should_stop=should_stop),
                tables,
                cellprofiler,
                pipeline,
                processes,
                overwrite,
                progress,
                should_stop,
            )
            for note in result.notes:
                output.warn(note)
            fields, objects = result.fields, result.objects
            files = tuple(result.tables.values())
            more = {
                "cellprofiler": result.cellprofiler.program,
                "version": result.cellprofiler.version,
                "masks": {k: {n: str(p) for n, p in v.items()} for k, v in result.masks.items()},
            }
        else:
            summary = measure_folder(
                folder,
                tables,
                overwrite=overwrite,
                features=features,
                trusted_only=trusted_only,
                certain_only=certain_only,
                database=database,
                failed=failed,
                progress=progress,
                should_stop=should_stop,
            )
            for note in summary.notes:
                output.warn(note)
            fields, objects, files = summary.fields, summary.objects, summary.files
    left_out = output.left_out(failed, len(fields))
    if json:
        output.finish(
            {
                "command": "measure",
                "engine": engine,
                "output": str(tables),
                "fields": list(fields),
                "objects": objects,
                "files": [str(file) for file in files],
            }
            | more
            | left_out
        )
    else:
        counts = ", ".join(f"{count} {name}" for name, count in objects.items())
        output.result(f"{len(fields)} fields measured in {tables}: {counts}")
    raise typer.Exit(1 if failed else 0)


def _with_cellprofiler(
    fields: Iterable[StainedField],
    tables: Path,
    program: str | None,
    pipeline: Path | None,
    processes: int | None,
    overwrite: bool,
    progress: Callable[[Any], None],
    should_stop: Callable[[], bool],
) -> CellProfilerResult:
    from napari_fluorgen.workflow import drain
    from napari_fluorgen.workflow.measuring_cellprofiler import measure_with_cellprofiler

    steps = measure_with_cellprofiler(
        fields,
        tables,
        program=program,
        pipeline=pipeline,
        processes=processes,
        overwrite=overwrite,
        should_stop=should_stop,
    )
    return drain(steps, progress)
