"""Pairs as one array a field, so that the next run maps them into memory instead of reading TIFFs.

A field is two files named by a digest of its source files (path, size, time of change) and of the
settings it was made with: ``<digest>.npy`` (planes, stains and labels, float32) and
``<digest>.json`` (names). What was changed since has another digest; entries that fit nothing any
more may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.io.atomic import atomic_path

_VERSION = 1
Entry = tuple[NDArray[np.float32], dict[str, NDArray[np.float32]], NDArray[np.uint32], Any]


def digest_of(files: Sequence[Path], settings: Any) -> str:
    """Name of a field in the cache.

    Parameters
    ----------
    files : sequence of Path
        Files it is read from.
    settings : JSON-ready
        Whatever else decides how it comes out.
    """
    marks = []
    for path in files:
        state = path.stat()
        marks.append((str(path.resolve()), state.st_size, state.st_mtime_ns))
    text = json.dumps([_VERSION, marks, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_entry(folder: Path, digest: str) -> Entry | None:
    """Planes (Z, Y, X), stains, labels (Y, X) and record of a field; None where it is not there.

    The arrays are read-only and read from disk as they are used.
    """
    try:
        about = json.loads((folder / f"{digest}.json").read_text(encoding="utf-8"))
        array = np.load(folder / f"{digest}.npy", mmap_mode="r", allow_pickle=False)
        stains = about["stains"]
        depth = len(array) - len(stains) - 1
        if array.dtype != np.float32 or array.ndim != 3 or depth < 1:
            return None
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None  # absent or damaged: made again
    images = {stain: array[depth + number] for number, stain in enumerate(stains)}
    return array[:depth], images, array[-1].view(np.uint32), about["record"]


def write_entry(
    folder: Path,
    digest: str,
    planes: NDArray[np.float32],
    stains: dict[str, NDArray[np.float32]],
    labels: NDArray[np.uint32],
    record: Any,
) -> None:
    """Keep a field; `record` is anything JSON-ready.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    about = json.dumps({"stains": list(stains), "record": record})
    shape = (len(planes) + len(stains) + 1, *labels.shape)
    with atomic_path(folder / f"{digest}.npy", overwrite=True) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        for index, image in enumerate([*planes, *stains.values()]):
            array[index] = image
        array.view(np.uint32)[-1] = labels  # kept bit by bit among the floats
        array.flush()
        del array
    with atomic_path(folder / f"{digest}.json", overwrite=True) as temporary:
        temporary.write_text(about, encoding="utf-8")
