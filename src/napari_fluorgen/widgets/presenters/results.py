"""Find our results among the layers of a viewer and put them together again.

The layers are the only record: what the user edits (a nucleus erased by hand), renames or
deletes is what the next dock works with.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import STAINS, BrightfieldStack, FieldIdentity, StainedField
from napari_fluorgen.widgets.presenters.layers import DERIVED, WIDTH, identity_of, record_of
from napari_fluorgen.widgets.presenters.pixels import pixels_of
from napari_fluorgen.widgets.presenters.review import nuclei_columns
from napari_fluorgen.widgets.presenters.spatial import Spatial

LABELS = "nuclei labels"
P_VALUE = "p-value "
PLACE = "place"
"""In the record of a saved result: where its layers lay in napari, as `Spatial.place` says."""


@dataclass(frozen=True)
class Run:
    """The layers of one run.

    Attributes
    ----------
    key : str
        Name of the run.
    title : str
        What a list shows.
    layers : dict of str to layer
        Layers by role: the stains, ``"nuclei labels"``, ``"nuclei probability"``,
        ``"p-value nucleus"``, ``"p-value background"``, ``"width lipids"`` and so on.
    """

    key: str
    title: str
    layers: dict[str, Any]

    @property
    def has_confidence(self) -> bool:
        """Whether both p-value maps are there."""
        return {f"{P_VALUE}nucleus", f"{P_VALUE}background"} <= set(self.layers)

    @property
    def provenance(self) -> dict[str, Any]:
        """How the result was made."""
        return record_of(self.layers[LABELS].metadata).get("provenance") or {}

    @property
    def simulated(self) -> bool:
        """Whether the model knows simulated cells only."""
        return bool((self.provenance.get("model") or {}).get("simulated"))

    @property
    def verdict(self) -> str | None:
        """Sentence that the stack does not look like the calibration data, if it does not."""
        return record_of(self.layers[LABELS].metadata).get("verdict")

    @property
    def saved_as(self) -> tuple[str, str] | None:
        """Folder and name of the files that the result was read from, None for a new one."""
        return record_of(self.layers[LABELS].metadata).get("saved_as")

    @property
    def version(self) -> str | None:
        """What the files said of the run when they were read, None for a new one."""
        return record_of(self.layers[LABELS].metadata).get("version")

    @property
    def source_id(self) -> str | None:
        """``unique_id`` of the brightfield layer, None for results read from files."""
        return next((record_of(x.metadata).get("source_id") for x in self.layers.values()), None)


def find_runs(layers: Iterable[Any]) -> list[Run]:
    """Gather the runs whose nuclei outlines are among the layers, newest first."""
    groups: dict[str, dict[str, Any]] = {}
    for layer in layers:
        record = record_of(layer.metadata)
        if "run" in record:
            # A layer that the user duplicated has the same record: the first one stays the result.
            groups.setdefault(record["run"], {}).setdefault(record["role"], layer)
    runs = [
        Run(key, found[LABELS].name.replace(" nuclei outlines", ""), found)
        for key, found in groups.items()
        if LABELS in found
    ]
    return runs[::-1]


def field_of_run(run: Run) -> StainedField:
    """Put the layers of a run together as a `StainedField`.

    Labels that were edited are made sequential again, so that tables and masks agree; the layer
    keeps its own.

    Raises
    ------
    InputError
        A stain's layer was removed from the viewer.
    """
    return _gather(run)[0]


def settled_field(run: Run) -> tuple[StainedField, NDArray[np.int64]]:
    """Return `field_of_run` for work in the background, and what its answers go back by.

    The field keeps its own copy of the labels, because the user may paint while the work reads
    them. The second is the label that each nucleus of the field has in the layer, in order: after
    a nucleus was erased, the first of the field may be the third of the layer.

    Raises
    ------
    InputError
        A stain's layer was removed from the viewer.
    """
    field, present = _gather(run)
    return replace(field, nuclei_labels=field.nuclei_labels.copy()), present


def _gather(run: Run) -> tuple[StainedField, NDArray[np.int64]]:
    missing = [stain for stain in STAINS if stain not in run.layers]
    if missing:
        raise InputError(
            f"Result '{run.title}' lacks the layer of {' and '.join(missing)}: "
            "it was removed from the viewer; stain the stack again."
        )
    labels_layer = run.layers[LABELS]
    record = record_of(labels_layer.metadata)
    labels = np.asarray(labels_layer.data)
    in_order, present = sequential(labels)
    probability = run.layers.get("nuclei probability")
    field = StainedField(
        identity=identity_of(record, run.title),
        pixel_size_um=record.get("pixel_size_um"),
        images={stain: np.asarray(run.layers[stain].data) for stain in STAINS},
        nuclei_probability=(
            np.asarray(probability.data)
            if probability is not None
            else (labels > 0).astype(np.float32)
        ),
        nuclei_labels=in_order,
        p_values={
            role.removeprefix(P_VALUE): np.asarray(layer.data)
            for role, layer in run.layers.items()
            if role.startswith(P_VALUE)
        },
        provenance=_provenance(record, labels_layer),
        channel_files=dict(record.get("channel_files") or {}),
        nuclei=_nuclei_table(labels_layer, present),
        verdict=record.get("verdict"),
        widths={
            role.removeprefix(WIDTH): np.asarray(layer.data)
            for role, layer in run.layers.items()
            if role.startswith(WIDTH)
        },
    )
    return field, present


def _provenance(record: dict[str, Any], layer: Any) -> dict[str, Any]:
    """How a result was made, and where the user has put it."""
    known = {key: value for key, value in (record.get("provenance") or {}).items() if key != PLACE}
    place = Spatial.of_layer(layer).place()
    return {**known, PLACE: place} if place else known


def _nuclei_table(layer: Any, present: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Table of the nuclei as the user left them, empty where they were never judged."""
    features = getattr(layer, "features", None)
    if features is None or "decision" not in features:
        return {}
    columns = nuclei_columns(layer, present)
    return columns | {"label": np.arange(1, present.size + 1, dtype=np.uint32)}


def layers_of_run(layers: Iterable[Any], key: str) -> list[Any]:
    """Gather every layer that belongs to a run: its result and what was made of that."""
    return [x for x in layers if key in (record_of(x.metadata).get(link) for link in DERIVED)]


def layer_of_run(layers: Iterable[Any], key: str, role: str) -> Any | None:
    """Find the layer of a run in this role, None where there is none."""
    found = layers_of_run(layers, key)
    return next((x for x in found if record_of(x.metadata).get("role") == role), None)


def layers_of_field(layers: Iterable[Any], identity: FieldIdentity, source: str) -> list[Any]:
    """Find a field that was loaded: its brightfield first, then its true stains.

    Empty where the brightfield is not among the layers. `source` is the folder of the plate: two
    folders may hold plates of the same name.
    """
    found: dict[str, Any] = {}
    for layer in layers:
        record = record_of(layer.metadata)
        if (record.get("identity"), record.get("source")) != (identity, source):
            continue
        # A projection that napari made of the brightfield has the same record but no planes.
        if record["role"] != "brightfield" or is_stack_layer(layer):
            found.setdefault(record["role"], layer)
    brightfield = found.pop("brightfield", None)
    return [] if brightfield is None else [brightfield, *found.values()]


def sequential(labels: NDArray[Any]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Number labels 1, 2, 3 ... without gaps, in the order of their old numbers.

    Returns
    -------
    labels : ndarray of uint32
        With the new numbers.
    present : ndarray of int64, shape (n,)
        The old numbers, ascending.
    """
    largest = int(labels.max(initial=0))
    if largest > labels.size:  # painted with a huge number: too long for a table of all labels
        found, places = np.unique(labels, return_inverse=True)
        numbers = np.cumsum(found > 0, dtype=np.uint32)
        return numbers[places].reshape(labels.shape), found[found > 0].astype(np.int64)
    used = np.zeros(largest + 1, dtype=bool)
    used[labels] = True
    used[0] = False
    present = np.flatnonzero(used)
    if used[1:].all():
        return labels.astype(np.uint32, copy=False), present
    return np.cumsum(used, dtype=np.uint32)[labels], present


def is_stack_layer(layer: Any) -> bool:
    """Whether a layer can be stained: an image with planes, not colour, not our result."""
    record = record_of(layer.metadata)
    return (
        getattr(layer, "rgb", None) is False  # only image layers say
        and layer.ndim >= 3
        and "run" not in record
        and record.get("role", "brightfield") == "brightfield"
    )


def stack_of_layer(layer: Any) -> BrightfieldStack:
    """Make a `BrightfieldStack` of an image layer, whoever loaded it.

    Pixel size and plane positions come from the layer's scale when its units are lengths, so that
    what the user corrects in the layer's controls counts; else from the reader's record.

    Raises
    ------
    InputError
        The layer has more axes than z, y and x, or time in place of z.
    """
    if layer.data.ndim != 3:
        raise InputError(
            f"Layer '{layer.name}' has {layer.data.ndim} axes but a stack has three (z, y, x): "
            "split the other axes first (right click on the layer, Split Stack)."
        )
    data = pixels_of(layer, 3)
    if _is_time(layer):
        raise InputError(
            f"Layer '{layer.name}' has {data.shape[0]} time points where focus planes are "
            "expected: stain a z-stack, or open a time series with Load stacks."
        )
    record = record_of(layer.metadata)
    spatial = Spatial.of_layer(layer)
    pixel_size = spatial.pixel_size_um() or record.get("pixel_size_um")
    return BrightfieldStack(
        data=data,
        identity=identity_of(record, file_stem(layer.name)),
        pixel_size_um=pixel_size,
        z_um=_positions(record.get("z_um"), spatial.z_um(data.shape[0]), data.shape[0]),
        source=str(record.get("source") or getattr(layer.source, "path", None) or layer.name),
        channel_files=dict(record.get("channel_files") or {}),
    )


def _is_time(layer: Any) -> bool:
    """Whether the axis of planes is called time, or counted in seconds."""
    name = str(layer.axis_labels[-3]).lower() if len(layer.axis_labels) > 2 else ""
    unit = str(layer.units[-3]).lower() if len(layer.units) > 2 else ""
    return name in ("t", "time") or unit in ("second", "millisecond", "minute", "hour")


def corrections(layer: Any) -> dict[str, Any]:
    """Gather what `stack_of_layer` takes from a layer otherwise than its reader found it.

    Returns
    -------
    dict
        ``"pixel_size_um"`` and ``"z_um"`` of the stack where they differ from the reader's record.

    Raises
    ------
    InputError
        As `stack_of_layer`.
    """
    stack, record = stack_of_layer(layer), record_of(layer.metadata)
    found = {"pixel_size_um": stack.pixel_size_um, "z_um": stack.z_um}
    return {name: value for name, value in found.items() if not _same(value, record.get(name))}


def _same(lengths: Sequence[float] | None, recorded: Sequence[float] | None) -> bool:
    """Whether lengths are the recorded ones; napari's transforms keep all but the last digits."""
    if lengths is None or recorded is None:
        return lengths is recorded
    return len(lengths) == len(recorded) and np.allclose(lengths, recorded, rtol=1e-6, atol=1e-6)


def _positions(
    recorded: tuple[float, ...] | None, shown: tuple[float, ...] | None, planes: int
) -> tuple[float, ...] | None:
    """Heights of the planes: the exact ones of the file, unless the layer was changed since."""
    if recorded is None or len(recorded) != planes:
        return shown
    if shown is not None and not np.allclose(np.diff(recorded), np.diff(shown), rtol=0.06):
        return shown
    return recorded


def file_stem(name: str) -> str:
    """Turn a layer name into a stem that every file system accepts."""
    stem = re.sub(r"[^\w.+-]+", "_", name).strip("._")
    return stem or "stack"
