"""``fluorgen stain``: stacks, folders and plates to stains, masks and confidence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from napari_fluorgen.cli import options, output


def stain(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Stacks, folders of planes, plates.")
    ],
    folder: options.OutputFolder,
    model: options.ModelName = "adipocyte-20x",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    format: Annotated[
        Literal["tiff", "ome-zarr"], typer.Option("--format", help="Of the results.")
    ] = "tiff",
    significance: options.Significance = 0.05,
    fdr: options.WrongNuclei = 0.1,
    intervals: options.Intervals = False,
    overwrite: options.Overwrite = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Do only fields not finished with these settings.")
    ] = False,
    focus: options.Focus = "auto",
    pixel_size: options.PixelSize = None,
    tile: options.TileSize = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="Stain on the workers of this Dask scheduler, such as tcp://node1:8786.",
        ),
    ] = None,
    json: output.JsonFlag = False,
) -> None:
    """Stain brightfield z-stacks; fields that fail are listed and the others are done."""
    if overwrite and resume:
        raise typer.BadParameter("--overwrite and --resume exclude each other")
    from napari_fluorgen.cli.guard import stop_on_interrupt
    from napari_fluorgen.cli.progress import run_progress
    from napari_fluorgen.io import find_fields
    from napari_fluorgen.io.files import check_reachable
    from napari_fluorgen.workflow import StainRequest, drain, stain_batch, stain_on_cluster

    request = StainRequest.build(
        model=model,
        device=device,
        precision=precision,
        focus=focus,
        pixel_size_um=pixel_size,
        significance=significance,
        fdr=fdr,
        intervals=intervals,
        tile_px=tile,
    )
    for path in inputs:
        check_reachable(path)
    # Workers of a cluster have other working directories.
    found = find_fields([path.resolve() for path in inputs] if scheduler else inputs)
    with run_progress() as progress, stop_on_interrupt() as should_stop:
        for problem in found.problems if found.fields else found.problems[1:]:
            progress.note(problem)
        settings: dict[str, Any] = {
            "format": format,
            "overwrite": overwrite,
            "resume": resume,
            "should_stop": should_stop,
        }
        batch = (
            stain_batch(found, request, folder, **settings)
            if scheduler is None
            else stain_on_cluster(found, request, folder, scheduler, **settings)
        )
        summary = drain(batch, progress)
    raise typer.Exit(_report(summary, progress.events, len(found.fields), json))


def _report(summary: Any, events: list[Any], total: int, as_json: bool) -> int:
    """Print what became of the fields and return the exit code."""
    unfinished = summary.failed or summary.cancelled
    if summary.failed:
        if total > 1:
            for name in summary.failed:
                output.warn(f"{name} failed: {summary.reasons[name]}")
            sentence = (
                f"{len(summary.failed)} of {total} fields failed; the others are in "
                f"{summary.folder}."
                if summary.done or summary.skipped
                else f"All {total} fields failed; nothing was written."
            )
        else:
            sentence = summary.reasons[summary.failed[0]]
    elif summary.cancelled:
        sentence = (
            f"Stopped: {len(summary.done)} of {total} fields are done; the same command with "
            "--resume goes on."
        )
    else:
        sentence = ""
    if sentence:
        output.fail(sentence, as_json=False)
    if as_json:
        output.finish(_summary(summary, events, sentence))
    elif summary.done or summary.skipped:
        skipped = f", {len(summary.skipped)} were finished already" if summary.skipped else ""
        output.result(f"{len(summary.done)} of {total} fields stained in {summary.folder}{skipped}")
    return 1 if unfinished else 0


def _summary(summary: Any, events: list[Any], sentence: str) -> dict[str, Any]:
    from napari_fluorgen.workflow import FieldFailed, FieldSkipped, FieldWritten

    fields = []
    for event in events:
        record: dict[str, Any] = {
            "name": event.identity.name,
            "well": event.identity.well,
            "site": event.identity.site,
        }
        match event:
            case FieldWritten():
                record |= {
                    "status": "done",
                    "nuclei": event.nuclei,
                    "seconds": round(event.seconds, 3),
                    "messages": list(event.messages),
                    "files": list(event.files),
                }
            case FieldSkipped():
                record |= {"status": "skipped", "reason": event.reason}
            case FieldFailed():
                record |= {"status": "failed", "reason": event.reason}
        fields.append(record)
    status = "failed" if summary.failed else "cancelled" if summary.cancelled else "done"
    return {
        "command": "stain",
        "status": status,
        "output": str(summary.folder),
        "fields": fields,
        "problems": list(summary.problems),
    } | ({"error": sentence} if sentence else {})
