"""The one pixel size that a CellProfiler pipeline is written for."""

from __future__ import annotations

from collections.abc import Iterable

from napari_fluorgen.stack import square_pixel

DEFAULT_PIXEL_SIZE_UM = 0.325
"""Assumed where a field does not say: a 20x objective on a 6.5 µm camera."""

_SAME = 0.01


def pipeline_pixel_size(sizes: Iterable[tuple[float, float] | None]) -> tuple[float, list[str]]:
    """Return the pixel size of the first field that has one, and what to say of the others.

    Parameters
    ----------
    sizes : iterable of tuple of float (y, x) or None
        In µm, of the fields that one pipeline is to measure.

    Returns
    -------
    size : float
        In µm; `DEFAULT_PIXEL_SIZE_UM` where no field has one.
    notes : list of str
        A sentence where the sizes differ by more than one per cent.
    """
    known = [square_pixel(size) for size in sizes if size]
    if not known:
        return DEFAULT_PIXEL_SIZE_UM, []
    size, smallest, largest = known[0], min(known), max(known)
    if largest <= smallest * (1 + _SAME):
        return size, []
    return size, [
        f"The fields have pixels of {smallest:.4g} to {largest:.4g} µm, but CellProfiler looks for "
        f"objects of the sizes that suit {size:.4g} µm in all of them: keep fields of one pixel "
        "size together."
    ]
