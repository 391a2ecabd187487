"""``fluorgen train``: a configuration, or one's own pairs and a model to start from, to a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_fluorgen.cli import options, output

if TYPE_CHECKING:
    from napari_fluorgen.training.run import TrainProgress
    from napari_fluorgen.workflow.fine_tuning_request import FineTuneResult

Show = Callable[["TrainProgress"], None]


def train(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.yaml|PAIRS",
            help="A training configuration; with --init, a folder of fields with true stains.",
        ),
    ],
    init: Annotated[
        str | None,
        typer.Option("--init", metavar="MODEL", help="Fine-tune this model on PAIRS."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Model package; default: runs/<name>/package."
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="Of the fine-tuned model; default: MODEL-tuned."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option("--minutes", help="Time to fine-tune.  [default: 10]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", help="Steps of each network, instead of minutes.")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        typer.Option("--device", help="Where to fine-tune; auto takes the fastest that exists."),
    ] = "auto",
    register: Annotated[
        bool,
        typer.Option("--register", help="Move the stains onto brightfield where they are shifted."),
    ] = False,
    stains: Annotated[
        str | None,
        typer.Option(
            "--stains",
            metavar="NAME,...",
            help="Networks to fine-tune; default: all that PAIRS has stains of.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the division of PAIRS and all draws.")] = (
        42
    ),
    install: Annotated[
        bool, typer.Option("--install", help="Install the fine-tuned model as well.")
    ] = False,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="PAIRS are simulated; the card will say so.")
    ] = False,
    runs: Annotated[
        Path, typer.Option("--runs", metavar="DIR", help="Takes checkpoints and logs.")
    ] = Path("runs"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoints of a stopped run.")
    ] = False,
    overwrite: options.Overwrite = False,
    json: output.JsonFlag = False,
) -> None:
    """Train the networks of a model, calibrate its confidence and write it as a package.

    With --init, a model is fine-tuned on one's own pairs, and figures of fields that it did not
    learn from are printed, before and after.
    """
    from napari_fluorgen.errors import ConfigError

    if init is None:
        _refuse_fine_tuning_options(context)
        if source.is_dir():
            raise ConfigError(
                f"{source} is a folder: name the model to start from, as --init adipocyte-20x, or "
                "give a configuration file."
            )
        _train_config(source, folder, runs, resume=resume, overwrite=overwrite, json=json)
        return
    if source.is_file():
        raise ConfigError(
            f"{source} is a file: --init needs a folder of pairs; a configuration file names its "
            "start itself, as init."
        )
    from napari_fluorgen.workflow.fine_tuning_request import FineTuneRequest, default_name

    chosen = name or default_name(init)
    request = FineTuneRequest.build(
        init=init,
        pairs=source,
        name=chosen,
        output=folder or runs / chosen / "package",
        install=install,
        minutes=minutes,
        steps=steps,
        device=device,
        registration="correct" if register else "report",
        stains=tuple(part.strip() for part in stains.split(",")) if stains else None,
        simulated=simulated,
        seed=seed,
        work=runs / chosen,
        resume=resume,
        overwrite=overwrite,
    )
    _fine_tune(request, json=json)


def _refuse_fine_tuning_options(context: typer.Context) -> None:
    given = [
        f"--{name}"
        for name in (
            "name", "minutes", "steps", "device", "register", "stains", "seed", "install",
            "simulated",
        )
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    ]  # fmt: skip
    if given:
        raise typer.BadParameter(
            f"{', '.join(given)} belongs to fine-tuning: give --init MODEL and a folder of pairs, "
            "or set it in the configuration file"
        )


def _train_config(
    config: Path, folder: Path | None, runs: Path, *, resume: bool, overwrite: bool, json: bool
) -> None:
    from napari_fluorgen.cli.guard import stop_on_interrupt
    from napari_fluorgen.errors import ConfigError, OutputError
    from napari_fluorgen.io.atomic import check_output_folder, check_replaceable
    from napari_fluorgen.models.rdf import package_files
    from napari_fluorgen.training.config import read_config

    settings = read_config(config)
    try:
        from napari_fluorgen.training.package import write_package
        from napari_fluorgen.training.run import train_networks
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"Training needs {error.name}, which is not installed: "
            "run `python -m pip install 'napari-fluorgen[train]'`."
        ) from None
    work = runs / settings.name
    package = folder or work / "package"
    check_replaceable(package, overwrite, package_files(package))
    check_output_folder(package.parent)
    if any(work.glob("*/last.ckpt")) and not (resume or overwrite):
        raise OutputError(
            f"{work} holds checkpoints of an earlier run: give --resume to go on from them or "
            "--overwrite to start again."
        )
    with _bars() as (bar, show), stop_on_interrupt("step") as should_stop:
        networks = train_networks(
            settings,
            work,
            resume=resume,
            progress=show,
            should_stop=should_stop,
            on_note=bar.console.print,
        )
        bar.stop()
        path = write_package(settings, networks, package, overwrite=overwrite)
    if path != package:
        output.warn(f"{package} was taken during the training: the model lies in {path}.")
    if json:
        output.finish({"command": "train", "status": "done", "output": str(path)})
    else:
        output.result(f"Model {settings.name} {settings.version} in {path}")


def _fine_tune(request: Any, *, json: bool) -> None:
    from napari_fluorgen.cli.guard import stop_on_interrupt
    from napari_fluorgen.workflow.fine_tuning import fine_tune

    with _bars() as (bar, show), stop_on_interrupt("step") as should_stop:
        result = fine_tune(request, progress=show, stage=bar.console.print, should_stop=should_stop)
    for note in result.notes:
        output.warn(note)
    if json:
        status = {"command": "train", "status": "stopped" if result.stopped else "done"}
        output.finish(status | {"output": str(result.path)} | result.to_record())
        return
    _print(result)


def _print(result: FineTuneResult) -> None:
    """Print the figures before and after, and how to use the model."""
    rows = result.figures()
    width = max(len(name) for name, *_ in rows)
    held = result.fields["calibration"]
    output.result(f"On {len(held)} held-out part{'s' if len(held) > 1 else ''}:")
    output.result(f"{'':{width}}  before   after")
    for name, before, after in rows:
        output.result(f"{name:{width}}  {before:>6}  {after:>6}")
    stopped = ", stopped early" if result.stopped else ""
    output.result(
        f"Model {result.name} in {result.path} ({', '.join(result.stains) or 'nothing'} "
        f"fine-tuned in {result.minutes:.1f} minutes{stopped})"
    )
    output.result(
        f"It is installed: use `fluorgen stain --model {result.name}`."
        if result.installed
        else f"To install it: `fluorgen models import {result.path}`."
    )


@contextmanager
def _bars() -> Iterator[tuple[Any, Show]]:
    """Yield progress bars on stderr, and what feeds them: a bar for each network."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeRemainingColumn(),
    )
    console = output.console()
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:

        def show(state: TrainProgress) -> None:
            if state.stain not in tasks:
                tasks[state.stain] = bar.add_task(state.stain, total=state.steps)
            bar.update(
                tasks[state.stain],
                completed=state.step,
                total=state.steps,
                description=f"{state.stain}, loss {state.loss:.3f}",
            )

        yield bar, show
