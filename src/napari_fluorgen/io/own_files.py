"""Which files of a folder we wrote: only those are ever deleted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection
from pathlib import Path

LIST_FILE = ".fluorgen-files.json"
"""Lies in a folder that is written as a whole, and names what was written there."""

_EDITED = ".cppipe"
"""Files that people open and change in place: once changed they are theirs."""

OF_THE_SYSTEM = {".DS_Store", "Thumbs.db", "desktop.ini"}
"""Left by the file managers of macOS and Windows wherever somebody looked."""


def list_files(folder: Path) -> None:
    """Name everything that a folder holds in its `LIST_FILE`; call it last."""
    paths = sorted(Path(place) / name for place, _, files in os.walk(folder) for name in files)
    names = {
        path.relative_to(folder).as_posix(): _digest(path) if path.suffix == _EDITED else None
        for path in paths
    }
    (folder / LIST_FILE).write_text(json.dumps(names, indent=0), encoding="utf-8")


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def listed_files(folder: str | os.PathLike[str]) -> frozenset[str]:
    """Files that `list_files` named in a folder, and the list; none where there is no list.

    A pipeline that was changed since is left out: somebody's work is in it.
    """
    folder = Path(folder)
    try:
        names = json.loads((folder / LIST_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    if not isinstance(names, dict) or not all(isinstance(d, str | None) for d in names.values()):
        return frozenset()
    same = (name for name, digest in names.items() if digest in (None, _known(folder / name)))
    return frozenset({LIST_FILE, *same})


def _known(path: Path) -> str | None:
    try:
        return _digest(path) if path.suffix == _EDITED else None
    except OSError:
        return None


def first_foreign(folder: Path, own: Collection[str]) -> str | None:
    """Name a file, link or empty folder below `folder` that is not among `own`.

    Parameters
    ----------
    folder : Path
        Looked through from the top until something is found; links are not followed.
    own : collection of str
        Names relative to `folder`, with forward slashes.

    Returns
    -------
    str or None
        Relative to `folder`; None where all is ours, or the folder is empty.

    Raises
    ------
    OSError
        A folder cannot be listed.
    """

    def told(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=told):
        at = Path(place)
        links = [name for name in folders if (at / name).is_symlink()]
        for name in sorted([*files, *links]):
            relative = (at / name).relative_to(folder).as_posix()
            if relative not in own and name not in OF_THE_SYSTEM:
                return relative
        if at != folder and not files and not folders:
            return at.relative_to(folder).as_posix()
        folders.sort()
    return None
