"""Which images of a TIFF are focus stacks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_fluorgen.errors import InputError


def find_stacks(path: Path, tif: tifffile.TiffFile) -> tuple[list[int], int]:
    """Tell the stacks of a file from the thumbnails, projections and labels beside them.

    Parameters
    ----------
    path : Path
        The file.
    tif : tifffile.TiffFile
        The same, opened.

    Returns
    -------
    list of int
        Numbers of the series that are stacks of one kind; of what has no focus series, those of
        one plane. The first series where there is none, whose opening then says what it is.
    int
        Images in the file.

    Raises
    ------
    InputError
        Planes of different shapes.
    """
    others = [
        number
        for number, series in enumerate(tif.series)
        if number and (series.kind != "baseline" or not tif.is_ome)
    ]
    if not others:
        return [0], 1
    shapes = {series.shape[-2:] for series in tif.series}
    if len(shapes) > 1 and not tif.is_ome:
        found = " and ".join(" × ".join(map(str, shape)) for shape in sorted(shapes))
        raise InputError(
            f"{path} holds planes of different shapes ({found} pixels): expected one stack; save "
            "the brightfield planes as their own file."
        )
    numbers = [0, *others]
    # Pages that were saved in several ways are no positions that somebody described.
    if not tif.is_ome and tif.series[0].kind == "generic":
        return [0], len(numbers)
    depths = {number: _depth(path, tif.series[number]) for number in numbers}
    least = 2 if max(depths.values()) > 1 else 1
    deep = [number for number in numbers if depths[number] >= least]
    kinds = {number: np.dtype(tif.series[number].dtype).kind for number in deep}
    return [number for number in deep if kinds[number] == kinds[deep[0]]] or [0], len(numbers)


def _depth(path: Path, series: tifffile.TiffPageSeries) -> int:
    """Planes of an image; 0 where it is no stack."""
    try:
        gray_type(path, series.dtype)
        return plane_count(path, series.axes, series.shape, [])
    except InputError:
        return 0


def gray_type(path: Path, found: Any) -> np.dtype[Any]:
    """Type of gray values in the machine's byte order.

    Raises
    ------
    InputError
        No gray values.
    """
    if found is None or np.dtype(found).kind not in "uif":
        raise InputError(
            f"{path} has pixels of type {found}: expected gray values in 8, 16 or 32 bits; "
            "save the brightfield stack in its original bit depth."
        )
    return np.dtype(found).newbyteorder("=")


def is_plane_by_plane(tif: tifffile.TiffFile) -> bool:
    """Whether a stack was saved one plane after the other, which tifffile takes for many images."""
    kinds = {(part.kind, part.axes, part.shape, part.dtype) for part in tif.series}
    return len(tif.series) > 1 and len(kinds) == 1 and tif.series[0].axes == "YX" and tif.is_shaped


def plane_count(path: Path, names: str, shape: tuple[int, ...], notes: list[str]) -> int:
    """Planes of an image whose axes can only mean one stack; `notes` gain what was assumed.

    Raises
    ------
    InputError
        In colour, several channels or time points.
    """
    if "S" in names or "Y" not in names or "X" not in names:
        raise InputError(
            f"{path} is an RGB or otherwise coloured image (axes {names}): expected gray "
            "planes; save the brightfield stack as 8-bit or 16-bit gray."
        )
    pairs = zip(names, shape, strict=True)
    extra = [(axis, size) for axis, size in pairs if axis not in "YX" and size > 1]
    if len(extra) > 1:
        found = " × ".join(f"{size} {_AXIS_WORDS.get(axis, axis)}" for axis, size in extra)
        raise InputError(
            f"{path} holds {found}: expected the focus planes of one brightfield field alone; save "
            "the brightfield channel of one time point and position as its own file (in Fiji: "
            "Image > Duplicate…)."
        )
    for axis, size in extra:
        # Writers without axes information call focus planes channels or time points.
        if axis == "C" and size < 5:
            raise InputError(
                f"{path} holds {size} channels and no focus planes: expected a brightfield z-stack;"
                " save its brightfield channel alone, or if these are focus planes, mark them as "
                "slices (in Fiji: Image > Properties…)."
            )
        if axis in "CT":
            notes.append(f"{path.name}: its {size} {_AXIS_WORDS[axis]} were read as focus planes.")
    return math.prod(size for _, size in extra)


_AXIS_WORDS = {
    "C": "channels",
    "T": "time points",
    "Z": "planes",
    "I": "images",
    "Q": "images",
    "P": "positions",
}
