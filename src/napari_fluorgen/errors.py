"""Errors that a user can act on.

Each message is one sentence that names the file or layer, what was found, what was
expected and what to do. The command line prints it and exits with 1; napari shows it as a
notification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class FluorgenError(Exception):
    """Base of every error that the package raises on purpose."""


class InputError(FluorgenError):
    """A file, folder, array or table cannot be used as it is."""


class OutputError(FluorgenError):
    """A result cannot be written: it exists, the folder is read-only, the disk is full."""


class StorageError(OutputError):
    """Nothing more can be written to a folder: its disk is full, or it may not be written."""


class ModelError(FluorgenError):
    """A model is unknown, damaged or does not suit the request."""


class DeviceError(FluorgenError):
    """A device is missing, out of memory, or computes wrong numbers."""


class ConfigError(FluorgenError):
    """A setting or configuration file is invalid."""


class ExternalToolError(FluorgenError):
    """A program outside the package (CellProfiler) is missing or failed."""


class Cancelled(FluorgenError):  # noqa: N818 - the user's wish, not a fault
    """The run was stopped by the user."""


def first_problem(error: ValidationError) -> tuple[str, str, str]:
    """Tell what is wrong first in settings that pydantic refuses.

    Returns
    -------
    where : str
        Dotted name of the setting; empty where it is about several.
    found : str
        Its value as Python writes it; empty where that is a whole section.
    said : str
        What is wrong with it: a clause without capital and full stop.
    """
    first = error.errors()[0]
    found = "" if isinstance(first["input"], dict) else repr(first["input"])
    said = first["msg"].removeprefix("Value error, ")
    return ".".join(map(str, first["loc"])), found, said[0].lower() + said[1:]
