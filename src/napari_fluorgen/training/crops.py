"""Random crops of pairs on the fly, the same for the same seed and number."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from napari_fluorgen.errors import InputError
from napari_fluorgen.training.augment import (
    AugmentSettings,
    draw_planes,
    stand_ins,
    transformed,
    vary_light,
    window_of,
)

if TYPE_CHECKING:
    from napari_fluorgen.training.data import Pair

_PLAIN = AugmentSettings()


class Crops(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Endless random crops, varied on the fly.

    Each is (planes (Z, c, c) float32, stain (1, c, c) float32, nuclei mask (c, c) int64). Crop
    number i depends on nothing but `seed` and i, so that a run that is taken up again, or divided
    between devices or loader processes, sees the crops that it would have seen.

    Parameters
    ----------
    pairs : list of Pair
        Fields to draw from.
    stain : str
        Which stain to give.
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
        self._centres = [_centres(pair.labels) for pair in pairs]

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return crop `number` of the endless row."""
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
        if settings.missing_planes and rng.random() < settings.missing_planes:
            planes = planes[stand_ins(len(planes), rng)]
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
