"""One image file: its planes and what it says about pixel size and heights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.lazy import Plane

IMAGE_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".png")

ONE_PLANE = "There is only one plane: focus cannot be used, and stains will be unreliable."

MICROSCOPE_FORMATS = {
    ".czi": "Zeiss CZI",
    ".lif": "Leica LIF",
    ".lof": "Leica LOF",
    ".nd2": "Nikon ND2",
    ".oib": "Olympus OIB",
    ".oif": "Olympus OIF",
    ".oir": "Olympus OIR",
    ".vsi": "Olympus VSI",
    ".ims": "Imaris IMS",
    ".dv": "DeltaVision",
    ".mvd2": "Volocity",
    ".zvi": "Zeiss ZVI",
    ".lsm": "Zeiss LSM",
}


@dataclass(frozen=True)
class ImageFile:
    """What is known of a file before its pixels are read.

    Attributes
    ----------
    planes : tuple of Plane
        In the order of the file.
    pixel_size_um : tuple of float (y, x) or None
        Micrometres a pixel.
    z_um : tuple of float or None
        Height of each plane.
    notes : tuple of str
        What was assumed.
    files : tuple of Path
        Of an image that says of itself over which files it is split, all that hold its planes;
        else empty.
    images : mapping of int to tuple of Path
        Where the file holds several images, the number of each of them, and its `files`.
    """

    planes: tuple[Plane, ...]
    pixel_size_um: tuple[float, float] | None = None
    z_um: tuple[float, ...] | None = None
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    images: Mapping[int, tuple[Path, ...]] = field(default_factory=dict)


def open_image(path: Path, number: int | None = None, *, as_stored: bool = False) -> ImageFile:
    """Open a TIFF or PNG without reading its pixels.

    Parameters
    ----------
    path : Path
        The file.
    number : int, optional
        Which of its `images`; by default the first, with a note on the others.
    as_stored : bool
        Whether values that count from white are left so, as the numbers of objects must be.

    Raises
    ------
    InputError
        Missing, empty, truncated, in colour, of unfit dimensions or of another format.
    """
    check_file(path)
    if path.suffix.lower() == ".png":
        return _open_png(path)
    from napari_fluorgen.io.tiff import open_tiff

    return open_tiff(path, number, as_stored=as_stored)


def check_reachable(path: Path) -> None:
    """Refuse a path that does not exist or lies in a folder that may not be entered.

    Raises
    ------
    InputError
        With which of both it is.
    """
    try:
        path.stat()
    except PermissionError as error:
        raise unreadable(path, error) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} does not exist: check the path.") from error


def check_file(path: Path) -> None:
    """Refuse what cannot be an image file that is read here.

    Raises
    ------
    InputError
        Missing, empty, a folder, or of a format that is not read.
    """
    suffix = path.suffix.lower()
    check_reachable(path)
    if suffix in MICROSCOPE_FORMATS:
        raise InputError(
            f"{path} is a {MICROSCOPE_FORMATS[suffix]} file, which is not read: export its "
            "brightfield z-stack as OME-TIFF (in the microscope's software, or in Fiji with "
            "Bio-Formats) and open that."
        )
    if not path.is_file():
        raise InputError(f"{path} is not a file: expected a TIFF or PNG image.")
    if suffix not in IMAGE_SUFFIXES:
        raise InputError(
            f"{path} has the ending '{path.suffix}': expected TIFF (.tif, .tiff), PNG, OME-Zarr "
            "(.zarr) or a folder of those; export the stack as OME-TIFF."
        )
    try:
        empty = path.stat().st_size == 0
    except OSError as error:
        raise unreadable(path, error) from error
    if empty:
        raise InputError(f"{path} is empty (0 bytes): copy or export it again.")


def unreadable(path: Path, error: Exception) -> InputError:
    """One sentence for a file whose content cannot be read."""
    if isinstance(error, PermissionError):
        return InputError(f"{path} cannot be read: no permission; change its permissions.")
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return InputError(
        f"{path} cannot be read ({reason}): expected an intact image; copy or export it again."
    )


def field_name(path: Path) -> str:
    """Name of a field for output files: the file's name without its image endings."""
    # ``.`` and ``..`` are named as the folders they stand for, while a link keeps its own name.
    name = path.name if path.name not in ("", "..") else path.resolve().name
    return re.sub(r"(\.ome)?(\.tiff?|\.btf|\.tf8|\.png|\.zarr)$", "", name, flags=re.I)


def image_name(path: Path, image: ImageFile, number: int | None = None) -> str:
    """Name of the field in an image, which may be split over files: what their names share.

    With the `number` of one of several images it is that of the same image in the OME-Zarr that
    bioformats2raw makes of the file.
    """
    if number is not None:
        return f"{image_name(path, replace(image, files=image.images[number]))}_{number}"
    if len(image.files) < 2:
        return field_name(path)
    names = [field_name(file) for file in image.files]
    same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    shared = re.sub(
        r"[_\-. ]*(?:z|plane|slice)?[_=]?\d*$", "", "".join(a[0] for a in same), flags=re.I
    )
    return shared or names[0]


def notes_of(files: Iterable[ImageFile]) -> list[str]:
    """Notes on several files, each once."""
    return list(dict.fromkeys(note for file in files for note in file.notes))


def one_was_read(path: Path, images: int, number: int = 0) -> str:
    """Note on a file that holds several images."""
    which = f"number {number + 1}" if number else "the first"
    return f"{path.name} holds {images} images: {which} was read."


def natural_key(text: str) -> list[tuple[int, int | str]]:
    """Sort key that puts ``z2`` before ``z10``."""
    parts = re.split(r"(\d+)", text.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts if part]


def some_names(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def check_one_shape(planes: tuple[Plane, ...], names: list[str], where: Path) -> None:
    """Refuse planes of different shapes.

    Raises
    ------
    InputError
        Naming the first plane that differs.
    """
    for plane, name in zip(planes, names, strict=True):
        if plane.shape != planes[0].shape:
            raise InputError(
                f"{where}: {name} has {plane.shape[0]} × {plane.shape[1]} pixels but {names[0]} "
                f"has {planes[0].shape[0]} × {planes[0].shape[1]}; the planes of a stack must have "
                "one shape: put other images elsewhere or crop them alike."
            )


@dataclass(frozen=True)
class PngPlane:
    """A gray PNG."""

    path: Path
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    windowed: bool = False

    def read(self, window: tuple[Any, ...] = ()) -> NDArray[Any]:
        """Pixels of `window`."""
        from PIL import Image

        try:
            with Image.open(self.path) as image:
                return np.array(image).astype(self.dtype, copy=False)[window]
        except Exception as error:
            raise unreadable(self.path, error) from error


def _open_png(path: Path) -> ImageFile:
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            mode, size = image.mode, image.size
        with path.open("rb") as file:
            file.seek(-min(64, path.stat().st_size), 2)
            whole = b"IEND" in file.read()
    except Exception as error:
        raise unreadable(path, error) from error
    if not whole:
        raise unreadable(path, ValueError("the file is truncated"))
    dtypes = {"L": "u1", "I;16": "u2", "I": "i4", "F": "f4"}
    if mode not in dtypes:
        raise InputError(
            f"{path} is a colour or black-and-white image ({mode}): expected gray values; save the "
            "brightfield planes as 8-bit or 16-bit gray."
        )
    return ImageFile((PngPlane(path, (size[1], size[0]), np.dtype(dtypes[mode])),))
