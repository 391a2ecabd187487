"""What a person decided about nuclei, kept with the results."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.io.field_lock import field_lock
from napari_fluorgen.io.nuclei_table import TABLE, read_csv, write_csv
from napari_fluorgen.io.results import RESULT
from napari_fluorgen.io.run_record import read_record, version_of
from napari_fluorgen.stack import FieldIdentity

_REVIEWS = ("", "accept", "reject")


def write_reviews(
    folder: str | PathLike[str],
    name: str,
    reviewed: Mapping[int, str] | NDArray[Any],
    *,
    version: str | None = None,
) -> None:
    """Keep what a person decided about nuclei of a field that was written.

    Parameters
    ----------
    folder : path-like
        Folder of results.
    name : str
        As listed by `list_fields`.
    reviewed : mapping of int to str, or array of str of shape (N,)
        ``"accept"``, ``"reject"`` or ``""`` (undecided) by label, or of all nuclei in the order
        of the labels. Nuclei that a mapping does not name keep what they have.
    version : str, optional
        From `version_of` when the result was read: the nuclei of another are not these.

    Raises
    ------
    InputError
        No such field, no table of nuclei, no such label, or another word; or the field was
        stained again since.
    OutputError
        Not writable, or another program is staining the field into the folder.
    """
    folder = Path(folder)
    identity = read_record(folder, name).get(RESULT, {}).get("identity")
    if identity is None:
        raise InputError(f"{folder} holds no result of '{name}': stain it again, then review.")
    with field_lock(folder, FieldIdentity(**identity)):
        _write(folder, name, reviewed, version)


def _write(
    folder: Path, name: str, reviewed: Mapping[int, str] | NDArray[Any], version: str | None
) -> None:
    file = read_record(folder, name).get(RESULT, {}).get("files", {}).get(TABLE)
    if file is None:
        raise InputError(
            f"{folder} holds no table of nuclei of '{name}': stain it again, then review."
        )
    if version not in (None, version_of(folder, name)):
        raise InputError(
            f"'{name}' was stained again into {folder} since it was loaded, so that its nuclei are "
            "others: load it anew, then review."
        )
    table = read_csv(folder / file)
    number = len(table["label"])
    kept = list(table["reviewed"] if "reviewed" in table else [""] * number)
    if isinstance(reviewed, Mapping):
        places = {label: place for place, label in enumerate(table["label"])}
        for label, word in reviewed.items():
            if label not in places:
                raise InputError(f"'{name}' has no nucleus {label}: it has {number} nuclei.")
            kept[places[label]] = str(word)
    elif len(reviewed) == number:
        kept = [str(word) for word in reviewed]
    else:
        raise InputError(
            f"{len(reviewed)} reviews were given for the {number} nuclei of '{name}': give one "
            "for each."
        )
    unknown = set(kept) - set(_REVIEWS)
    if unknown:
        raise InputError(f"The review is {min(unknown)!r}: choose accept, reject or nothing.")
    with atomic_path(folder / file, overwrite=True) as temporary:
        write_csv(temporary, {**table, "reviewed": np.array(kept, np.str_)})
