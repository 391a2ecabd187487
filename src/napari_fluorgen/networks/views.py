"""Mirrored views of an input whose outputs are averaged (test-time augmentation)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_MIRRORED_AXES: tuple[tuple[int, ...], ...] = ((), (-1,), (-2,), (-2, -1))


def mean_over_views(
    run: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor, views: int
) -> tuple[Tensor, ...]:
    """Run on mirrored views of `x` and average the outputs, mirrored back.

    The direction of an image means nothing, but a network answers a little differently to each;
    their mean errs less than any one of them.

    Parameters
    ----------
    run : callable
        From (B, C, Y, X) to a tuple of tensors of any channels, each (B, ?, Y, X).
    x : Tensor, shape (B, C, Y, X)
        Its sides are multiples of what `run` asks for, so that poolings fall on the same pixels.
    views : {1, 2, 4}
        1: `x` alone; 2: and its columns mirrored; 4: and both with their rows mirrored.
    """
    if views == 1:
        return run(x)
    total: tuple[Tensor, ...] = ()
    # one after the other: together they would take as much memory as so many images
    for axes in _MIRRORED_AXES[:views]:
        outputs = [output.flip(axes) for output in run(x.flip(axes))] if axes else run(x)
        total = tuple(map(torch.add, total, outputs)) if total else tuple(outputs)
    return tuple(output / views for output in total)
