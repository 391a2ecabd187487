"""Write to a temporary name in the same folder, then rename: no output is ever half-written."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from napari_fluorgen.errors import OutputError, StorageError
from napari_fluorgen.io.own_files import first_foreign

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


def stops_writing(error: OSError) -> bool:
    """Whether an error tells that nothing more fits on, or may be written to, a disk."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def output_error(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """One sentence for an `OSError` that stopped the writing of `path`.

    It is a `StorageError` where no other file could be written beside it either.
    """
    reason, advice = _REASONS.get(
        error.errno or 0, (error.strerror or str(error), "choose another folder")
    )
    # A file that another program holds open is refused like one in a locked folder.
    locked = error.errno in (errno.EACCES, errno.EPERM) and not _writable(Path(path).parent)
    kind = StorageError if locked or stops_writing(error) else OutputError
    return kind(f"Cannot write {path}: {reason}; {advice}.")


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


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


def check_output_folder(folder: Path) -> None:
    """Refuse early a folder below which nothing can be written; creates nothing.

    Raises
    ------
    OutputError
        The folder, or the nearest above it that exists, is a file or may not be written.
    """
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise OutputError(
            f"{folder} cannot be an output folder because {nearest} is a file: name another folder."
        )
    if not _writable(nearest):
        raise StorageError(
            f"{folder} cannot be written because {nearest} is read-only for you: "
            "name another folder or change its permissions."
        )


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


def check_replaceable(
    path: Path, overwrite: bool = False, own: Collection[str] | None = None
) -> None:
    """Refuse early what `atomic_path` with the same arguments would refuse.

    Raises
    ------
    OutputError
        `path` exists and may not be replaced.
    """
    if not path_exists(path):
        return
    if path.is_dir():
        _check_movable(path)
    if own is not None and path.is_dir():
        try:
            foreign = first_foreign(path, own)
            empty = foreign is None and not any(path.iterdir())
        except OSError as error:
            raise output_error(path, error) from error
        if foreign is not None:
            raise OutputError(
                f"{path} holds other files than were written there, the first is {foreign}: "
                "move them away or choose another folder."
            )
        if empty:
            return
    if not overwrite:
        raise OutputError(
            f"{path} exists already: choose another name or folder, or ask for overwriting."
        )


def _check_movable(path: Path) -> None:
    """Refuse folders that cannot take another's place: a disk's, or one that we stand in."""
    folder = path.resolve()
    try:
        here: Path | None = Path.cwd()
    except OSError:  # it was deleted
        here = None
    if os.path.ismount(folder):
        what = "is where a disk is mounted"
    elif here is not None and here.is_relative_to(folder):
        what = "is the folder in which you work, or lies above it"
    else:
        return
    raise OutputError(f"{path} {what} and cannot be replaced as a whole: name a folder in it.")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def atomic_path(
    path: str | os.PathLike[str], overwrite: bool = False, *, own: Collection[str] | None = None
) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block succeeds.

    The block may make a file or a folder there. It keeps the suffix of `path`, so that writers
    which go by the suffix work. Parent folders are made.

    Parameters
    ----------
    path : path-like
        Final file or folder.
    overwrite : bool
        Whether an existing `path` may be replaced; a file never replaces a folder.
    own : collection of str, optional
        For a folder: the files in it that may be deleted, as from `own_files.listed_files`. One
        that holds anything else is not replaced even with `overwrite`; an empty one is taken in
        any case.

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
    # a link to a folder stays: what it points to is replaced
    target = path.resolve() if path.is_dir() else path.absolute()
    ensure_folder(target.parent)
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"Cannot overwrite {path}: it is read-only; choose another folder.")
    temporary = target.parent / f".{uuid4().hex[:8]}-unfinished{''.join(path.suffixes[-2:])}"
    try:
        yield temporary
        if own is not None:  # somebody may have put something there in the meantime
            check_replaceable(path, overwrite, own)
        if target.is_dir() and not temporary.is_dir():
            raise OutputError(f"{path} is a folder, which no file replaces: name a file in it.")
        _replace(temporary, target)
    except OSError as error:
        # Errors of reading inside the block are InputErrors by then; what is left is writing.
        raise output_error(path, error) from error
    finally:
        _remove(temporary)


def _replace(temporary: Path, path: Path) -> None:
    if not path.is_dir():
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
