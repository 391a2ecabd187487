"""What the engine tells while it runs, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.staining.adapt import Adaptation
from napari_fluorgen.staining.devices import Device
from napari_fluorgen.staining.plan import Plan, Tile


@dataclass(frozen=True)
class Planned:
    """What is going to be done; the first event of a run.

    Attributes
    ----------
    adaptation : Adaptation
        How the stack was matched to the model.
    plan : Plan
        The tiles.
    device : Device
        Where it runs.
    precision : str
        ``"float32"``, ``"bfloat16"`` or ``"float16"``.
    messages : tuple of str
        Everything the user should read, the adaptation's messages first.
    """

    adaptation: Adaptation
    plan: Plan
    device: Device
    precision: str
    messages: tuple[str, ...]


@dataclass(frozen=True)
class TileDone:
    """A tile is finished: `done` of `total`."""

    done: int
    total: int
    tile: Tile


@dataclass(frozen=True)
class Notice:
    """Something the user should know that came up during the run, in one sentence."""

    message: str


StainEvent = Planned | TileDone | Notice


@dataclass(frozen=True)
class RawResult:
    """The stains of a field, on the grid of its input.

    Attributes
    ----------
    images : dict of str to ndarray, shape (Y, X), uint16
        Stain to camera counts of the training data; what the sink made, where there is one.
    nuclei_probability : ndarray, shape (Y, X), float32
        Probability of nucleus; zeros where the model has no nuclei network.
    adaptation : Adaptation
        How the stack was matched to the model.
    device, precision, backend : str
        What computed it; ``"native"``, ``"openvino"`` or ``"pytorch"``.
    messages : tuple of str
        Everything the user should read.
    tiles : int
        Number of tiles.
    tile_shape : tuple of int
        Rows and columns of a tile as planned.
    seconds : float
        Time the networks took.
    setup_seconds : float
        Time until the first tile could run.
    """

    images: dict[str, NDArray[np.uint16]]
    nuclei_probability: NDArray[np.float32]
    adaptation: Adaptation
    device: str
    precision: str
    backend: str
    messages: tuple[str, ...]
    tiles: int
    tile_shape: tuple[int, int]
    seconds: float
    setup_seconds: float
