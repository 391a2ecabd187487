"""Work for a background thread: generators that never raise and never touch Qt or layers.

A generator worker of napari stops only at a ``yield``, and treats a ``RuntimeError`` (which
torch raises for nearly everything) as a deleted worker. So every piece of work runs inside
`guarded`, which hands back an `Outcome` instead of raising.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from napari_fluorgen.errors import Cancelled

StopCheck = Callable[[], bool]
Steps = Generator[Any, None, Any]


@dataclass(frozen=True)
class Outcome:
    """How a piece of work ended.

    Attributes
    ----------
    value : object
        What the work returned, None after an error or a stop.
    error : Exception or None
        What went wrong.
    cancelled : bool
        Whether the user stopped it.
    """

    value: Any = None
    error: Exception | None = None
    cancelled: bool = False


def guarded(work: Callable[[], Steps]) -> Generator[Any, None, Outcome]:
    """Run a generator to its end and return an `Outcome`, whatever happens."""
    try:
        value = yield from work()
    except Cancelled:
        return Outcome(cancelled=True)
    except Exception as error:
        return Outcome(error=error)
    return Outcome(value=value)


def once(call: Callable[[], Any]) -> Steps:
    """Make a generator of a plain call, with one step before it at which it can be stopped."""
    yield None
    return call()
