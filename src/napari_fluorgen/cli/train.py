"""``fluorgen train``: a configuration file to a model package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_fluorgen.cli import options, output


def train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", help="Training configuration; see docs.")
    ],
    folder: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Model package; default: runs/<name>/package."
        ),
    ] = None,
    runs: Annotated[
        Path, typer.Option("--runs", metavar="DIR", help="Takes checkpoints and logs.")
    ] = Path("runs"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoints of a stopped run.")
    ] = False,
    overwrite: options.Overwrite = False,
    json: output.JsonFlag = False,
) -> None:
    """Train the three networks, calibrate their confidence and write a model package."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from napari_fluorgen.cli.guard import stop_on_interrupt
    from napari_fluorgen.errors import ConfigError, OutputError
    from napari_fluorgen.io.atomic import check_replaceable
    from napari_fluorgen.models.saving import OWN_FILES
    from napari_fluorgen.training.config import read_config

    settings = read_config(config)
    try:
        from napari_fluorgen.training.package import write_package
        from napari_fluorgen.training.run import TrainProgress, train_networks
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Training needs {error.name}, which is not installed: "
            "run `python -m pip install 'napari-fluorgen[train]'`."
        ) from None
    work = runs / settings.name
    package = folder or work / "package"
    check_replaceable(package, overwrite, OWN_FILES)
    if any(work.glob("*/last.ckpt")) and not (resume or overwrite):
        raise OutputError(
            f"{work} holds checkpoints of an earlier run: give --resume to go on from them or "
            "--overwrite to start again."
        )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=output.console()) as bar, stop_on_interrupt() as should_stop:
        tasks = {
            str(stain): bar.add_task(stain, total=network.steps)
            for stain, network in settings.networks.items()
        }

        def show(state: TrainProgress) -> None:
            text = f"{state.stain}, loss {state.loss:.3f}"
            bar.update(
                tasks[state.stain], completed=state.step, total=state.steps, description=text
            )

        networks = train_networks(
            settings, work, resume=resume, progress=show, should_stop=should_stop
        )
        path = write_package(settings, networks, package, overwrite=overwrite)
    if json:
        output.finish({"command": "train", "status": "done", "output": str(path)})
    else:
        output.result(f"Model {settings.name} {settings.version} in {path}")
