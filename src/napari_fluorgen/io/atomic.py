"""Write to a temporary name in the same folder, then rename: no output is ever half-written."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from napari_fluorgen.errors import OutputError

_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space or choose another folder"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or choose another folder"),
    errno.EACCES: ("the folder is not writable", "choose another folder or change its permissions"),
    errno.EPERM: ("the folder is not writable", "choose another folder or change its permissions"),
    errno.EROFS: ("the disk is read-only", "choose another folder"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "choose another folder"),
    errno.EEXIST: ("a file of that name is in the way", "choose another folder"),
}


def output_error(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """One sentence for an `OSError` that stopped the writing of `path`."""
    reason, advice = _REASONS.get(
        error.errno or 0, (error.strerror or str(error), "choose another folder")
    )
    return OutputError(f"Cannot write {path}: {reason}; {advice}.")


def ensure_folder(folder: str | os.PathLike[str]) -> Path:
    """Make `folder` with its parents.

    Raises
    ------
    OutputError
        Where it cannot be made.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    return folder


def path_exists(path: Path) -> bool:
    """Whether something of that name is there.

    Raises
    ------
    OutputError
        Where its folder may not be entered.
    """
    try:
        return path.exists()
    except OSError as error:
        raise output_error(path, error) from error


def check_replaceable(path: Path, overwrite: bool = False, own: Sequence[str] = ()) -> None:
    """Refuse early what `atomic_path` with the same arguments would refuse.

    Raises
    ------
    OutputError
        `path` exists and may not be replaced.
    """
    if not path_exists(path):
        return
    if own and path.is_dir():
        held = {item.name for item in path.iterdir()}
        if not held:
            return
        if not held.issuperset(own):
            raise OutputError(
                f"{path} holds other files than would be written there: choose another folder."
            )
    if not overwrite:
        raise OutputError(
            f"{path} exists already: choose another name or folder, or ask for overwriting."
        )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def atomic_path(
    path: str | os.PathLike[str], overwrite: bool = False, *, own: Sequence[str] = ()
) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block succeeds.

    The block may make a file or a folder there. It keeps the suffix of `path`, so that writers
    which go by the suffix work. Parent folders are made.

    Parameters
    ----------
    path : path-like
        Final file or folder.
    overwrite : bool
        Whether an existing `path` may be replaced.
    own : sequence of str
        For a folder: names that it always holds. An existing folder without them is somebody
        else's and is not replaced even with `overwrite`; an empty one is taken in any case.

    Yields
    ------
    Path
        Temporary path, which does not exist yet.

    Raises
    ------
    OutputError
        `path` exists and may not be replaced, the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    check_replaceable(path, overwrite, own)
    ensure_folder(path.parent)
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"Cannot overwrite {path}: it is read-only; choose another folder.")
    temporary = path.parent / f".{uuid4().hex[:8]}-unfinished{''.join(path.suffixes[-2:])}"
    try:
        yield temporary
        _replace(temporary, path)
    except OSError as error:
        # Errors of reading inside the block are InputErrors by then; what is left is writing.
        raise output_error(path, error) from error
    finally:
        _remove(temporary)


def _replace(temporary: Path, path: Path) -> None:
    if not (path.is_dir() and not path.is_symlink()):
        temporary.replace(path)
        return
    # A folder cannot be replaced in one step: keep the old one until the new one stands.
    old = path.with_name(f".{uuid4().hex[:8]}-replaced")
    path.rename(old)
    try:
        temporary.replace(path)
    except OSError:
        old.rename(path)
        raise
    _remove(old)
