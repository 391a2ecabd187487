"""``fluorgen calibrate``: a model whose confidence holds on one's own stained fields."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_fluorgen.cli import options, output


def calibrate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Installed name or folder.")],
    pairs: Annotated[
        Path,
        typer.Option(
            "--pairs", metavar="DIR", help="Folder of fields with nuclei labels or a true stain."
        ),
    ],
    folder: options.OutputFolder,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Of the calibrated model; default: that of MODEL."),
    ] = None,
    overwrite: options.Overwrite = False,
    json: output.JsonFlag = False,
) -> None:
    """Calibrate a model's confidence maps on fields that it was not trained on."""
    from napari_fluorgen.models import load_model
    from napari_fluorgen.workflow.recalibration import recalibrate

    path, meta, notes = recalibrate(
        load_model(model), pairs, folder, overwrite=overwrite, name=name
    )
    for note in notes:
        output.warn(note)
    if json:
        output.finish(
            {
                "command": "calibrate",
                "status": "done",
                "model": load_model(path).spec.name,
                "output": str(path),
                "calibration": meta,
            }
        )
    else:
        output.result(f"{model} calibrated on {meta['n_fields']} fields: {path}")
