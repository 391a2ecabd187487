"""The record that every result carries: what made it, from what, with which settings."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_fluorgen import __version__
from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import BrightfieldStack

if TYPE_CHECKING:
    from napari_fluorgen.models import NucleiSettings

_PACKAGES = ("numpy", "scipy", "scikit-image", "torch", "llvmlite", "openvino", "tifffile", "zarr")
_BLOCK_BYTES = 1 << 25


def input_digest(data: Any, check: Callable[[], None] | None = None) -> str:
    """Return the SHA-256 of a stack's values, the same for every way of storing them.

    Parameters
    ----------
    data : array-like, shape (Z, Y, X)
        Read in blocks of rows, never whole.
    check : callable, optional
        Called before each block; it may raise, to stop.

    Returns
    -------
    str
        ``"sha256:..."`` over shape, dtype and the little-endian values in C order.
    """
    dtype = np.dtype(data.dtype).newbyteorder("<")
    planes, rows, columns = (int(n) for n in data.shape)
    digest = hashlib.sha256(f"{planes}x{rows}x{columns} {dtype.str}".encode())
    step = max(1, _BLOCK_BYTES // max(1, columns * dtype.itemsize))
    for plane in range(planes):
        for start in range(0, rows, step):
            if check is not None:
                check()
            block = np.asarray(data[plane, start : start + step, :])
            digest.update(np.ascontiguousarray(block, dtype=dtype).data)
    return f"sha256:{digest.hexdigest()}"


def describe_input(
    stack: BrightfieldStack, check: Callable[[], None] | None = None
) -> dict[str, Any]:
    """Return the part of the record that belongs to the stack; `check` as in `input_digest`."""
    return {
        "source": stack.source,
        "shape": list(stack.shape),
        "dtype": str(np.dtype(stack.data.dtype)),
        "pixel_size_um": list(stack.pixel_size_um) if stack.pixel_size_um else None,
        "z_um": list(stack.z_um) if stack.z_um else None,
        "digest": input_digest(stack.data, check),
        "notes": list(stack.notes),
    }


def recorded_nuclei(record: Mapping[str, Any], name: str) -> NucleiSettings:
    """Return how the model that made a result cuts nuclei.

    Parameters
    ----------
    record : mapping
        `StainedField.provenance`.
    name : str
        Of the field, for the error.

    Returns
    -------
    NucleiSettings
        Those of a model that names none where the record does not tell: earlier versions wrote
        nothing about it.

    Raises
    ------
    InputError
        What the record says cannot be understood.
    """
    from pydantic import ValidationError

    from napari_fluorgen.models import NucleiSettings
    from napari_fluorgen.workflow.request import describe_validation_error

    said = (record.get("model") or {}).get("nuclei", {})
    if isinstance(said, Mapping):  # a later version may say more
        said = {key: value for key, value in said.items() if key in NucleiSettings.model_fields}
    try:
        return NucleiSettings.model_validate(said)
    except ValidationError as error:
        raise InputError(
            f"The record of '{name}' says of its model's nuclei what cannot be understood "
            f"({describe_validation_error(error)[:-1]}): restore run.json, or stain it again."
        ) from None


def versions() -> dict[str, str]:
    """Return the versions of the package, Python and what computes the numbers."""
    found = {"napari-fluorgen": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def timestamp() -> str:
    """Return the time now, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
