"""``fluorgen simulate``: simulated fields with their true stains, as a plate folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_fluorgen.cli import options, output

if TYPE_CHECKING:
    from napari_fluorgen.simulation.field import SimulatedField


def simulate(
    folder: options.OutputFolder,
    fields: Annotated[int, typer.Option("--fields", min=1, help="How many fields.")] = 2,
    magnification: Annotated[
        str, typer.Option("--magnification", help="Preset: 20x, 40x or 60x.")
    ] = "20x",
    variety: Annotated[
        str,
        typer.Option(
            "--variety",
            help="adipocytes, wide (any adherent cell and microscope), oblique or phase-contrast.",
        ),
    ] = "adipocytes",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Field i uses seed + i.")] = 0,
    size: Annotated[int, typer.Option("--size", min=64, help="Rows and columns in pixels.")] = 512,
    plate: Annotated[
        str | None, typer.Option("--plate", metavar="NAME", help="Plate name in the file names.")
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        typer.Option(
            "--device", help="Where the optics are computed; auto takes the fastest that exists."
        ),
    ] = "cpu",
    overwrite: options.Overwrite = False,
    json: output.JsonFlag = False,
) -> None:
    """Simulate transmitted-light stacks of cells with their true stains and nuclei."""
    from rich.progress import Progress

    from napari_fluorgen.cli.guard import stop_on_interrupt
    from napari_fluorgen.errors import ConfigError
    from napari_fluorgen.simulation.plate import MAX_FIELDS, simulate_fields, write_plate
    from napari_fluorgen.simulation.presets import get_preset
    from napari_fluorgen.staining import resolve_device

    if fields > MAX_FIELDS:
        raise ConfigError(
            f"A plate holds {MAX_FIELDS} fields, {fields} were asked for: simulate several plates."
        )
    preset = get_preset(magnification, variety)
    place = resolve_device(device).name
    with (
        Progress(console=output.console(), transient=True) as bar,
        stop_on_interrupt("field") as stop,
    ):
        task = bar.add_task("Simulating", total=fields)
        images = simulate_fields(preset, fields, seed, (size, size), place)
        counted = _counted(images, lambda: bar.advance(task), stop)
        kind = "" if variety == "adipocytes" else f"{variety}_"
        name = plate or f"Simulated_{kind}{magnification}_seed{seed}"
        write_plate(counted, folder, plate=name, overwrite=overwrite)
    if json:
        output.finish(
            {
                "command": "simulate", "status": "done", "output": str(folder), "fields": fields,
                "magnification": magnification, "variety": variety, "seed": seed, "simulated": True,
            }
        )  # fmt: skip
    else:
        output.result(f"{fields} simulated fields with true stains and nuclei labels in {folder}")


def _counted(
    fields: Iterator[SimulatedField], advance: Callable[[], Any], should_stop: Callable[[], bool]
) -> Iterator[SimulatedField]:
    from napari_fluorgen.errors import Cancelled

    for field in fields:
        if should_stop():
            raise Cancelled("Simulation was stopped; nothing was written.")
        yield field
        advance()
