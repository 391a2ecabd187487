"""Run a call that reports by callbacks as steps of a worker.

napari's workers stop at a ``yield`` only, but training calls back from deep inside a loop of
another library. So it runs in a thread of its own, and the worker hands on what it tells.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import Cancelled
from napari_fluorgen.stack import BrightfieldStack
from napari_fluorgen.widgets.steps import Steps, StopCheck
from napari_fluorgen.widgets.train.pairs import truth_read
from napari_fluorgen.widgets.train.picture import side_by_side

Tell = Callable[[Any], None]

_EVERY_S = 0.2  # often enough for a curve that grows, seldom enough for a window that is free


@dataclass(frozen=True)
class Shot:
    """Prediction and truth of a held-out part as one grey picture."""

    stain: str
    picture: NDArray[np.uint8]


def train_steps(
    request: Any,
    pairs: Sequence[BrightfieldStack] | None,
    enough: StopCheck,
    should_stop: StopCheck,
) -> Steps:
    """Fine-tune in a thread of its own.

    Parameters
    ----------
    request : FineTuneRequest
        Settings of the run.
    pairs : sequence of BrightfieldStack, optional
        Fields that are loaded, as `stacks_of_pairs` gives them, instead of the request's folder.
    enough : callable
        Whether the best so far shall be kept now.
    should_stop : callable
        Whether all shall be dropped now.

    Yields
    ------
    tuple
        Events since the last: `TrainProgress`, sentences of stages, and `Shot`.
    """

    def read(stack: BrightfieldStack, tell: Tell) -> BrightfieldStack:
        tell(f"Reading {stack.identity.name}.")
        return truth_read(stack)

    def call(tell: Tell) -> Any:
        stacks = None if pairs is None else [read(stack, tell) for stack in pairs]
        from napari_fluorgen.workflow.fine_tuning import fine_tune

        leave_out_triton()
        with bounded_threads():
            return fine_tune(
                request,
                pairs=stacks,
                progress=tell,
                stage=tell,
                preview=lambda stain, predicted, truth: tell(
                    Shot(stain, side_by_side(predicted, truth))
                ),
                should_stop=lambda: enough() or should_stop(),
            )

    return told_steps(call, should_stop)


def told_steps(
    call: Callable[[Tell], Any], should_stop: StopCheck, *, every_s: float = _EVERY_S
) -> Steps:
    """Run a call in a thread; yield what it tells in batches and return what it returns.

    Parameters
    ----------
    call : callable
        Takes ``tell``, which it calls with events. Once the steps are closed or `should_stop` says
        so, ``tell`` raises `Cancelled`, which ends the call also where it would go on.
    should_stop : callable
        Asked by ``tell``.
    every_s : float
        Seconds between batches.

    Yields
    ------
    tuple
        Events since the last batch; empty where there are none.
    """
    left, news, ended = threading.Event(), threading.Event(), threading.Event()
    lock = threading.Lock()
    events: list[Any] = []
    answer: list[Any] = []
    trouble: list[BaseException] = []

    def tell(event: Any) -> None:
        if left.is_set() or should_stop():
            raise Cancelled("The window was closed.")
        with lock:
            events.append(event)
        news.set()

    def run() -> None:
        try:
            answer.append(call(tell))
        except BaseException as error:  # whatever it is, the worker raises it
            trouble.append(error)
        ended.set()
        news.set()

    def taken() -> tuple[Any, ...]:
        news.clear()
        with lock:
            batch = tuple(events)
            events.clear()
        return batch

    # No daemon: torch must not be cut off in the middle when Python ends.
    thread = threading.Thread(target=run, name="fluorgen-train", daemon=False)
    thread.start()
    try:
        last = time.monotonic()
        while not ended.is_set():
            news.wait(every_s)
            pause = every_s - (time.monotonic() - last)
            if pause > 0:
                ended.wait(pause)
            last = time.monotonic()
            yield taken()
        yield taken()
    finally:
        left.set()
    thread.join()
    if trouble:
        raise trouble[0]
    return answer[0]


def leave_out_triton() -> None:
    """Keep Lightning from importing triton, which comes with PyTorch for CUDA.

    Its LLVM and that of Mesa's OpenGL crash a process that loads both. Only `torch.compile` needs
    it, which nothing here uses; where somebody else has imported it already, it stays.
    """
    sys.modules.setdefault("triton", None)  # type: ignore[arg-type]  # as Python documents it


@contextlib.contextmanager
def bounded_threads() -> Iterator[None]:
    """Let torch use the cores of this process, but one less where there are many.

    The window needs a core to stay alive while all others learn. Who has set OMP_NUM_THREADS
    lower keeps that.
    """
    import torch

    from napari_fluorgen.staining.devices import cpu_threads

    before = torch.get_num_threads()
    cores = min(cpu_threads(), before)
    torch.set_num_threads(cores if cores < 4 else cores - 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
