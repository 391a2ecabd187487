"""``run.json``: the record of the fields in a folder of results; several programs may add to it."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from napari_fluorgen.errors import InputError, OutputError
from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.io.files import natural_key

RUN_FILE = "run.json"
LOCK_FILE = ".run.json.lock"
"""Held while a program changes `RUN_FILE`; it stays, empty."""
_LOCK_SECONDS = 60
_run_lock = threading.Lock()


def read_run(folder: str | PathLike[str]) -> dict[str, dict[str, Any]]:
    """Records of the fields in ``run.json``; empty where there is none.

    Raises
    ------
    InputError
        The file is damaged.
    """
    path = Path(folder) / RUN_FILE
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))["fields"]
        if not isinstance(fields, dict):
            raise TypeError("'fields' is no table")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} cannot be read ({' '.join(str(error).split())[:80]}): expected the record that"
            " staining leaves; restore it, or stain into another folder."
        ) from error
    return fields


def update_run(folder: str | PathLike[str], records: Mapping[str, Mapping[str, Any]]) -> Path:
    """Merge records of fields into ``run.json``.

    Parameters
    ----------
    folder : path-like
        Folder of results.
    records : mapping of str to mapping
        JSON-ready record by field name; replaces an older one.

    Raises
    ------
    OutputError
        Not writable.
    InputError
        The present ``run.json`` is damaged.
    """
    path = Path(folder) / RUN_FILE
    with _run_lock, _alone(path):
        fields = read_run(folder) | {name: dict(record) for name, record in records.items()}
        ordered = {name: fields[name] for name in sorted(fields, key=natural_key)}
        text = json.dumps({"fields": ordered}, indent=1, ensure_ascii=False, default=_jsonable)
        # A line a list, not a line a number: a column may have thousands. Text in JSON holds no
        # line break, so that only the layout is matched.
        text = re.sub(r"\[\n\s+([^\[\]{}]+)\n\s+\]", _on_one_line, text)
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")
    return path


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other programs, on other machines too, from changing a record at the same time."""
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(LOCK_FILE), timeout=_LOCK_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutputError(
            f"{path} was held by another program for {_LOCK_SECONDS} s: wait until that has ended "
            "and start again with --resume."
        ) from error
    except (OSError, NotImplementedError):
        pass  # it cannot be written either, or its disk knows no locks
    try:
        yield
    finally:
        lock.release()


def _on_one_line(found: re.Match[str]) -> str:
    return "[" + re.sub(r",\n\s+", ", ", found[1]) + "]"


def _jsonable(value: Any) -> Any:
    """NumPy numbers and paths, as JSON has them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)
