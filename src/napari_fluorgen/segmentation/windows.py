"""Nuclei of a field of any size, one window at a time.

A window is its core and a halo around it. A nucleus belongs to the first window whose core it
reaches into. Where the components of the mask are smaller than the halo, each window sees its own
nuclei whole and divides them exactly as in one pass over the field; a clump of nuclei larger than
the halo is divided by what the window sees of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WINDOW_PX = 2560
"""Fields up to this size are one window: a camera's field is segmented in one pass."""
CORE_PX = 2048
HALO_PX = 256

Area = tuple[slice, slice]


@dataclass(frozen=True)
class Window:
    """A part of a field.

    Attributes
    ----------
    core, outer : tuple of slice
        Rows and columns of the field: what the window answers for, and what it sees.
    """

    core: Area
    outer: Area

    @property
    def local(self) -> Area:
        """The core in pixels of the window."""
        rows, columns = (
            slice(core.start - outer.start, core.stop - outer.start)
            for core, outer in zip(self.core, self.outer, strict=True)
        )
        return rows, columns


def windows(
    shape: tuple[int, int], core: int = CORE_PX, halo: int = HALO_PX, whole: int = WINDOW_PX
) -> Iterator[Window]:
    """Cut a field into windows in reading order.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    core : int
        Side of the cores in pixels.
    halo : int
        Pixels that a window sees beyond its core, except at the edge of the field.
    whole : int
        A field whose sides are no longer is one window.

    Yields
    ------
    Window
        Their cores cover the field once.
    """
    if max(shape) <= whole:
        everything = slice(0, shape[0]), slice(0, shape[1])
        yield Window(everything, everything)
        return
    for top in range(0, shape[0], core):
        for left in range(0, shape[1], core):
            stop = min(top + core, shape[0]), min(left + core, shape[1])
            outer = (
                slice(max(top - halo, 0), min(stop[0] + halo, shape[0])),
                slice(max(left - halo, 0), min(stop[1] + halo, shape[1])),
            )
            yield Window((slice(top, stop[0]), slice(left, stop[1])), outer)


def first_pixels(labels: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of each label's first pixel in reading order.

    Parameters
    ----------
    labels : ndarray of uint32, shape (Y, X)
        Sequential from 1.
    """
    flat = labels.ravel()
    inside = np.flatnonzero(flat)
    first = np.zeros(int(labels.max(initial=0)), np.int64)
    # The last assignment to a place stays: of the pixels in reverse, that is the first.
    first[flat[inside[::-1]].astype(np.int64) - 1] = inside[::-1]
    return first // labels.shape[1], first % labels.shape[1]


def new_nuclei(
    labels: NDArray[np.uint32], before: NDArray[np.uint32], window: Window
) -> NDArray[np.bool_]:
    """Which nuclei of a window are its own, in the order of the labels.

    Those that reach into its core and were not found by a window before: less than half of their
    pixels have a label already.

    Parameters
    ----------
    labels : ndarray of uint32
        Of the outer rectangle of the window, sequential from 1.
    before : ndarray of uint32
        Labels there that earlier windows found.
    window : Window
        Where they lie.
    """
    number = int(labels.max(initial=0))
    area = np.bincount(labels.ravel(), minlength=number + 1)
    inside = np.bincount(labels[window.local].ravel(), minlength=number + 1)
    taken = np.bincount(labels[before != 0], minlength=number + 1)
    own: NDArray[np.bool_] = (inside > 0) & (2 * taken < area)
    return own[1:]
