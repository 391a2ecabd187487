"""Programs outside the package: start, follow by their log, end with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from napari_fluorgen.errors import Cancelled

_POLL_S = 0.2
_PATIENCE_S = 5.0


@dataclass(frozen=True)
class Running:
    """A program and its log, whose bytes from `since` on are its own."""

    process: subprocess.Popen[bytes]
    log: Path
    since: int


@contextmanager
def started(
    arguments: Sequence[str | Path], log: Path, environment: Mapping[str, str]
) -> Iterator[Running]:
    """Start a program that adds to a log, in the log's folder; it is ended with the block.

    Raises
    ------
    OSError
        It cannot be started.
    """
    with log.open("ab") as stream:
        since = log.stat().st_size
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=log.parent,
            start_new_session=True,
        )
        try:
            yield Running(process, log, since)
        finally:
            _end(process)


def follow(
    running: Running,
    should_stop: Callable[[], bool] | None,
    *,
    stopped: str,
    stalled: Callable[[], Exception] | None = None,
    stalled_s: float = 0.0,
) -> Iterator[str]:
    """Yield what is added to a log until the program ends.

    Parameters
    ----------
    running : Running
        From `started`.
    should_stop : callable, optional
        Asked several times a second.
    stopped : str
        What `Cancelled` says when it returned true.
    stalled : callable, optional
        Makes the error for a program that said nothing for `stalled_s` seconds.

    Raises
    ------
    Cancelled
    """
    process, log, size = running.process, running.log, running.since
    changed = time.monotonic()
    while True:
        ended = process.poll() is not None
        if should_stop is not None and should_stop():
            raise Cancelled(stopped)
        if log.stat().st_size != size:
            with log.open("rb") as stream:
                stream.seek(size)
                added = stream.read()
            size, changed = size + len(added), time.monotonic()
            yield added.decode("utf-8", "replace")
        if ended:
            return
        if stalled is not None and time.monotonic() - changed > stalled_s:
            raise stalled()
        time.sleep(_POLL_S)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the program and what it started, and wait for it."""
    if process.poll() is None:
        if sys.platform == "win32":
            process.terminate()
        else:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_S)
    if process.poll() is None:
        process.kill()
        process.wait()
