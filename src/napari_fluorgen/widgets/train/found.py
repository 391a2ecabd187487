"""What the chosen pairs are, said before the click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import STAINS, BrightfieldStack
from napari_fluorgen.widgets.presenters.truth import TRUE_LABELS


@dataclass(frozen=True)
class FoundPairs:
    """Pairs, as the dock describes them.

    Attributes
    ----------
    text : str
        Fields, planes, pixel size and stains.
    stains : tuple of str
        True stains of the first field, in the order of training.
    pixel_size_um : tuple of float (y, x) or None
        Of the first field.
    doubts : tuple of str
        What should be known before the click.
    """

    text: str
    stains: tuple[str, ...]
    pixel_size_um: tuple[float, float] | None
    doubts: tuple[str, ...] = ()


def found_in_stacks(stacks: Sequence[BrightfieldStack]) -> FoundPairs:
    """Describe stacks with their truth; at least one."""
    stains = tuple(s for s in STAINS if any(s in stack.truth for stack in stacks))
    labelled = any(TRUE_LABELS in stack.truth for stack in stacks)
    return _described(stacks[0], len(stacks), stains, labelled, ())


def look_at_folder(path: Path) -> FoundPairs:
    """Find the pairs in a folder as `fine_tune` does; only the first of them is opened.

    Raises
    ------
    InputError
        There is no pair, or a field lacks a stain that others have.
    """
    from napari_fluorgen.training.pairs import find_pairs

    notes: list[str] = []
    sources = find_pairs(path, notes.append)
    if not sources:
        raise InputError(
            f"{path} holds no pair: expected brightfield stacks with true stains beside them "
            f"({', '.join(STAINS)})."
        )
    stack, labels = sources[0].open()
    return _described(stack, len(sources), sources[0].stains, labels is not None, notes)


def _described(
    first: BrightfieldStack,
    count: int,
    stains: tuple[str, ...],
    labelled: bool,
    doubts: Sequence[str],
) -> FoundPairs:
    size, planes = first.pixel_size_um, first.shape[0]
    parts = [
        "1 field" if count == 1 else f"{count} fields",
        "1 plane" if planes == 1 else f"{planes} planes",
        f"{size[1]:.4g} µm/px" if size else "pixel size unknown",
        f"true {', '.join(stains)}{' and nuclei labels' if labelled else ''}",
    ]
    said = list(dict.fromkeys(doubts))
    if size is None:
        said.append(
            f"{first.identity.name} does not say its pixel size: that of the model is assumed."
        )
    return FoundPairs(" · ".join(parts), stains, size, tuple(said))
