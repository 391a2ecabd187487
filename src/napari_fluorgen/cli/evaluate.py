"""``fluorgen evaluate``: stained fields against true stains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_fluorgen.cli import options, output

if TYPE_CHECKING:
    from napari_fluorgen.workflow.evaluate import Evaluation


def evaluate(
    predicted: Annotated[
        Path,
        typer.Option("--predicted", metavar="DIR", help="What `fluorgen stain` wrote, or C01-C03."),
    ],
    truth: Annotated[
        Path, typer.Option("--truth", metavar="DIR", help="True stains C01, C02, C03.")
    ],
    scores: options.OutputFolder,
    overwrite: options.Overwrite = False,
    json: output.JsonFlag = False,
) -> None:
    """Compute the official pixel error, correlation and, with true labels, nuclei found."""
    from napari_fluorgen.cli.guard import stop_on_interrupt
    from napari_fluorgen.cli.progress import run_progress
    from napari_fluorgen.workflow.evaluate import evaluate_folders

    with run_progress() as progress, stop_on_interrupt() as should_stop:
        evaluation, files = evaluate_folders(
            predicted,
            truth,
            scores,
            overwrite=overwrite,
            progress=progress,
            should_stop=should_stop,
        )
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
    if json:
        record = {"command": "evaluate", "status": "done", "output": str(scores)}
        output.finish(record | evaluation.to_record() | {"files": [str(file) for file in files]})
        return
    for line in score_lines(evaluation):
        output.result(line)


def score_lines(evaluation: Evaluation) -> list[str]:
    """Return the scores as lines for people."""
    lines = [
        f"{name:10s} pixel error {score.pixel_error:.3f}, Pearson r {score.pearson:.3f}"
        for name, score in evaluation.stains.stains.items()
    ]
    lines.append(
        f"{'mean':10s} pixel error {evaluation.stains.pixel_error:.3f} "
        f"over {len(evaluation.fields)} fields"
    )
    if evaluation.nuclei is not None:
        nuclei = evaluation.nuclei
        lines.append(
            f"{'nuclei':10s} F1 {nuclei.f1:.3f} at IoU {nuclei.iou:g} "
            f"({nuclei.tp} found, {nuclei.fn} missed, {nuclei.fp} false)"
        )
    return lines
