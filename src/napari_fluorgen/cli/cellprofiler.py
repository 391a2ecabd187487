"""``fluorgen cellprofiler``: what joins this package and CellProfiler."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import typer

from napari_fluorgen.cli import output

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
