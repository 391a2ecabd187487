"""The heap of the C library, told to give freed arrays back."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache
from typing import Final

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 2**20


@cache
def return_freed_arrays() -> None:
    """Let arrays from 1 MiB on go back to the system when they are freed, once a process.

    By default glibc raises that size to the largest array that was freed, up to 32 MiB. The tiles
    of a large field then lie in a heap that frays, so that memory grows with their number. Where
    the C library is another one, or the user has set ``MALLOC_MMAP_THRESHOLD_``, nothing is done.
    """
    if sys.platform != "linux" or "MALLOC_MMAP_THRESHOLD_" in os.environ:
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)
