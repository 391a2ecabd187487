"""napari's reader: plates, files named by a CellVoyager, and our own results, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

LayerData = tuple[Any, ...]
Reader = Callable[[Any], list[LayerData]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return a reader where the path is ours, None for everything else; never raise."""
    try:
        paths = [Path(path)] if isinstance(path, str) else [Path(one) for one in path]
        if paths and all(_is_ours(one) for one in paths):
            return read
    except Exception:  # a foreign path must not keep napari from trying other readers
        return None
    return None


def _is_ours(path: Path) -> bool:
    from napari_fluorgen.io import is_plate_folder
    from napari_fluorgen.io.cellvoyager import parse_name
    from napari_fluorgen.widgets.opening import result_names

    if path.is_dir():
        return bool(result_names(path)) or is_plate_folder(path)
    return path.is_file() and parse_name(path.name) is not None


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Read plates, results and CellVoyager files as layers.

    Of a plate or of a folder of results only the first field is shown; the *Load stacks* dock
    shows them all.
    Planes of the same field become one stack, however many of them were chosen.

    Raises
    ------
    InputError
        A file is damaged.
    """
    from napari.utils.notifications import show_info, show_warning

    from napari_fluorgen.widgets.opening import open_path, read_entry
    from napari_fluorgen.widgets.presenters.layers import stack_layers
    from napari_fluorgen.widgets.presenters.plate import problem_text

    layers: list[LayerData] = []
    for folder, stem in _places(path):
        opened = open_path(folder)
        if opened.problems:
            show_warning(problem_text(opened.problems))
        if opened.plate is not None:
            entries = [e for e in opened.plate.fields if stem in (None, e.identity.name)]
            complete = [e for e in entries if not e.missing] or entries
            for entry in complete[:1]:
                layers += [s.as_tuple() for s in stack_layers(read_entry(entry))]
            if stem is None and len(entries) > 1:
                show_info(
                    f"Plate {opened.plate.name} has {len(entries)} fields; the first is shown. "
                    "Open Plugins > Load stacks to choose others."
                )
        layers += [s.as_tuple() for s in opened.layers]
        if len(opened.results) > 1:
            show_info(
                f"{folder.name} holds {len(opened.results)} stained fields; the first is shown. "
                "Open Plugins > Load stacks to choose others."
            )
    return layers


def _places(path: str | Sequence[str]) -> list[tuple[Path, str | None]]:
    """Folders to open, with the name of a field where files were chosen; each once."""
    from napari_fluorgen.io.cellvoyager import parse_name

    places: dict[tuple[Path, str | None], None] = {}
    for one in [path] if isinstance(path, str) else path:
        name = parse_name(Path(one).name)
        is_file = name is not None and not Path(one).is_dir()
        places[(Path(one).parent, name.stem) if is_file and name else (Path(one), None)] = None
    return list(places)
