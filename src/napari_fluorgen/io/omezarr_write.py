"""Stained fields as OME-Zarr (NGFF 0.5, Zarr 3): stains, nuclei labels and confidence.

The root is the image of the stains (c, y, x); ``labels/nuclei`` holds the masks, and
``confidence`` is a second image with the nuclei probability, the p-values and, in counts, the
widths of intervals.

References
----------
https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from napari_fluorgen.io.blocks import BLOCK_PX, blocks
from napari_fluorgen.io.files import unreadable
from napari_fluorgen.io.own_files import OF_THE_SYSTEM
from napari_fluorgen.stack import STAINS, StainedField

_VERSION = "0.5"
_SMALLEST = 256
_SAMPLED = 4096
_COLOURS = {"nuclei": "0000FF", "lipids": "00FF00", "cytoplasm": "FF0000"}


def _halved(data: NDArray[Any]) -> NDArray[Any]:
    y, x = data.shape[-2:]
    edges = [(0, 0)] * (data.ndim - 2) + [(0, y % 2), (0, x % 2)]
    padded = np.pad(data, edges, mode="edge") if y % 2 or x % 2 else data
    total = np.zeros((*data.shape[:-2], (y + 1) // 2, (x + 1) // 2), np.float32)
    for row in (0, 1):
        for column in (0, 1):
            total += padded[..., row::2, column::2]
    total *= 0.25
    if np.issubdtype(data.dtype, np.integer):
        np.rint(total, out=total)
    return total.astype(data.dtype)


def _opened(group: Any, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
    """Full resolution of an image, made where it is missing."""
    if "0" in group and tuple(group["0"].shape) == shape:
        return group["0"]
    return _create_level(group, 0, shape, dtype)


def _create_level(group: Any, index: int, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
    lead = len(shape) - 2
    return group.create_array(
        str(index),
        shape=shape,
        chunks=(1,) * lead + tuple(min(BLOCK_PX, length) for length in shape[-2:]),
        dtype=dtype,
        dimension_names=["c", "y", "x"][1 - lead :],
        overwrite=True,
    )


def finish_image(
    group: Any,
    name: str,
    pixel_size_um: tuple[float, float] | None,
    *,
    labels: bool = False,
    channels: Sequence[str] = (),
    extra: dict[str, Any] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Write the lower levels, block by block, and the metadata of an image.

    Parameters
    ----------
    group : zarr.Group
        Holds the full resolution.
    name : str
        Of the image.
    pixel_size_um : tuple of float (y, x) or None
        Micrometres a pixel.
    labels : bool
        Whether the pixels are labels, of which every second is taken.
    channels : sequence of str
        Names of the channels, if there are any.
    extra : dict, optional
        More metadata.
    progress : callable
        Called after each block.
    """
    levels = [group["0"]]
    while min(levels[-1].shape[-2:]) > _SMALLEST:
        finer = levels[-1]
        shape = (*finer.shape[:-2], *(-(-length // 2) for length in finer.shape[-2:]))
        coarser = _create_level(group, len(levels), shape, finer.dtype)
        for block in blocks(shape[-2:]):
            # Twice the block, cut at the edge: blocks start at even pixels of the finer level.
            source = tuple(slice(2 * side.start, 2 * side.stop) for side in block)
            for channel in np.ndindex(shape[:-2]):
                part = np.asarray(finer[(*channel, *source)])
                coarser[(*channel, *block)] = part[::2, ::2] if labels else _halved(part)
            progress()
        levels.append(coarser)
    size = pixel_size_um or (1.0, 1.0)
    unit = {} if pixel_size_um is None else {"unit": "micrometer"}
    axes: list[dict[str, str]] = [{"name": n, "type": "space", **unit} for n in "yx"]
    lead = levels[0].ndim - 2
    if lead:
        axes.insert(0, {"name": "c", "type": "channel"})
    datasets = []
    for index in range(len(levels)):
        factor = 2**index
        # The mean of 2 × 2 pixels lies between them; a label keeps the place of the one it is.
        shift = 0.0 if labels else (factor - 1) / 2
        transformations = [
            {"type": "scale", "scale": [1.0] * lead + [value * factor for value in size]},
            {"type": "translation", "translation": [0.0] * lead + [v * shift for v in size]},
        ]
        datasets.append({"path": str(index), "coordinateTransformations": transformations})
    multiscale = {
        "name": name,
        "axes": axes,
        "datasets": datasets,
        "type": "nearest" if labels else "mean",
    }
    omero = {"omero": _omero(channels, levels)} if channels else {}
    group.attrs["ome"] = {
        "version": _VERSION,
        "multiscales": [multiscale],
        **omero,
        **(extra or {}),
    }


def write_stained_field(path: Path, field: StainedField) -> None:
    """Write a field into a new folder.

    Parameters
    ----------
    path : Path
        Must not exist.
    field : StainedField
        The result.
    """
    from napari_fluorgen.io.results import smallest_labels

    stains = [stain for stain in STAINS if stain in field.images]
    maps: dict[str, NDArray[Any]] = {"probability": field.nuclei_probability}
    maps |= {f"p-{hypothesis}": values for hypothesis, values in field.p_values.items()}
    maps |= {f"width-{stain}": width for stain, width in field.widths.items()}
    writer = FieldWriter(path, field.shape, stains, list(maps))
    for stain in stains:
        writer.channel(stain)[...] = field.images[stain]
    for name, values in maps.items():
        writer.channel(name)[...] = values
    labels = smallest_labels(field.nuclei_labels)
    writer.labels(labels.dtype)[...] = labels
    writer.finish(field.identity.name, field.pixel_size_um)


class FieldWriter:
    """A field's OME-Zarr that is filled part by part, in any order.

    Parameters
    ----------
    path : Path
        Made where it is missing; what an interrupted run wrote there stays.
    shape : tuple of int
        Rows and columns.
    stains, maps : sequence of str
        Channels of the stains (uint16) and of the confidence (float32).
    """

    def __init__(
        self, path: Path, shape: tuple[int, int], stains: Sequence[str], maps: Sequence[str]
    ) -> None:
        import zarr

        self._root = zarr.open_group(path, mode="a", zarr_format=3)
        self._shape, self._stains, self._maps = shape, tuple(stains), tuple(maps)
        self._groups = {
            "confidence": self._root.require_group("confidence"),
            "labels": self._root.require_group("labels"),
        }
        self._images = _opened(self._root, (len(stains), *shape), np.uint16)
        self._confidence = _opened(self._groups["confidence"], (len(maps), *shape), np.float32)

    def channel(self, name: str) -> Channel:
        """Return one stain or map, to be written and read by slices."""
        if name in self._stains:
            return Channel(self._images, self._stains.index(name))
        return Channel(self._confidence, self._maps.index(name))

    def labels(self, dtype: DTypeLike) -> Any:
        """Return empty labels of the nuclei, to be written by slices."""
        nuclei = self._groups["labels"].require_group("nuclei")
        return _create_level(nuclei, 0, self._shape, dtype)

    def finish(
        self,
        name: str,
        pixel_size_um: tuple[float, float] | None,
        progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Write what follows from the full resolution: lower levels and metadata.

        Parameters
        ----------
        name : str
            Of the field.
        pixel_size_um : tuple of float (y, x) or None
            Micrometres a pixel.
        progress : callable
            Called after each block; may raise to stop.
        """
        finish_image(self._root, name, pixel_size_um, channels=self._stains, progress=progress)
        labels = self._groups["labels"]
        labels.attrs["ome"] = {"version": _VERSION, "labels": ["nuclei"]}
        source = {"image-label": {"source": {"image": "../../"}}}
        finish_image(
            labels["nuclei"], "nuclei", pixel_size_um, labels=True, extra=source, progress=progress
        )
        finish_image(
            self._groups["confidence"],
            "confidence",
            pixel_size_um,
            channels=self._maps,
            progress=progress,
        )


@dataclass(frozen=True)
class Channel:
    """One channel of a Zarr array (C, Y, X) as an image (Y, X)."""

    array: Any
    index: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return int(self.array.shape[1]), int(self.array.shape[2])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of a pixel."""
        return np.dtype(self.array.dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return np.asarray(self.array[self._full(key)])

    def __setitem__(self, key: Any, values: Any) -> None:
        self.array[self._full(key)] = values

    def _full(self, key: Any) -> tuple[Any, ...]:
        return (self.index, *key) if isinstance(key, tuple) else (self.index, key)


_GROUPS = {"zarr.json", "labels", "confidence"}
"""What an OME-Zarr of a field holds, beside the levels of its images."""


def is_stained_field(path: Path) -> bool:
    """Whether a folder holds what `write_stained_field` writes, and nothing else."""
    if path.is_symlink() or not path.is_dir():
        return False
    held = {item.name for item in path.iterdir()}
    return held >= _GROUPS and added_to_field(path) is None and (path / "labels/nuclei").is_dir()


def added_to_field(path: Path) -> str | None:
    """Name in an OME-Zarr of something that `write_stained_field` does not write, if any."""
    labels = path / "labels"
    held = {item.name for item in path.iterdir()} - _GROUPS - OF_THE_SYSTEM
    inside = {item.name for item in labels.iterdir()} if labels.is_dir() else set()
    added = [
        *(name for name in sorted(held) if not name.isdecimal()),
        *(f"labels/{name}" for name in sorted(inside - {"zarr.json", "nuclei"} - OF_THE_SYSTEM)),
    ]
    return added[0] if added else None


def _omero(names: Sequence[str], levels: Sequence[Any]) -> dict[str, Any]:
    """How viewers show the channels: colours, and limits that ignore the extreme pixels."""
    level = next((level for level in levels if max(level.shape[1:]) <= _SAMPLED), levels[-1])
    channels = []
    for index, name in enumerate(names):
        image = np.asarray(level[index])
        sample = image[:: max(1, image.shape[0] // 512), :: max(1, image.shape[1] // 512)]
        start, end = (float(value) for value in np.percentile(sample, (0.1, 99.9)))
        counts = image.dtype.kind == "u" or name.startswith("width-")
        limits = (0.0, 65535.0) if counts else (0.0, 1.0)
        window = {"min": limits[0], "max": limits[1], "start": start, "end": max(end, start + 1e-3)}
        colour = _COLOURS.get(name, "FFFFFF")
        channels.append({"label": name, "color": colour, "window": window, "active": True})
    return {"channels": channels}


def read_stained_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Read back the full resolution of `write_stained_field`, by name.

    Raises
    ------
    InputError
        Missing or damaged.
    """
    import zarr

    try:
        root = zarr.open_group(path, mode="r")
        arrays = {"labels": np.asarray(root["labels/nuclei/0"][...])}
        for group in (root, root["confidence"]):
            data = np.asarray(group["0"][...])
            names = [channel["label"] for channel in group.attrs["ome"]["omero"]["channels"]]
            arrays |= dict(zip(names, data, strict=True))
    except Exception as error:
        raise unreadable(path, error) from error
    return arrays


def open_stained_arrays(path: Path) -> dict[str, Any]:
    """As `read_stained_arrays`, read when they are sliced.

    Raises
    ------
    InputError
        Missing or damaged.
    """
    import zarr

    from napari_fluorgen.io.lazy import PlaneImage
    from napari_fluorgen.io.omezarr import ZarrPlane

    def opened(group: str, leading: tuple[int, ...]) -> PlaneImage:
        array = zarr.open_group(path, mode="r")[group]
        dtype, (rows, columns) = np.dtype(array.dtype), array.shape[-2:]
        return PlaneImage([ZarrPlane(path, group, leading, (rows, columns), dtype)])

    try:
        root = zarr.open_group(path, mode="r")
        arrays = {"labels": opened("labels/nuclei/0", ())}
        for group, level in ((root, "0"), (root["confidence"], "confidence/0")):
            for index, channel in enumerate(group.attrs["ome"]["omero"]["channels"]):
                arrays[channel["label"]] = opened(level, (index,))
    except Exception as error:
        raise unreadable(path, error) from error
    return arrays


def scratch_array(
    path: Path, name: str, shape: tuple[int, int], dtype: DTypeLike, *, new: bool = False
) -> Any:
    """Return an array on disk for the time of a run.

    Parameters
    ----------
    path : Path
        Zarr group, made where it is missing.
    name : str
        Of the array.
    shape : tuple of int
        Rows and columns.
    dtype : dtype
        Of a pixel.
    new : bool
        Whether to drop what an interrupted run left there.
    """
    import zarr

    group = zarr.open_group(path, mode="a", zarr_format=3)
    if not new and name in group and tuple(group[name].shape) == shape:
        return group[name]
    chunks = tuple(min(BLOCK_PX, length) for length in shape)
    return group.create_array(name, shape=shape, chunks=chunks, dtype=dtype, overwrite=True)
