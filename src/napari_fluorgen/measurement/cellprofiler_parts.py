"""Run several CellProfiler programs at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from napari_fluorgen.errors import Cancelled

T = TypeVar("T")
StopCheck = Callable[[], bool]

_POLL_S = 0.2
_MOST_PROCESSES = 4


def default_processes() -> int:
    """Programs at a time where nobody says it: half the cores, up to 4, for 1 GB each."""
    return max(1, min(_MOST_PROCESSES, (os.cpu_count() or 1) // 2))


@dataclass(frozen=True)
class Part(Generic[T]):
    """Work of one program.

    Attributes
    ----------
    images : int
        Image sets in it.
    run : callable
        Takes a function that is told the number of image sets finished, and a check that turns
        true when the work must end; returns the result.
    """

    images: int
    run: Callable[[Callable[[int], None], StopCheck], T]


def run_together(
    parts: Sequence[Part[T]],
    processes: int,
    should_stop: StopCheck | None = None,
    *,
    finish_started: bool = False,
) -> Generator[int, None, list[T]]:
    """Run parts, some at a time.

    Parameters
    ----------
    parts : sequence of Part
    processes : int
        Parts at a time, at least 1.
    should_stop : callable, optional
        Asked several times a second; true ends all parts.
    finish_started : bool
        After a fault, whether parts that run are waited for (so that their results can be kept)
        or ended; no other is started in either case.

    Yields
    ------
    int
        Image sets finished, whenever there are more.

    Returns
    -------
    list
        The results, in the order of `parts`.

    Raises
    ------
    Cancelled
        When `should_stop` returned true.
    Exception
        The first that a part raised.
    """
    done = [0] * len(parts)
    stop = threading.Event()

    def work(index: int) -> T:
        if stop.is_set():
            raise Cancelled("CellProfiler was stopped; its numbers are not complete.")
        part = parts[index]
        result = part.run(lambda count: done.__setitem__(index, count), stop.is_set)
        done[index] = part.images
        return result

    with ThreadPoolExecutor(max_workers=max(1, min(processes, len(parts)))) as pool:
        futures = [pool.submit(work, index) for index in range(len(parts))]
        waiting: set[Future[T]] = set(futures)
        told, fault = 0, None
        try:
            while waiting:
                ended, waiting = wait(waiting, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in ended:
                    fault = fault or (None if future.cancelled() else future.exception())
                if fault is not None:
                    if not finish_started:
                        raise fault
                    waiting = {future for future in waiting if not future.cancel()}
                if sum(done) > told:
                    told = sum(done)
                    yield told
                if should_stop is not None and should_stop():
                    raise Cancelled("CellProfiler was stopped; its numbers are not complete.")
        finally:
            stop.set()
            for future in waiting:
                future.cancel()
    if fault is not None:
        raise fault
    return [future.result() for future in futures]
