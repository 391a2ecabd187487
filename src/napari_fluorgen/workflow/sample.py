"""Where the sample data lies: in the wheel's package, or beside the source of a checkout."""

from __future__ import annotations

from pathlib import Path

from napari_fluorgen.errors import InputError


def sample_folder() -> Path:
    """Return the folder of the simulated sample plate.

    Raises
    ------
    InputError
        When the installation lacks it.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "sample_data", package.parents[1] / "sample_data"):
        if folder.is_dir():
            return folder
    raise InputError(
        f"The sample data is missing from {package}: install napari-fluorgen again, or stain "
        "stacks of your own with `fluorgen stain`."
    )
