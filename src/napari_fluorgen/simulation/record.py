"""What a simulated field holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SimulatedField:
    """Simulated data of one field.

    Attributes
    ----------
    brightfield : ndarray, shape (Z, Y, X), uint16
        Focus series in counts, heights ascending; 7 planes, or 11 of the wide varieties.
    z_um : tuple of float
        True height of each plane.
    pixel_size_um : float
        Nominal micrometres a pixel; the wide varieties differ from it.
    stains : dict of str to ndarray, shape (Y, X), uint16
        True nuclei, lipids and cytoplasm in counts.
    nuclei_labels : ndarray, shape (Y, X), uint16
        True nuclei, sequential from 1.
    defects : ndarray, shape (Y, X), uint16
        Holes and creases of defective droplets: pixels that lack dye within a droplet; one label
        a defective droplet, sequential from 1.
    nominal_z_um : tuple of float
        Heights that the plate's metadata tells.
    """

    brightfield: NDArray[np.uint16]
    z_um: tuple[float, ...]
    pixel_size_um: float
    stains: dict[str, NDArray[np.uint16]]
    nuclei_labels: NDArray[np.uint16]
    defects: NDArray[np.uint16]
    nominal_z_um: tuple[float, ...]


def fast_length(n: int) -> int:
    """Return the smallest product of 2, 3 and 5 from `n` on, where the FFT is quick."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def sequential(labels: NDArray[np.int32]) -> NDArray[np.uint16]:
    """Number the labels that are left from 1 on; 0 stays 0."""
    present = np.unique(labels[labels > 0])
    return np.where(labels > 0, np.searchsorted(present, labels) + 1, 0).astype(np.uint16)
