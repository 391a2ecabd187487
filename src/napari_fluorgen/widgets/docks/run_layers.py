"""The layers of a run: added above their stack or in place of an earlier result, shown, hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_fluorgen.stack import STAINS
from napari_fluorgen.widgets.docks.common import add_layer
from napari_fluorgen.widgets.presenters.layers import record_of, result_layers, short_name
from napari_fluorgen.widgets.presenters.results import (
    LABELS,
    find_runs,
    is_stack_layer,
    layers_of_run,
)
from napari_fluorgen.widgets.presenters.spatial import Spatial
from napari_fluorgen.widgets.presenters.staining import RunTicket, run_suffix

if TYPE_CHECKING:
    from napari_fluorgen.stack import StainedField


def show_run(
    viewer: Any, source: Any, ticket: RunTicket, field: StainedField, *, replace: bool
) -> bool:
    """Add the layers of a result; False when they are hidden, because another stack is shown.

    Parameters
    ----------
    viewer : Viewer
        Where to add.
    source : layer
        The brightfield that was stained; the result takes its grid.
    ticket : RunTicket
        The run.
    field : StainedField
        Its result.
    replace : bool
        Whether earlier results of this stack go, with their maps and measured objects.
    """
    if replace:
        for run in find_runs(viewer.layers):
            if run.source_id == ticket.layer_id:
                for layer in layers_of_run(viewer.layers, run.key):
                    viewer.layers.remove(layer)
    specs = result_layers(
        field,
        Spatial.of_layer(source).plane(),
        run=ticket.key,
        source_id=ticket.layer_id,
        suffix=run_suffix((x.name for x in viewer.layers), short_name(field.identity)),
    )
    # Whoever has gone on to the next field must not find this result on top of it.
    shown = source.visible or not any(
        x.visible and is_stack_layer(x) for x in viewer.layers if x.unique_id != source.unique_id
    )
    # Adding a layer selects it; the selection belongs to the user.
    active = viewer.layers.selection.active
    for spec in specs:
        layer = add_layer(viewer, spec)
        layer.visible = layer.visible and shown
    viewer.layers.selection.active = active
    if shown:
        source.visible = False  # stains are judged on black, as under a microscope
    return shown


def reveal_run(viewer: Any, key: str) -> None:
    """Show stains and outlines of a run, with what the user edited, and hide its maps."""
    for layer in layers_of_run(viewer.layers, key):
        layer.visible = record_of(layer.metadata).get("role") in (*STAINS, LABELS)


def hide_run(viewer: Any, key: str) -> None:
    """Hide all layers of a run."""
    for layer in layers_of_run(viewer.layers, key):
        layer.visible = False
