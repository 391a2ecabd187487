"""Pairs for training: fields in memory, random crops on the fly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from napari_fluorgen.errors import InputError
from napari_fluorgen.io import read_plate
from napari_fluorgen.io.results import file_stem, read_tiff
from napari_fluorgen.models import BackgroundScaling, StainRange
from napari_fluorgen.stack import STAINS, BrightfieldStack
from napari_fluorgen.staining.background import estimate_background


@dataclass(frozen=True)
class Pair:
    """One field, ready for the networks.

    Attributes
    ----------
    planes : ndarray, shape (Z, Y, X), float32
        Scaled brightfield.
    stains : dict of str to ndarray, shape (Y, X), float32
        True stains in [0, 1] of their range.
    labels : ndarray, shape (Y, X), uint32
        True nuclei.
    name : str
        Field's name.
    """

    planes: NDArray[np.float32]
    stains: dict[str, NDArray[np.float32]]
    labels: NDArray[np.uint32]
    name: str


def load_pairs(
    folder: str | Path,
    scaling: BackgroundScaling,
    outputs: dict[str, StainRange],
    pixel_size_um: float,
    planes: int = 7,
) -> list[Pair]:
    """Read all fields of a plate folder with their true stains and nuclei labels.

    Parameters
    ----------
    folder : str or Path
        CellVoyager folder with C01-C03 and ``labels/*_nuclei.tif``.
    scaling : BackgroundScaling
        How the networks see brightfield.
    outputs : dict of str to StainRange
        Range of each stain.
    pixel_size_um : float
        Pixel size of the model; pairs must have it.
    planes : int
        Brightfield planes that the networks take.

    Raises
    ------
    InputError
        If there is no complete field, or a stain or the labels of one are missing or damaged, or
        differ in shape.
    """
    pairs = [
        make_pair(stack, _read_labels(Path(folder), stack), scaling, outputs, pixel_size_um, planes)
        for stack in read_plate(folder)
    ]
    if not pairs:
        raise InputError(f"{folder} has no field with all its planes; pairs need at least one.")
    return pairs


def make_pair(
    stack: BrightfieldStack,
    labels: NDArray[Any],
    scaling: BackgroundScaling,
    outputs: dict[str, StainRange],
    pixel_size_um: float,
    planes: int = 7,
) -> Pair:
    """Scale one field for the networks; planes ascend, as in staining, where heights are known.

    Raises
    ------
    InputError
        If a stain is missing, or pixel sizes, planes or shapes do not agree.
    """
    name = stack.identity.name
    pixel = stack.pixel_size_um
    if pixel is not None and max(abs(p / pixel_size_um - 1) for p in pixel) > 0.1:
        raise InputError(
            f"{name} has pixels of {pixel[0]:g} µm, the configuration says {pixel_size_um:g} µm; "
            "train a model of the images' own pixel size."
        )
    data = np.asarray(stack.data)
    count, height, width = data.shape
    if count != planes:
        raise InputError(
            f"{name} has {count} brightfield planes; the networks take {planes}, so give pairs "
            "with as many."
        )
    if stack.z_um is not None:
        data = data[np.argsort(stack.z_um)]
    whole = slice(0, height), slice(0, width)
    scaled = estimate_background(data, pixel_size_um).divide(data, *whole)
    scaled -= 1
    scaled *= scaling.gain
    stains = {}
    for stain in STAINS:
        if stain not in stack.truth:
            raise InputError(f"{name} has no true {stain} image; a pair needs all three stains.")
        truth = np.asarray(stack.truth[stain])
        if truth.shape != (height, width) or labels.shape != (height, width):
            raise InputError(
                f"{name}: brightfield has {height}×{width} pixels, {stain} {truth.shape}, labels "
                f"{labels.shape}; a pair needs one shape."
            )
        stains[stain] = outputs[stain].from_counts(truth).clip(0, 1)
    return Pair(scaled, stains, labels.astype(np.uint32), name)


def _read_labels(folder: Path, stack: BrightfieldStack) -> NDArray[Any]:
    path = folder / "labels" / f"{file_stem(stack.identity)}_nuclei.tif"
    if not path.is_file():
        raise InputError(f"{path} is missing; training needs a label image of the true nuclei.")
    return read_tiff(path)


class Crops(IterableDataset[tuple[Tensor, Tensor, Tensor]]):
    """Endless random crops, flipped and turned by right angles.

    Yields (planes (Z, c, c), stain (1, c, c), nuclei mask (c, c) int64). A share of the crops
    lies around a nucleus, shifted by up to a fifth of the crop.

    Parameters
    ----------
    pairs : list of Pair
        Fields to draw from.
    stain : str
        Which stain to yield.
    crop : int
        Side of a crop.
    centred : float
        Share of crops around a nucleus.
    seed : int
        Of all draws.
    """

    def __init__(
        self, pairs: list[Pair], stain: str, crop: int, *, centred: float, seed: int
    ) -> None:
        small = [pair.name for pair in pairs if min(pair.labels.shape) < crop]
        if small or not pairs:
            raise InputError(
                f"{small[0]} is smaller than the crop of {crop} pixels; use a smaller data.crop."
                if small
                else "There is no pair to train on."
            )
        self.pairs, self.stain, self.crop = pairs, stain, crop
        self.centred, self.seed = centred, seed
        self._centres = [_centres(pair.labels) for pair in pairs]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        rng = np.random.default_rng(self.seed)
        while True:
            index = int(rng.integers(len(self.pairs)))
            pair, centres = self.pairs[index], self._centres[index]
            y, x = self._corner(pair, centres, rng)
            window = (..., slice(y, y + self.crop), slice(x, x + self.crop))
            images = np.concatenate(
                [pair.planes[window], pair.stains[self.stain][window][None],
                 (pair.labels[window] > 0)[None]]
            )  # fmt: skip
            images = np.rot90(images, int(rng.integers(4)), axes=(1, 2))
            if rng.random() < 0.5:
                images = images[..., ::-1]
            tensor = torch.from_numpy(np.ascontiguousarray(images, np.float32))
            yield tensor[:-2], tensor[-2:-1], tensor[-1].long()

    def _corner(
        self, pair: Pair, centres: NDArray[np.float64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        limit = np.array(pair.labels.shape) - self.crop
        if len(centres) and rng.random() < self.centred:
            centre = centres[rng.integers(len(centres))]
            shift = rng.uniform(-0.2, 0.2, 2) * self.crop
            return np.clip(centre + shift - self.crop / 2, 0, limit).astype(int)
        return rng.integers(0, limit + 1)


def _centres(labels: NDArray[np.uint32]) -> NDArray[np.float64]:
    from scipy.ndimage import center_of_mass

    numbers = np.unique(labels[labels > 0])
    return np.array(center_of_mass(labels > 0, labels, numbers)).reshape(-1, 2)
