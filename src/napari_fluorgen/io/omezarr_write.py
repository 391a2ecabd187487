"""Stained fields as OME-Zarr (NGFF 0.5, Zarr 3): stains, nuclei labels and confidence.

The root is the image of the stains (c, y, x); ``labels/nuclei`` holds the masks, and
``confidence`` is a second image with the nuclei probability, the p-values and, in counts, the
widths of intervals.

References
----------
https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.io.files import unreadable
from napari_fluorgen.stack import STAINS, StainedField

_VERSION = "0.5"
_SMALLEST = 256
_CHUNK = 1024
_COLOURS = {"nuclei": "0000FF", "lipids": "00FF00", "cytoplasm": "FF0000"}


def pyramid(data: NDArray[Any], *, labels: bool = False) -> list[NDArray[Any]]:
    """Levels of half the size until the shorter side is 256 or less.

    Parameters
    ----------
    data : ndarray, shape (..., Y, X)
        Full resolution.
    labels : bool
        Take every second pixel instead of the mean of 2 × 2.

    Returns
    -------
    list of ndarray
        The first is `data`; odd sizes are rounded up.
    """
    levels = [data]
    while min(levels[-1].shape[-2:]) > _SMALLEST:
        levels.append(levels[-1][..., ::2, ::2] if labels else _halved(levels[-1]))
    return levels


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


def _write_image(
    group: Any,
    data: NDArray[Any],
    name: str,
    pixel_size_um: tuple[float, float] | None,
    *,
    labels: bool = False,
    extra: dict[str, Any] | None = None,
) -> None:
    """Write the levels of (Y, X) or (C, Y, X) and the multiscales metadata into a group."""
    size = pixel_size_um or (1.0, 1.0)
    unit = {} if pixel_size_um is None else {"unit": "micrometer"}
    axes: list[dict[str, str]] = [{"name": n, "type": "space", **unit} for n in "yx"]
    lead = data.ndim - 2
    if lead:
        axes.insert(0, {"name": "c", "type": "channel"})
    datasets = []
    for index, level in enumerate(pyramid(data, labels=labels)):
        chunks = (1,) * lead + tuple(min(_CHUNK, length) for length in level.shape[-2:])
        array = group.create_array(
            str(index),
            shape=level.shape,
            chunks=chunks,
            dtype=level.dtype,
            dimension_names=[axis["name"] for axis in axes],
        )
        array[...] = level
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
    group.attrs["ome"] = {"version": _VERSION, "multiscales": [multiscale], **(extra or {})}


def write_stained_field(path: Path, field: StainedField) -> None:
    """Write a field into a new folder.

    Parameters
    ----------
    path : Path
        Must not exist.
    field : StainedField
        The result.
    """
    import zarr

    from napari_fluorgen.io.results import smallest_labels

    name, size = field.identity.name, field.pixel_size_um
    root = zarr.create_group(path, zarr_format=3)
    stains = [stain for stain in STAINS if stain in field.images]
    images = np.stack([field.images[stain] for stain in stains])
    _write_image(root, images, name, size, extra={"omero": _omero(stains, images)})
    labels = root.create_group("labels")
    labels.attrs["ome"] = {"version": _VERSION, "labels": ["nuclei"]}
    source = {"image-label": {"source": {"image": "../../"}}}
    _write_image(
        labels.create_group("nuclei"),
        smallest_labels(field.nuclei_labels),
        "nuclei",
        size,
        labels=True,
        extra=source,
    )
    maps = {"probability": field.nuclei_probability}
    maps |= {f"p-{hypothesis}": values for hypothesis, values in field.p_values.items()}
    maps |= {f"width-{stain}": width for stain, width in field.widths.items()}
    confidence = np.stack([values.astype(np.float32, copy=False) for values in maps.values()])
    _write_image(
        root.create_group("confidence"),
        confidence,
        "confidence",
        size,
        extra={"omero": _omero(list(maps), confidence)},
    )


def is_stained_field(path: Path) -> bool:
    """Whether a folder holds what `write_stained_field` writes, and nothing else."""
    if path.is_symlink() or not path.is_dir():
        return False
    held = {item.name for item in path.iterdir()}
    groups = {"zarr.json", "labels", "confidence"}
    return (
        held >= groups
        and all(name.isdecimal() for name in held - groups)
        and {item.name for item in (path / "labels").iterdir()} == {"zarr.json", "nuclei"}
    )


def _omero(names: list[str], images: NDArray[Any]) -> dict[str, Any]:
    """How viewers show the channels: colours, and limits that ignore the extreme pixels."""
    channels = []
    for name, image in zip(names, images, strict=True):
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
