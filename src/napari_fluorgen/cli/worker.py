"""``fluorgen worker``: stain on request for CellProfiler's module VirtualStain."""

from __future__ import annotations

import io
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_ASK_S = 1.0


def worker() -> None:
    """Answer requests, a line of JSON each, until stdin closes (CellProfiler starts it)."""
    from napari_fluorgen.workflow.worker import Worker

    folder = Path(tempfile.mkdtemp(prefix="fluorgen-worker-"))
    try:
        _end_with_parent(folder)
        with _answers() as answers:
            requests = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace")

            def answer(line: str) -> None:
                answers.write(line.encode("ascii") + b"\n")
                answers.flush()

            Worker(folder).serve(requests, answer)
    except BrokenPipeError:
        pass  # whoever asked is gone
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # CellProfiler waits for the end: taking the engine down in order can take seconds
    sys.stderr.flush()
    os._exit(0)


@contextmanager
def _answers() -> Iterator[BinaryIO]:
    """Yield the pipe of the answers, out of reach of libraries that print."""
    own = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with os.fdopen(own, "wb") as stream:
        yield stream


def _end_with_parent(folder: Path) -> None:
    """End this process soon after its parent, even in the middle of a field.

    Where the system keeps the number of a dead parent (Windows), the closed stdin ends the worker
    after the field in progress.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_ASK_S)
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
