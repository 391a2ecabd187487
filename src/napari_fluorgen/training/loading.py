"""What Lightning's data loaders take from pairs: a stretch of crops, whole validation fields."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from napari_fluorgen.training.augment import spread_planes
from napari_fluorgen.training.config import TrainingConfig
from napari_fluorgen.training.data import Crops, Pair
from napari_fluorgen.training.losses import SMALLEST_MEDIAN

if TYPE_CHECKING:
    from napari_fluorgen.training.modules import StainModule


class _Stretch(Sampler[int]):
    """Numbers of this device's crops from the next step of a module to its next validation.

    It has no length, which changes: Lightning then asks anew each time.
    """

    def __init__(self, module: StainModule, batch: int, every: int) -> None:
        self.module, self.batch, self.every = module, batch, every

    def __iter__(self) -> Iterator[int]:
        world, rank = self.module.trainer.world_size, self.module.trainer.global_rank
        start = self.module.done * self.batch * world
        steps = min(self.every, self.module.total - self.module.done)
        return iter(range(start + rank, start + steps * self.batch * world, world))


class Fields(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Whole fields for validation, cut to a multiple of `divisor`, with evenly spread planes."""

    def __init__(self, pairs: list[Pair], stain: str, planes: int, divisor: int) -> None:
        self.pairs = [pair for pair in pairs if stain in pair.stains]
        self.stain, self.planes, self.divisor = stain, planes, divisor

    def __len__(self) -> int:
        """Return the number of fields."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return planes, stain and mask of a field."""
        pair = self.pairs[index]
        y, x = (n // self.divisor * self.divisor for n in pair.labels.shape)
        spread = pair.planes[spread_planes(len(pair.planes), self.planes), :y, :x]
        truth = torch.from_numpy(np.array(pair.stains[self.stain][None, :y, :x], np.float32))
        mask = torch.from_numpy((pair.labels[:y, :x] > 0).astype(np.int64))
        return torch.from_numpy(np.array(spread, np.float32)), truth, mask

    def median(self) -> float:
        """Median of the true stain over all fields, at least `SMALLEST_MEDIAN`."""
        if not self.pairs:
            return 1.0
        values = np.concatenate([pair.stains[self.stain].ravel() for pair in self.pairs])
        return max(float(np.median(values)), SMALLEST_MEDIAN)


def make_loaders(
    config: TrainingConfig, crops: Crops, fields: Fields, module: StainModule
) -> tuple[DataLoader[tuple[Tensor, ...]], DataLoader[tuple[Tensor, ...]]]:
    """Loaders of training crops and of validation fields."""
    batch, workers = config.data_for(module.stain).batch, config.data.workers
    stretch = _Stretch(module, batch, config.validate_every)
    return (
        DataLoader(crops, batch, sampler=stretch, num_workers=workers),
        DataLoader(fields),
    )


def steps_per_epoch(config: TrainingConfig, stain: str, pairs: Mapping[str, list[Pair]]) -> float:
    """Steps of an epoch: a crop of each nucleus for the nuclei, of each field for other stains."""
    fields = pairs["train"]
    crops = len(fields)
    if stain == "nuclei":
        crops = sum(len(np.unique(pair.labels[pair.labels > 0])) for pair in fields)
    return max(1.0, crops / (config.data_for(stain).batch * config.devices))


def epochs_of(module: StainModule, every: int) -> int:
    """How many stretches of `every` steps a training has."""
    return math.ceil(module.total / every)
