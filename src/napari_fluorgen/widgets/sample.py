"""Sample data for napari's *File > Open Sample* and for the *Load stacks* dock."""

from __future__ import annotations

from typing import Any

from napari_fluorgen.errors import InputError
from napari_fluorgen.widgets.presenters.layers import stack_layers


def first_field() -> list[tuple[Any, ...]]:
    """Open the first simulated field with its true stains and nuclei, hidden."""
    return _field(0)


def second_field() -> list[tuple[Any, ...]]:
    """Open the second simulated field with its true stains and nuclei, hidden."""
    return _field(1)


def _field(index: int) -> list[tuple[Any, ...]]:
    from napari_fluorgen.widgets.opening import open_path, read_entry
    from napari_fluorgen.workflow.sample import sample_folder

    plate = open_path(sample_folder()).plate
    fields = () if plate is None else plate.complete
    if index >= len(fields):
        raise InputError(
            f"The sample data in {sample_folder()} holds {len(fields)} fields but field "
            f"{index + 1} was asked for: install napari-fluorgen again."
        )
    return [spec.as_tuple() for spec in stack_layers(read_entry(fields[index]))]
