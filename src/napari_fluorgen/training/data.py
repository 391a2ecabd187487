"""Pairs for training: fields in memory, random crops on the fly."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from napari_fluorgen.errors import InputError
from napari_fluorgen.io import read_plate
from napari_fluorgen.io.results import file_stem, read_tiff
from napari_fluorgen.models import BackgroundScaling, StainRange
from napari_fluorgen.stack import STAINS, BrightfieldStack
from napari_fluorgen.staining.background import estimate_background
from napari_fluorgen.training.augment import (
    AugmentSettings,
    draw_planes,
    transformed,
    vary_light,
    window_of,
)

_PLAIN = AugmentSettings()


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
    """Endless random crops, varied on the fly.

    Yields (planes (Z, c, c) float32, stain (1, c, c) float32, nuclei mask (c, c) int64). Sample
    number i depends on nothing but `seed` and i, so that a run that is taken up again, or divided
    between devices or loader processes, sees the samples that it would have seen.

    Parameters
    ----------
    pairs : list of Pair
        Fields to draw from.
    stain : str
        Which stain to yield.
    crop : int
        Side of a crop.
    centred : float
        Share of crops around a nucleus, which lies up to `augment.shift` from their centre.
    seed : int
        Of all draws.
    augment : AugmentSettings
        How crops are varied.
    planes : int
        Planes of a crop where `augment.planes` is ``"random"``.
    first : int
        Number of the first sample.
    rank, world : int
        Of `world` devices this is number `rank`: it takes every `world`-th sample.

    Raises
    ------
    InputError
        If there is no pair, or one is smaller than the crop or lacks the stain.
    """

    def __init__(
        self,
        pairs: list[Pair],
        stain: str,
        crop: int,
        *,
        centred: float,
        seed: int,
        augment: AugmentSettings = _PLAIN,
        planes: int = 7,
        first: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if not pairs:
            raise InputError("There is no pair to train on.")
        for pair in pairs:
            if min(pair.labels.shape) < crop:
                raise InputError(
                    f"{pair.name} is smaller than the crop of {crop} pixels; use a smaller "
                    "data.crop."
                )
            if stain not in pair.stains:
                raise InputError(
                    f"{pair.name} has no true {stain} image; leave {stain} out of the training or "
                    "give its images."
                )
        self.pairs, self.stain, self.crop = pairs, stain, crop
        self.centred, self.seed, self.augment, self.planes = centred, seed, augment, planes
        self.first, self.rank, self.world = first, rank, world
        self._centres = [_centres(pair.labels) for pair in pairs]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        start, step = self.first + self.rank, self.world
        worker = get_worker_info()
        if worker is not None:  # processes of a loader share the samples of their device
            start, step = start + worker.id * step, step * worker.num_workers
        return map(self.sample, itertools.count(start, step))

    def sample(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sample `number` of the endless row."""
        rng = np.random.default_rng([self.seed, number])
        settings, crop = self.augment, self.crop
        index = int(rng.integers(len(self.pairs)))
        pair = self.pairs[index]
        angle, zoom, side = 0.0, 1.0, crop
        turned = rng.random() < settings.transform
        if turned:
            angle = np.deg2rad(rng.uniform(-settings.rotate, settings.rotate))
            zoom = (1 + settings.scale) ** rng.uniform(-1, 1)
            side = min(window_of(crop, angle, zoom), *pair.labels.shape)
        y, x = self._corner(pair, self._centres[index], side, rng)
        window = slice(y, y + side), slice(x, x + side)
        planes = pair.planes[(slice(None), *window)]
        if settings.planes == "random":
            planes = planes[draw_planes(len(planes), self.planes, rng)]
        images = np.concatenate([planes, pair.stains[self.stain][window][None]])
        mask = pair.labels[window] > 0
        if turned:
            images, mask = transformed(images, mask, crop, angle, zoom)
        images[:-1] = vary_light(images[:-1], settings, rng)
        if rng.random() < settings.turn:
            quarters, flip = int(rng.integers(4)), slice(None, None, int(rng.choice([-1, 1])))
            images = np.rot90(images, quarters, axes=(1, 2))[..., flip]
            mask = np.rot90(mask, quarters)[..., flip]
        tensor = torch.from_numpy(np.ascontiguousarray(images))
        return tensor[:-1], tensor[-1:], torch.from_numpy(mask.astype(np.int64))

    def _corner(
        self, pair: Pair, centres: NDArray[np.float64], side: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        limit = np.array(pair.labels.shape) - side
        if len(centres) and rng.random() < self.centred:
            centre = centres[rng.integers(len(centres))]
            shift = rng.uniform(-self.augment.shift, self.augment.shift, 2) * self.crop
            return np.clip(centre + shift - side / 2, 0, limit).astype(int)
        return rng.integers(0, limit + 1)


def _centres(labels: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Centres of gravity (n, 2) of the nuclei."""
    numbers, index = np.unique(labels, return_inverse=True)
    index = index.reshape(labels.shape)
    area = np.bincount(index.ravel())
    rows, columns = (
        np.bincount(index.ravel(), np.broadcast_to(axis, labels.shape).ravel())
        for axis in np.ogrid[: labels.shape[0], : labels.shape[1]]
    )
    return (np.stack([rows, columns], axis=1) / area[:, None])[numbers > 0]
