"""The table of commands. A new one is an import and a line here; its file imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from napari_fluorgen import __version__
from napari_fluorgen.cli import (
    calibrate,
    cellprofiler,
    demo,
    doctor,
    evaluate,
    export_cellprofiler,
    measure,
    models,
    simulate,
    stain,
    train,
    worker,
)
from napari_fluorgen.cli.guard import GuardedGroup

app = typer.Typer(
    cls=GuardedGroup,
    name="fluorgen",
    help="Virtual staining: nuclei, lipids and cytoplasm from brightfield z-stacks, with "
    "calibrated confidence, measured and handed over to CellProfiler.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "stain": stain.stain,
    "measure": measure.measure,
    "export-cellprofiler": export_cellprofiler.export_cellprofiler,
    "evaluate": evaluate.evaluate,
    "simulate": simulate.simulate,
    "train": train.train,
    "calibrate": calibrate.calibrate,
    "doctor": doctor.doctor,
    "worker": worker.worker,
}
GROUPS = {
    "models": models.app,
    "cellprofiler": cellprofiler.app,
}

for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"napari-fluorgen {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Hold the options that belong to no command."""
