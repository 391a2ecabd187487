"""``fluorgen evaluate``: stained fields against true stains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_fluorgen.cli import options, output
from napari_fluorgen.errors import ExternalToolError

if TYPE_CHECKING:
    from napari_fluorgen.workflow.evaluation import Evaluation

_TABLE_IOUS = (0.5, 0.7, 0.9)


def evaluate(
    predicted: Annotated[
        Path,
        typer.Option("--predicted", metavar="DIR", help="What `fluorgen stain` wrote, or C01-C03."),
    ],
    truth: Annotated[
        Path, typer.Option("--truth", metavar="DIR", help="True stains C01, C02, C03.")
    ],
    scores: options.OutputFolder,
    features: Annotated[
        bool,
        typer.Option(
            "--features/--no-features",
            help="Also measure both with CellProfiler, where it is found.",
        ),
    ] = True,
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
            "--pipeline", metavar="FILE", help="A .cppipe file in place of the one built in."
        ),
    ] = None,
    pixel_size: options.PixelSize = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            min=1,
            help="CellProfiler programs at a time, 1 GB each; default: half the cores, up to 4.",
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    json: output.JsonFlag = False,
) -> None:
    """Compare with true stains: official score, correlation, SSIM, nuclei found, a web page."""
    from napari_fluorgen.cli.guard import stop_on_interrupt
    from napari_fluorgen.cli.progress import run_progress
    from napari_fluorgen.workflow.evaluate import evaluate_folders

    if (cellprofiler or pipeline) and not features:
        raise typer.BadParameter("--cellprofiler and --pipeline do not go with --no-features.")
    with run_progress() as progress, stop_on_interrupt("field") as should_stop:
        evaluation, files = evaluate_folders(
            predicted,
            truth,
            scores,
            features=features,
            cellprofiler=cellprofiler,
            pipeline=pipeline,
            pixel_size_um=pixel_size,
            processes=processes,
            overwrite=overwrite,
            progress=progress,
            should_stop=should_stop,
        )
    for note in evaluation.notes:
        output.warn(note)
    if evaluation.missing:
        output.warn(
            f"{len(evaluation.missing)} predicted fields have no true stain and are left out, "
            f"the first is {evaluation.missing[0]}."
        )
    if evaluation.unpredicted:
        output.warn(
            f"{len(evaluation.unpredicted)} fields with true stains have no prediction and are not "
            f"in the scores, the first is {evaluation.unpredicted[0]}."
        )
    if not json:
        for line in score_lines(evaluation):
            output.result(line)
        output.result(f"Page with pictures: {scores / 'scores.html'}")
    if (cellprofiler or pipeline) and evaluation.features is None:
        raise ExternalToolError(
            "The feature error that was asked for could not be measured, the other scores are "
            f"written to {scores}: see the notes above."
        )
    if json:
        record = {"command": "evaluate", "status": "done", "output": str(scores)}
        output.finish(record | evaluation.to_record() | {"files": [str(file) for file in files]})


def score_lines(evaluation: Evaluation) -> list[str]:
    """Return the scores as lines for people."""
    from io import StringIO

    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table("stain", box=SIMPLE, pad_edge=False)
    for head in ("pixel error", "Pearson r", "SSIM"):
        table.add_column(head, justify="right")
    for name, score in evaluation.stains.stains.items():
        table.add_row(name, *map(_number, (score.pixel_error, score.pearson, score.ssim)))
    table.add_section()
    table.add_row("mean", _number(evaluation.stains.pixel_error), "", "")
    stream = StringIO()
    Console(file=stream, width=80, highlight=False, color_system=None).print(table)
    lines = [line.rstrip() for line in stream.getvalue().splitlines() if line.strip()]
    for match in evaluation.curve:
        if match.iou in _TABLE_IOUS:
            lines.append(
                f"nuclei at IoU {match.iou:g}: F1 {match.f1:.3f}, precision {match.precision:.3f}, "
                f"recall {match.recall:.3f} ({match.tp} found, {match.fn} missed, {match.fp} false)"
            )
    fields = len(evaluation.fields)
    over = f"over {fields} field{'s' * (fields != 1)}"
    if evaluation.score is None or evaluation.features is None:
        lines.append(f"official pixel error {evaluation.stains.pixel_error:.3f} {over}")
    else:
        scores = evaluation.features.scores
        lines.append(
            f"official score {evaluation.score:.3f} {over}: pixel error "
            f"{evaluation.stains.pixel_error:.3f}, feature error {scores.error:.3f} "
            f"({len(scores.columns)} features, {len(scores.excluded)} left out, pipeline "
            f"{evaluation.features.pipeline})"
        )
    return lines


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
