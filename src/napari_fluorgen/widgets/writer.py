"""napari's writer: the layers of a result as the folder that the command line writes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from napari_fluorgen.stack import STAINS
from napari_fluorgen.widgets.presenters.results import field_of_run, find_runs

LayerData = tuple[Any, dict[str, Any], str]


def write_results(path: str, layer_data: list[LayerData]) -> list[str]:
    """Write every complete result among the layers into a folder, and other layers beside it.

    napari gives whatever is saved without an extension to the first plugin that takes folders: the
    other layers are written as napari itself does.

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
    OutputError
        Files exist already or the folder is not writable; or another program is staining one of
        the fields into it, and nothing was written.
    """
    from napari.layers import Layer

    from napari_fluorgen.io.field_lock import field_lock, lock_file
    from napari_fluorgen.io.results import write_field

    layers = [Layer.create(data, meta, kind) for data, meta, kind in layer_data]
    complete = [run for run in find_runs(layers) if set(STAINS) <= set(run.layers)]
    fields = [field_of_run(run) for run in complete]
    # Two results of one field share a lock, and all are held before the first is written.
    locks = {lock_file(path, field.identity): field.identity for field in fields}
    written: list[str] = []
    with ExitStack() as held:
        for identity in locks.values():
            held.enter_context(field_lock(path, identity))
        for field in fields:
            written += [str(file) for file in write_field(field, path)]
    ours = {id(layer) for run in complete for layer in run.layers.values()}
    others = [one for one, layer in zip(layer_data, layers, strict=True) if id(layer) not in ours]
    return written + (_write_as_napari(path, others) if others else [])


def _write_as_napari(path: str, layer_data: list[LayerData]) -> list[str]:
    """Write layers into a folder by napari's own writer."""
    from npe2 import PluginManager

    commands = PluginManager.instance().commands
    return list(commands.execute("napari.write_directory", (path, layer_data)))
