"""Which parts of one's own fields are learned from, watched and held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_fluorgen.errors import InputError

PARTS = ("training", "validation", "calibration")
"""Learned from; watched to keep the best; held out for the figures and the calibration."""

WHOLE_FIELDS = 4
"""From so many fields on, a field belongs to one part as a whole."""

SMALLEST_CROP = 32
_GAP_UM = 5.0


@dataclass(frozen=True)
class Block:
    """A rectangle of a field: `field` counts from 0, slices are in pixels of the model."""

    field: int
    rows: slice
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


Split = Mapping[str, tuple[Block, ...]]
"""Blocks of each of `PARTS`."""


def split_fields(
    names: Sequence[str],
    shapes: Sequence[tuple[int, int]],
    *,
    divisor: int,
    pixel_size_um: float,
    seed: int,
) -> Split:
    """Divide fields between training, validation and calibration.

    Four fields or more are divided as wholes, about 70:10:20, each part at least one. Of fewer
    fields, each is cut along its longer side into three strips, 60:15:25, with 5 µm between them
    that belong to none, so that no crop that is learned from touches a pixel that is held out.

    Parameters
    ----------
    names : sequence of str
        Of the fields, for messages.
    shapes : sequence of (rows, columns)
        On the grid of the model.
    divisor : int
        Sides of crops are multiples of it.
    pixel_size_um : float
        Micrometres a pixel of the model.
    seed : int
        Of the draw.

    Returns
    -------
    dict of str to tuple of Block

    Raises
    ------
    InputError
        A field is too small.
    """
    rng = np.random.default_rng(seed)
    least = -(-SMALLEST_CROP // divisor) * divisor
    if len(shapes) < WHOLE_FIELDS:
        gap = max(1, round(_GAP_UM / pixel_size_um))
        cut = [
            _strips(names[index], index, shape, gap, least, divisor, bool(rng.random() < 0.5))
            for index, shape in enumerate(shapes)
        ]
        return {part: tuple(blocks[part] for blocks in cut) for part in PARTS}
    for name, shape in zip(names, shapes, strict=True):
        if min(shape) < least:
            raise InputError(_too_small(name, shape, (least, least)))
    order = [int(index) for index in rng.permutation(len(shapes))]
    held = max(1, round(0.2 * len(shapes)))
    watched = max(1, round(0.1 * len(shapes)))
    chosen = (order[held + watched :], order[held : held + watched], order[:held])
    return {
        part: tuple(Block(i, slice(0, shapes[i][0]), slice(0, shapes[i][1])) for i in sorted(own))
        for part, own in zip(PARTS, chosen, strict=True)
    }


def crop_size(split: Split, *, divisor: int, largest: int = 192) -> int:
    """Side of the largest crop, a multiple of `divisor`, that fits into every training part."""
    side = min(largest, *(min(block.shape) for block in split["training"]))
    return side // divisor * divisor


def _strips(
    name: str,
    index: int,
    shape: tuple[int, int],
    gap: int,
    least: int,
    divisor: int,
    turned: bool,
) -> dict[str, Block]:
    axis = int(shape[1] >= shape[0])
    length, held_least = shape[axis] - 2 * gap, max(divisor, 16)
    watched = max(held_least, round(0.15 * length))
    held = max(held_least, round(0.25 * length))
    learned = length - watched - held
    if min(learned, shape[1 - axis]) < least:
        needed = [least, least]
        needed[axis] += 2 * held_least + 2 * gap
        raise InputError(_too_small(name, shape, (needed[0], needed[1])))
    blocks, start = {}, 0
    for part, size in zip(PARTS, (learned, watched, held), strict=True):
        first = shape[axis] - start - size if turned else start
        span = [slice(0, shape[0]), slice(0, shape[1])]
        span[axis] = slice(first, first + size)
        blocks[part] = Block(index, *span)
        start += size + gap
    return blocks


def _too_small(name: str, shape: tuple[int, int], needed: tuple[int, int]) -> str:
    return (
        f"{name} has {shape[0]}×{shape[1]} pixels on the grid of the model; training needs at "
        f"least {needed[0]}×{needed[1]}, so give larger fields."
    )
