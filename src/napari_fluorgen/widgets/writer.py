"""napari's writer: the layers of a result as the folder that the command line writes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from napari_fluorgen.errors import InputError
from napari_fluorgen.widgets.presenters.results import field_of_run, find_runs


def write_results(path: str, layer_data: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write every complete result among the layers into a folder.

    Parameters
    ----------
    path : str
        Folder to write to; made if it does not exist.
    layer_data : list of (data, metadata, type)
        As napari gives them.

    Returns
    -------
    list of str
        Files that were written.

    Raises
    ------
    InputError
        None of the layers is a result.
    OutputError
        Files exist already or the folder is not writable.
    """
    from napari_fluorgen.io.results import write_field

    layers = [
        SimpleNamespace(
            data=data,
            name=meta.get("name", ""),
            metadata=meta.get("metadata", {}),
            features=meta.get("features"),
        )
        for data, meta, _kind in layer_data
    ]
    runs = find_runs(layers)
    if not runs:
        raise InputError(
            "None of these layers is a result of virtual staining: select the stains and the "
            "nuclei outlines of one run."
        )
    written: list[str] = []
    for run in runs:
        written += [str(file) for file in write_field(field_of_run(run), path)]
    return written
