"""One program at a time stains a field into a folder, also where they run on several machines."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from napari_fluorgen.errors import OutputError
from napari_fluorgen.io.atomic import ensure_folder, path_exists
from napari_fluorgen.io.results import file_stem
from napari_fluorgen.stack import FieldIdentity

if TYPE_CHECKING:
    from filelock import BaseFileLock

_TRIES = 10


def lock_file(folder: str | PathLike[str], identity: FieldIdentity) -> Path:
    """Where the file lies that is locked while a field is stained."""
    return Path(folder) / f".{file_stem(identity)}.stain.lock"


@contextlib.contextmanager
def field_lock(folder: str | PathLike[str], identity: FieldIdentity) -> Iterator[None]:
    """Keep other programs from staining a field of the same name into a folder meanwhile.

    The system frees the lock of a program that is killed. At the end the file goes, and with it
    the folder where it was made for it and nothing was written. On a disk that knows no locks
    nothing is held.

    Parameters
    ----------
    folder : path-like
        For the result; made where it is missing.
    identity : FieldIdentity
        Of the field.

    Raises
    ------
    OutputError
        Another program stains the field, or the folder cannot be made.
    """
    path = lock_file(folder, identity)
    missing = [place for place in path.parents if not path_exists(place)]
    try:
        lock = _acquire(path, identity.name)
        try:
            yield
        finally:
            if lock is not None:
                _release(lock, path)
    finally:
        with contextlib.suppress(OSError):  # something was written there
            for place in missing:
                place.rmdir()


def _acquire(path: Path, name: str) -> BaseFileLock | None:
    """Lock a file; None where that cannot be: it is not writable, or its disk knows no locks."""
    from filelock import FileLock, SoftFileLock, Timeout

    for _ in range(_TRIES):
        ensure_folder(path.parent)
        # A generator may be closed by another thread than the one that began it.
        lock: BaseFileLock = FileLock(path, thread_local=False)
        try:
            with path.open("ab") as file:
                with contextlib.suppress(OSError):  # of somebody else, who let all write
                    path.chmod(0o666)
                with contextlib.suppress(Timeout):
                    lock.acquire(blocking=False)
                if isinstance(lock, SoftFileLock):  # it would outlive a program that is killed
                    raise NotImplementedError
                if not lock.is_locked:
                    raise _taken(path, name)
                if _is_at(path, file):
                    return lock
            lock.release()
        except NotImplementedError:
            lock.release()
            path.unlink(missing_ok=True)
            return None
        except PermissionError:
            if path_exists(path):  # of somebody else, whom the folder keeps from removing it
                raise _taken(path, name) from None
        except OSError:  # also where another program has just removed the folder that it made
            continue
    return None


def _taken(path: Path, name: str) -> OutputError:
    return OutputError(
        f"'{name}' is being stained into {path.parent} by another program: wait until that has "
        "ended, or use another folder."
    )


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether the file that was locked still has its name: who held it before removes it.

    As `file` was opened before the locking and is open still, no other file was locked.
    """
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False


def _release(lock: BaseFileLock, path: Path) -> None:
    with contextlib.suppress(OSError):  # Windows removes it only after the release
        path.unlink()
    with contextlib.suppress(OSError):
        lock.release()
