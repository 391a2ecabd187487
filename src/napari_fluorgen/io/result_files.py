"""Which files in a folder are of whose result: only a field's own are replaced."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from napari_fluorgen.errors import OutputError
from napari_fluorgen.io.atomic import path_exists
from napari_fluorgen.io.nuclei_table import is_table
from napari_fluorgen.io.run_record import read_run

RESULT = "result"
"""Part of a field's record that names its files."""

SOFTWARE = "napari-fluorgen result"
"""In the tag Software of every TIFF of a result: a killed run leaves files without a record."""


def recorded_files(record: Mapping[str, Any]) -> list[str]:
    """Names of the files that a field's record lists."""
    return list(record.get(RESULT, {}).get("files", {}).values())


def check_own(folder: Path, name: str, names: Iterable[str], recorded: Collection[str]) -> None:
    """Refuse to replace what is no result of a field: a true stain may have the name of ours.

    Parameters
    ----------
    folder : Path
        Of results.
    name : str
        Of the field.
    names : iterable of str
        Files that are to be written there.
    recorded : collection of str
        Those that its record lists.

    Raises
    ------
    OutputError
        A file is of another field's result, or of none.
    InputError
        ``run.json`` is damaged.
    """
    from napari_fluorgen.io.omezarr_write import added_to_field

    owners: dict[str, str] | None = None  # the record of a plate is large: read once, if at all
    for file in names:
        path = folder / file
        if not path_exists(path):
            continue
        if path.is_dir() and (added := added_to_field(path)) is not None:
            raise OutputError(
                f"{path} holds {added}, which staining did not write, and is not replaced: move "
                "it away or choose another folder."
            )
        if file in recorded:
            continue
        if owners is None:
            records = read_run(folder).items()
            owners = {one: key for key, rec in records for one in recorded_files(rec)}
        owner = next((owners[one] for one in owners if _is_same(folder, one, file)), None)
        if owner is not None:
            raise OutputError(
                f"{path} is of the result of '{owner}' and is not replaced by that of '{name}': "
                "choose another folder."
            )
        if not _bears_our_mark(path):
            raise OutputError(
                f"{path} exists already and is no result of '{name}', so that it is not replaced "
                "even with overwriting: move it away or choose another folder."
            )


def _is_same(folder: Path, one: str, other: str) -> bool:
    """Whether two names are of one file: Windows and macOS do not tell A from a."""
    if one == other:
        return True
    if _plain(one) != _plain(other):
        return False
    try:
        return (folder / one).samefile(folder / other)
    except OSError:
        return False


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _bears_our_mark(path: Path) -> bool:
    """Whether a file without a record is what a killed run left of a result."""
    import tifffile

    from napari_fluorgen.io.omezarr_write import is_stained_field

    if path.is_dir():
        return is_stained_field(path)
    try:
        if path.suffix == ".csv":
            return is_table(path)
        with tifffile.TiffFile(path) as file:
            return file.pages.first.tags.valueof("Software") == SOFTWARE
    except Exception:  # tifffile raises many kinds on what is no TIFF
        return False
