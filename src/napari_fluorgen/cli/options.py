"""Options that several commands share, with the same names and words everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

OutputFolder = Annotated[
    Path,
    typer.Option("-o", "--output", metavar="DIR", help="Folder of the results; made if missing."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")]
ModelName = Annotated[
    str, typer.Option("--model", metavar="NAME", help="An installed model, or a package's folder.")
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option("--device", help="Where the networks run; auto takes the fastest that exists."),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"],
    typer.Option("--precision", help="Arithmetic; auto is what the device is fastest in."),
]
Significance = Annotated[
    float,
    typer.Option(
        "--significance",
        help="Significance of the regions, above 0 and below 1.",
        show_default=True,
    ),
]
WrongNuclei = Annotated[
    float,
    typer.Option(
        "--fdr",
        metavar="SHARE",
        help="Share of wrong nuclei tolerated among the accepted ones, above 0 and below 1.",
        show_default=True,
    ),
]
Intervals = Annotated[
    bool,
    typer.Option(
        "--intervals", help="Also write how wide the intervals of lipids and cytoplasm are."
    ),
]
Focus = Annotated[
    Literal["auto", "as-is", "flipped"],
    typer.Option("--focus", help="Order of the planes: known or guessed, as they stand, reversed."),
]
PixelSize = Annotated[
    float | None,
    typer.Option(
        "--pixel-size", metavar="UM", help="Micrometres a pixel, where the file is wrong."
    ),
]
TileSize = Annotated[
    int | None,
    typer.Option("--tile", metavar="PX", help="Side of a tile in pixels; default: by memory."),
]
