"""``run.json``: the record of the fields in a folder of results; several programs may add to it.

A field begins on a line of its own, ``"name": {`` after one blank. So a plate's record gains a
field, and gives one, without that the thousands of others are parsed.
"""

from __future__ import annotations

import contextlib
import json
import os
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
    with _damage_told(path):
        fields = json.loads(_text(path))["fields"]
        if not isinstance(fields, dict):
            raise TypeError("'fields' is no table")
        return fields


def read_record(folder: str | PathLike[str], name: str) -> dict[str, Any]:
    """Record of one field; empty where there is none. Raises as `read_run`."""
    path = Path(folder) / RUN_FILE
    with _damage_told(path):
        text = _text(path)
        if not _is_ours(text):
            return read_run(folder).get(name, {})
        before = f"{_FIELD}{_encode(name)[1:]}: "
        start = text.find(before)
        return {} if start < 0 else _decode(text, start + len(before))[0]


def version_of(folder: str | PathLike[str], name: str) -> str:
    """By which one knows later whether the result of a field is still the one that was read."""
    return json.dumps(read_record(folder, name), sort_keys=True)


def update_run(
    folder: str | PathLike[str], records: Mapping[str, Mapping[str, Any] | None]
) -> Path:
    """Merge records of fields into ``run.json``.

    Parameters
    ----------
    folder : path-like
        Folder of results.
    records : mapping of str to mapping or None
        JSON-ready record by field name; replaces an older one, and None removes it.

    Raises
    ------
    OutputError
        Not writable.
    InputError
        The present ``run.json`` is damaged.
    """
    path = Path(folder) / RUN_FILE
    with _run_lock, _alone(path):
        with _damage_told(path):
            entries = _entries(_text(path))
        for name, record in records.items():
            entries.pop(name, None)
            if record is not None:
                entries[name] = _entry(record)
        ordered = sorted(entries, key=natural_key)
        lines = ",".join(f"{_FIELD}{_encode(name)[1:]}: {entries[name]}" for name in ordered)
        with atomic_path(path, overwrite=True) as temporary:
            temporary.write_bytes(f"{_HEAD}{lines}{_TAIL}".encode())
    return path


_HEAD, _FIELD, _TAIL = '{\n"fields": {', '\n "', "\n}}\n"


def _text(path: Path) -> str:
    """Contents of a record; the last one is kept, because each field of a plate asks for it."""
    global _last
    try:
        with path.open("rb") as file:
            stat = os.fstat(file.fileno())
            state = (path, stat.st_ino, stat.st_size, stat.st_mtime_ns)
            last = _last
            if last[0] != state:
                _last = last = state, file.read().decode("utf-8")
    except FileNotFoundError:
        return _HEAD + _TAIL
    return last[1]


_last: tuple[tuple[Any, ...], str] = ((), "")


def _entries(text: str) -> dict[str, str]:
    """Record of each field as JSON, not parsed where the layout is that of `update_run`."""
    if not _is_ours(text):
        return {name: _entry(record) for name, record in json.loads(text)["fields"].items()}
    entries = {}
    # JSON keeps line breaks out of its strings, and a record's own lines begin with two blanks.
    for field in text[len(_HEAD) : -len(_TAIL)].split(_FIELD)[1:]:
        name, end = _decode(f'"{field}')
        entries[name] = field[end + 1 :].removesuffix(",")
    return entries


_decode = json.JSONDecoder().raw_decode


def _is_ours(text: str) -> bool:
    return text.startswith(_HEAD) and text.endswith(_TAIL)


def _entry(record: Mapping[str, Any]) -> str:
    """Record as JSON, each of its parts on a line."""
    parts = ",".join(f"\n  {_encode(key)}: {_encode(value)}" for key, value in record.items())
    return f"{{{parts}\n  }}" if parts else "{}"


def _encode(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=_jsonable)
    # A file name that is no UTF-8 holds lone surrogates, which JSON has as \udce9.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextlib.contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Turn what a damaged record raises into one sentence."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} cannot be read ({' '.join(str(error).split())[:80]}): expected the record that"
            " staining leaves; restore it, or stain into another folder."
        ) from error


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


def _jsonable(value: Any) -> Any:
    """NumPy numbers and paths, as JSON has them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return str(value)
