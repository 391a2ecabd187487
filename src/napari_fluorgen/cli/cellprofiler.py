"""``fluorgen cellprofiler``: what joins this package and CellProfiler."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_fluorgen.cli import options, output
from napari_fluorgen.errors import ExternalToolError

app = typer.Typer(help="Join CellProfiler and this package.", no_args_is_help=True)


@app.command("plugin-path")
def plugin_path(json: output.JsonFlag = False) -> None:
    """Print the folder of CellProfiler's module VirtualStain."""
    import napari_fluorgen

    folder = Path(napari_fluorgen.__file__).parent / "cellprofiler_plugin"
    program = shutil.which("fluorgen", path=str(Path(sys.executable).parent)) or sys.executable
    if json:
        output.finish(
            {
                "command": "cellprofiler plugin-path",
                "status": "done",
                "folder": str(folder),
                "program": program,
            }
        )
        return
    output.result(str(folder))
    output.say(
        "Name this folder in CellProfiler (File > Preferences > Plugins directory) and start it "
        f"anew; where the module VirtualStain asks for the program of fluorgen, give {program}"
    )


@app.command()
def status(
    cellprofiler: Annotated[
        str | None,
        typer.Option("--cellprofiler", metavar="PATH", help="Look at this program or python."),
    ] = None,
    json: output.JsonFlag = False,
) -> None:
    """Say which CellProfiler would be used, and where it was found."""
    from napari_fluorgen.measurement.cellprofiler_find import (
        VERSION,
        ask_version,
        require_cellprofiler,
    )

    found = require_cellprofiler(cellprofiler)
    version = ask_version(found)
    if not version.startswith("4.2"):
        raise ExternalToolError(
            f"CellProfiler {version} was found at {found.program}, 4.2 is needed: install "
            f"{VERSION} with `fluorgen cellprofiler install`, or name another program with "
            "FLUORGEN_CELLPROFILER."
        )
    if json:
        output.finish(
            {
                "command": "cellprofiler status",
                "status": "done",
                "version": version,
                "program": list(found.command),
                "origin": found.origin,
            }
        )
        return
    output.result(f"CellProfiler {version} found at {found.program} ({found.origin})")


@app.command()
def use(
    program: Annotated[
        str | None,
        typer.Argument(metavar="PATH", help="CellProfiler's program or python; none: forget it."),
    ] = None,
    json: output.JsonFlag = False,
) -> None:
    """Remember where CellProfiler is."""
    from napari_fluorgen.measurement.cellprofiler_find import remember_cellprofiler

    remember_cellprofiler(program)
    if json:
        output.finish({"command": "cellprofiler use", "status": "done", "program": program})
        return
    output.result(f"CellProfiler at {program} is used from now on" if program else "Forgotten")


@app.command()
def install(
    python: Annotated[
        str | None,
        typer.Option(
            "--python", metavar="PATH", help="A Python 3.9; else one is found or fetched."
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    json: output.JsonFlag = False,
) -> None:
    """Set up CellProfiler in an environment of its own (0.8 GB, some minutes)."""
    from napari_fluorgen.cli.guard import stop_on_interrupt
    from napari_fluorgen.measurement.cellprofiler_install import install_cellprofiler
    from napari_fluorgen.workflow import drain

    with _install_progress() as progress, stop_on_interrupt() as should_stop:
        steps = install_cellprofiler(python=python, overwrite=overwrite, should_stop=should_stop)
        made = drain(steps, progress)
    if json:
        output.finish(
            {
                "command": "cellprofiler install",
                "status": "done",
                "version": made.version,
                "program": list(made.command),
            }
        )
        return
    output.result(f"CellProfiler {made.version} is installed: {made.program} -m cellprofiler")


@contextmanager
def _install_progress() -> Iterator[Callable[[Any], None]]:
    """Draw a bar of packages on a terminal; elsewhere say a line a step."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = output.console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    terminal = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not terminal) as bar:
        task = bar.add_task("preparing", total=None)
        said: list[str] = []

        def show(step: Any) -> None:
            bar.update(task, description=step.name, completed=step.done, total=step.total or None)
            if not terminal and step.name not in said:
                said.append(step.name)
                output.say(step.name)

        yield show
