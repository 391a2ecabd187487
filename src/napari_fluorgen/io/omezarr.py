"""OME-Zarr (NGFF 0.4 and 0.5): images in, stains with labels out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.files import ONE_PLANE, field_name, natural_key, unreadable
from napari_fluorgen.io.lazy import PlaneStack
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity

_MICROMETRES = {
    "micrometer": 1.0,
    "nanometer": 1e-3,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
    "angstrom": 1e-4,
}


@dataclass(frozen=True)
class ZarrPlane:
    """A plane of a Zarr array: `leading` are the indices before (Y, X)."""

    path: Path
    array: str
    leading: tuple[int, ...]
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    windowed: bool = True

    def read(self, window: tuple[Any, ...] = ()) -> NDArray[Any]:
        """Pixels of `window` in the machine's byte order."""
        import zarr

        try:
            node = zarr.open_group(self.path, mode="r")[self.array]
            rows, columns = (*window, slice(None), slice(None))[:2]
            block = node[(*self.leading, *_basic(rows, columns))]
            return np.asarray(block).astype(self.dtype, copy=False)
        except Exception as error:
            raise unreadable(self.path, error) from error


def _basic(rows: Any, columns: Any) -> tuple[Any, Any]:
    return (slice(None) if rows is Ellipsis else rows), columns


def _attributes(path: Path) -> dict[str, Any]:
    """NGFF metadata of a group: 0.5 keeps it under ``ome``, 0.4 at the top."""
    import zarr

    try:
        attributes = dict(zarr.open_group(path, mode="r").attrs)
    except Exception as error:
        raise unreadable(path, error) from error
    found = attributes.get("ome", attributes)
    return found if isinstance(found, dict) else {}


def find_images(path: Path) -> tuple[list[tuple[Path, FieldIdentity]], list[str]]:
    """Images of an OME-Zarr: one, those of a bioformats2raw folder, or a plate's fields.

    Returns
    -------
    list of (Path, FieldIdentity)
        By well and site, or by number.
    list of str
        A sentence for each well that cannot be read.

    Raises
    ------
    InputError
        Not NGFF.
    """
    metadata = _attributes(path)
    if "multiscales" in metadata:
        return [(path, FieldIdentity(field_name(path)))], []
    if "bioformats2raw.layout" in metadata and "plate" not in metadata:
        return _numbered_images(path), []
    if "plate" not in metadata:
        raise InputError(
            f"{path} is a Zarr folder without NGFF image metadata: expected OME-Zarr 0.4 or 0.5; "
            "export it again as OME-Zarr or OME-TIFF."
        )
    try:
        found, problems = _plate_images(path, metadata["plate"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} has damaged NGFF plate metadata ({type(error).__name__}: {error}): expected "
            "wells with their images; export it again as OME-Zarr."
        ) from error
    if problems and not found:
        raise InputError(problems[0])
    return sorted(found, key=lambda item: natural_key(item[1].name)), problems


def _numbered_images(path: Path) -> list[tuple[Path, FieldIdentity]]:
    """Images ``0``, ``1`` and so on, which bioformats2raw converts from one file."""
    try:
        names = sorted(
            (child.name for child in path.iterdir() if child.name.isdecimal() and child.is_dir()),
            key=int,
        )
    except OSError as error:
        raise unreadable(path, error) from error
    if not names:
        raise InputError(
            f"{path} has the layout of bioformats2raw but none of its images: expected folders 0, "
            "1 and so on; copy it again with all that it holds."
        )
    stem = field_name(path)
    fields = [FieldIdentity(stem if len(names) == 1 else f"{stem}_{name}") for name in names]
    return [(path / name, identity) for name, identity in zip(names, fields, strict=True)]


def _plate_images(
    path: Path, metadata: dict[str, Any]
) -> tuple[list[tuple[Path, FieldIdentity]], list[str]]:
    plate = str(metadata.get("name") or field_name(path))
    found = []
    problems = []
    for well in metadata.get("wells", []):
        row, column = str(well["path"]).split("/")[:2]
        name = f"{row}{int(column):02d}" if column.isdecimal() else f"{row}{column}"
        try:
            images = _attributes(path / well["path"]).get("well", {}).get("images", [])
            places = [path / well["path"] / str(image["path"]) for image in images]
        except (InputError, AttributeError, KeyError, TypeError) as error:
            reason = str(error) if isinstance(error, InputError) else "its metadata is damaged"
            problems.append(f"Well {name} of {path} is left out: {reason.rstrip('.')}.")
            continue
        for site, place in enumerate(places, start=1):
            identity = FieldIdentity(f"{plate}_{name}_F{site:03d}", plate, name, site)
            found.append((place, identity))
    return found, problems


def read_image(path: Path) -> BrightfieldStack:
    """Open an NGFF image; chunks are read when sliced.

    Parameters
    ----------
    path : Path
        Folder of the image.

    Returns
    -------
    BrightfieldStack
        The full-resolution level with pixel size and plane heights from its transformations.

    Raises
    ------
    InputError
        Not NGFF, several channels or time points, or damaged.
    """
    import zarr

    metadata = _attributes(path)
    try:
        image = metadata["multiscales"][0]
        level = image["datasets"][0]
        array = zarr.open_group(path, mode="r")[str(level["path"])]
        axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in image["axes"]]
        names = [str(axis["name"]).lower() for axis in axes]
        shape = tuple(int(length) for length in array.shape)
        dtype = np.dtype(array.dtype).newbyteorder("=")
        scale = _scale(image, level, axes)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path} is no OME-Zarr image that can be read ({' '.join(str(error).split())[:120]}): "
            "expected NGFF 0.4 or 0.5 multiscales; export it again."
        ) from error
    if len(names) != len(shape) or names[-2:] != ["y", "x"] or dtype.kind not in "uif":
        raise InputError(
            f"{path} has axes {''.join(names)}, shape {shape}, type {dtype}: expected gray planes "
            "with the axes z, y, x."
        )
    sizes = dict(zip(names, shape, strict=True))
    several = {name: sizes[name] for name in names if name not in "zyx" and sizes[name] > 1}
    if several:
        found = ", ".join(f"{name} = {size}" for name, size in several.items())
        raise InputError(
            f"{path} holds more than one stack ({found}): expected the focus planes of one "
            "brightfield field; save the brightfield channel of one time point alone."
        )
    planes = []
    for z in range(sizes.get("z", 1)):
        leading = tuple(z if name == "z" else 0 for name in names[:-2])
        planes.append(ZarrPlane(path, str(level["path"]), leading, (shape[-2], shape[-1]), dtype))
    z_um = None
    if sizes.get("z", 1) > 1 and "z" in scale:
        z_um = tuple(round(index * scale["z"], 6) for index in range(sizes["z"]))
    pixel_size = (scale["y"], scale["x"]) if {"y", "x"} <= scale.keys() else None
    return BrightfieldStack(
        data=PlaneStack(planes),
        identity=FieldIdentity(field_name(path)),
        pixel_size_um=pixel_size,
        z_um=z_um,
        source=str(path),
        notes=(ONE_PLANE,) if len(planes) == 1 else (),
    )


def _scale(
    image: dict[str, Any], level: dict[str, Any], axes: list[dict[str, Any]]
) -> dict[str, float]:
    """Micrometres a step of the spatial axes that carry a unit of length."""
    factors = [1.0] * len(axes)
    known = False
    for transformations in (level, image):
        for step in transformations.get("coordinateTransformations") or []:
            values = step.get("scale") if step.get("type") == "scale" else None
            if values and len(values) == len(axes):
                factors = [a * float(b) for a, b in zip(factors, values, strict=True)]
                known = True
    if not known:
        return {}
    found = {}
    for axis, factor in zip(axes, factors, strict=True):
        unit = _MICROMETRES.get(str(axis.get("unit", "")).lower())
        if unit is not None and factor > 0:
            found[str(axis["name"]).lower()] = factor * unit
    return found
