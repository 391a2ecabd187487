"""What is kept between runs, so that a second click starts at once: bounded, for all threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any


class Warm:
    """The things that were used last, by key.

    Parameters
    ----------
    most : int
        How many are kept; what was not used for longest goes first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many are kept now."""
        return len(self._kept)

    def take(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what is kept under a key; made first where it is not there.

        Threads that want the same thing wait for the one that makes it.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            made = self._kept[key] = make()
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)
            return made

    def items(self) -> list[tuple[Any, Any]]:
        """Return all keys with what they name."""
        with self._lock:
            return list(self._kept.items())

    def clear(self) -> None:
        """Forget all; what is still used elsewhere lives on."""
        with self._lock:
            self._kept.clear()
