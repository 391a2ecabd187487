"""What the chosen pairs are, said before the click."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import STAINS, BrightfieldStack


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


def found_in_stacks(
    stacks: Sequence[BrightfieldStack], count: int | None = None, doubts: Sequence[str] = ()
) -> FoundPairs:
    """Describe stacks with their truth.

    Parameters
    ----------
    stacks : sequence of BrightfieldStack
        At least one; the first stands for all where only it was opened.
    count : int, optional
        Number of fields where not all were opened.
    doubts : sequence of str
        Sentences that are known already.
    """
    first, count = stacks[0], count or len(stacks)
    size = first.pixel_size_um
    stains = tuple(s for s in STAINS if any(s in stack.truth for stack in stacks))
    labels = " and nuclei labels" if any("labels" in stack.truth for stack in stacks) else ""
    planes = first.shape[0]
    parts = [
        "1 field" if count == 1 else f"{count} fields",
        "1 plane" if planes == 1 else f"{planes} planes",
        f"{size[1]:.4g} µm/px" if size else "pixel size unknown",
        f"true {', '.join(stains)}{labels}",
    ]
    said = list(doubts)
    if size is None:
        said.append(
            f"{first.identity.name} does not say its pixel size: that of the model is assumed."
        )
    return FoundPairs(" · ".join(parts), stains, size, tuple(said))


def look_at_folder(path: Path) -> FoundPairs:
    """List the pairs in a folder; of the first field its size and stains are read.

    Raises
    ------
    InputError
        There is no pair.
    """
    from napari_fluorgen.io import find_fields

    fields = find_fields([path])
    if not fields.fields:
        raise InputError(fields.problems[0])
    stack = fields.fields[0].open()
    if not stack.truth:
        raise InputError(
            f"{stack.identity.name} in {path.name} has no true stain beside its brightfield: pairs "
            "need at least one."
        )
    return found_in_stacks([stack], len(fields.fields), fields.problems)
