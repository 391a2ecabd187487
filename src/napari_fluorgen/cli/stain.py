"""``fluorgen stain``: stacks, folders and plates to stains, masks and confidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
        summary, stopped = _drained(drain, batch, progress, found, folder)
    raise typer.Exit(_report(summary, stopped, progress.events, found, json))


def _drained(
    drain: Callable[..., Any], batch: Any, progress: Any, found: Any, folder: Path
) -> tuple[Any, str]:
    """Return what became of the fields, and what ended the batch before the last of them."""
    from napari_fluorgen.errors import Cancelled, FluorgenError
    from napari_fluorgen.workflow.batch import Tally

    try:
        return drain(batch, progress), ""
    except Cancelled:
        raise
    except FluorgenError as error:
        if not progress.events:  # nothing was done: there is no summary to give
            raise
        tally = Tally()
        for event in progress.events:
            tally.add(event)
        return tally.summary(folder, found, cancelled=False), str(error)


def _report(summary: Any, stopped: str, events: list[Any], found: Any, as_json: bool) -> int:
    """Print what became of the fields and return the exit code."""
    total = len(found.fields)
    sentence = _failure(summary, stopped, total, found.unreadable)
    if sentence:
        output.fail(sentence, as_json=False)
    if as_json:
        failed = bool(stopped or summary.failed or found.unreadable)
        status = "failed" if failed else "cancelled" if summary.cancelled else "done"
        if status == "done" and found.left_out:
            status = "partial"
        output.finish(
            {
                "command": "stain",
                "status": status,
                "output": str(summary.folder),
                "fields": [_record(event) for event in events],
                "left_out": list(found.left_out),
                "problems": list(summary.problems),
            }
            | ({"error": sentence} if sentence else {})
        )
    elif summary.done or summary.skipped:
        more = f", {len(summary.skipped)} were finished already" if summary.skipped else ""
        if found.left_out:
            more += f"; {len(found.left_out)} more left out, see the notes above"
        output.result(f"{len(summary.done)} of {total} fields stained in {summary.folder}{more}")
    return 1 if sentence else 0


def _failure(summary: Any, stopped: str, total: int, unreadable: Sequence[str]) -> str:
    """Say in a sentence what was asked for and is not done, after a note on each failed field."""
    if summary.failed and (stopped or total > 1):
        for name in summary.failed:
            output.warn(f"{name} failed: {summary.reasons[name]}")
    if stopped:
        output.warn(
            f"{len(summary.done)} of {total} fields are done; the same command with --resume goes "
            "on."
        )
        return stopped
    if summary.failed:
        if total == 1:
            return str(summary.reasons[summary.failed[0]])
        if not (summary.done or summary.skipped):
            return f"All {total} fields failed; nothing was written."
        return (
            f"{len(summary.failed)} of {total} fields failed; the others are in {summary.folder}."
        )
    if summary.cancelled:
        return (
            f"Stopped: {len(summary.done)} of {total} fields are done; the same command with "
            "--resume goes on."
        )
    if len(unreadable) > 1:
        return (
            f"{len(unreadable)} of the inputs could not be read, see the notes above; the fields "
            f"of the others are in {summary.folder}."
        )
    return unreadable[0] if unreadable else ""


def _record(event: Any) -> dict[str, Any]:
    from napari_fluorgen.workflow import FieldFailed, FieldSkipped, FieldWritten

    place = event.identity
    record: dict[str, Any] = {"name": place.name, "well": place.well, "site": place.site}
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
    return record
