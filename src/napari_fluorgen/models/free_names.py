"""Names that are free, so that what took long to make is kept where its own was taken meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path

from napari_fluorgen.errors import OutputError
from napari_fluorgen.io.atomic import path_exists
from napari_fluorgen.models.spec import NAME_LENGTH


def numbered(name: str, taken: Collection[str]) -> str:
    """Return a name, with ``-2``, ``-3`` ... behind it where it is taken.

    Its end is cut off where the number would make it longer than the name of a model may be.
    """
    stem, number = re.sub(r"-\d+$", "", name), 2
    stem = stem if stem in taken else name
    while name in taken:
        end = f"-{number}"
        name, number = f"{stem[: NAME_LENGTH - len(end)]}{end}", number + 1
    return name


def write_beside(
    folder: Path,
    write: Callable[[Path, bool], object],
    *,
    overwrite: bool = False,
    taken: Collection[str] = (),
) -> Path:
    """Write a folder, with a number behind its name where something else has it already.

    Parameters
    ----------
    folder : Path
        Where to.
    write : callable
        Takes a folder, and whether it may be replaced.
    overwrite : bool
        Whether `folder` may be replaced; a numbered one never is.
    taken : collection of str
        Names that are not free although no folder has them; with `overwrite` its own is.

    Returns
    -------
    Path
        `folder`, or the numbered one.

    Raises
    ------
    OutputError
        From `write`, where no other name would help.
    """
    known = set(taken) - ({folder.name} if overwrite else set())
    while True:
        place = folder.parent / numbered(folder.name, known)
        try:
            write(place, overwrite and place == folder)
        except OutputError:
            if not path_exists(place):
                raise
            known.add(place.name)
        else:
            return place
