"""What a fine-tuning run works with: parts of the fields, the new model so far, its start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_fluorgen.errors import InputError, ModelError
from napari_fluorgen.models import PROBABILITY, Model, ModelSpec, StainRange
from napari_fluorgen.stack import STAINS, BrightfieldStack
from napari_fluorgen.staining.focus import order_of_model
from napari_fluorgen.training.data import check_counts
from napari_fluorgen.training.modules import correlate, dice
from napari_fluorgen.training.planes import reverse_planes
from napari_fluorgen.workflow.fine_tuning_fields import (
    TunedField,
    check_memory,
    nuclei_settings,
    range_of,
    read_field,
    register_fields,
    spec_for,
    wide_sizes,
)
from napari_fluorgen.workflow.fine_tuning_request import FineTuneRequest, FineTuneScores
from napari_fluorgen.workflow.fine_tuning_scores import (
    fit_lines,
    predict,
    reads_reversed,
    score,
)
from napari_fluorgen.workflow.fine_tuning_split import (
    PARTS,
    WHOLE_FIELDS,
    crop_size,
    split_fields,
)
from napari_fluorgen.workflow.fine_tuning_training import figure_of

_FITTED_PARTS = 4
_MANY_NUCLEI = 25
"""A share of so many has a standard error of 0.1 at most."""


@dataclass
class Material:
    """Everything about a run that is not its course.

    Attributes
    ----------
    start : Model
        Where the weights come from.
    spec : ModelSpec
        Of the new model; its ranges and settings are completed on the way.
    parts : dict of str to tuple of TunedField
        By part of the split.
    whole_fields : bool
        Whether parts are whole fields, or strips of the same ones.
    trained : tuple of str
        Stains whose networks are trained.
    networks : dict of str to Module
        Of the new model as far as it is: at first those of the start, reading the planes in the
        order of the pairs.
    reverse : bool
        Whether that is the opposite of the start's order.
    crop : int
        Side of the training crops.
    lines : dict of str to (slope, offset)
        For stains whose counts the start cannot know: from its counts to the true ones.
    """

    start: Model
    spec: ModelSpec
    parts: Mapping[str, Sequence[TunedField]]
    whole_fields: bool
    trained: tuple[str, ...]
    networks: dict[str, nn.Module]
    reverse: bool
    crop: int
    lines: dict[str, tuple[float, float]]

    def turned(self, network: nn.Module) -> nn.Module:
        """Return a network of the start's order of planes as one of the pairs' order."""
        return reverse_planes(network) if self.reverse else network

    def measure_start(self) -> FineTuneScores:
        """Scores of the start model on the held-out parts, as `fluorgen stain` runs it."""
        return score(
            {stain: self.turned(network) for stain, network in self.networks.items()},
            self.parts["calibration"],
            self.start.spec,
            planes_of=lambda part: part.start_planes,
            lines=self.lines,
        )

    def keep_start(self, stain: str) -> None:
        """Leave a stain with the start's network, its counts matched to the pairs' camera."""
        counts = self.start.spec.outputs[stain]
        slope, offset = self.lines.get(stain, (1.0, 0.0))
        if slope > 0:
            counts = StainRange(
                minimum=round(offset + slope * counts.minimum, 1),
                maximum=round(offset + slope * counts.maximum, 1),
            )
        self.spec = self.spec.model_copy(update={"outputs": {**self.spec.outputs, stain: counts}})

    def start_figure(self, stain: str) -> float:
        """Figure of the start's network on the validation parts, as training takes it."""
        stains, masks = [], []
        for part in self.parts["validation"]:
            if stain not in part.stains:
                continue
            maps = predict({stain: self.networks[stain]}, part.planes, self.spec)
            true = self.spec.outputs[stain].from_counts(part.stains[stain])
            r = correlate(torch.from_numpy(maps[stain]), torch.from_numpy(true))
            stains += [] if r is None else [r]
            if stain == "nuclei" and part.labels is not None:
                found = torch.from_numpy(maps[PROBABILITY] > 0.5)
                masks.append(dice(found, torch.from_numpy(part.labels > 0)))
        figures = {"pearson": stains, "dice": masks}
        return figure_of({name: float(np.mean(held)) for name, held in figures.items() if held})


def prepare(
    request: FineTuneRequest,
    start: Model,
    name: str,
    stacks: Sequence[BrightfieldStack],
    device: str,
    notes: list[str],
) -> Material:
    """Read, scale and divide the pairs; decide what is trained, in which range and order.

    Raises
    ------
    InputError
        A pair cannot be used, fields are too small, or no stain can be trained.
    ModelError
        The start has not a stain that is asked for, or its pixels are too far from the pairs'.
    """
    check_memory(stacks, start.spec)
    spec = spec_for(start.spec, stacks, notes)
    said: list[str] = []
    wide = spec.model_copy(update={"nuclei": wide_sizes(spec.nuclei)})
    for stack in stacks:
        for stain in STAINS:
            if stain in stack.truth:
                check_counts(stack.identity.name, stain, np.asarray(stack.truth[stain]))
    fields = [read_field(stack, wide, start.spec, said) for stack in stacks]
    if request.registration != "off":
        fields = register_fields(fields, spec.pixel_size_um, request.registration, said)
    notes += dict.fromkeys(said)
    names = [field.name for field in fields]
    split = split_fields(
        names,
        [field.planes.shape[1:] for field in fields],
        divisor=spec.divisor,
        pixel_size_um=spec.pixel_size_um,
        seed=request.seed,
    )
    parts = {part: tuple(fields[b.field].cut(b) for b in split[part]) for part in PARTS}
    trained = _trained(request, start, parts, notes)
    labels = {part: [f.labels for f in own if f.labels is not None] for part, own in parts.items()}
    if "nuclei" in trained:
        notes += _few_nuclei(labels["training"], labels["calibration"])
    outputs = dict(spec.outputs)
    for stain in trained:
        images = [part.stains[stain] for part in parts["training"] if stain in part.stains]
        outputs[stain] = range_of(images, spec.outputs[stain])
    spec = spec.model_copy(
        update={
            "name": name,
            "outputs": outputs,
            "nuclei": nuclei_settings(labels["training"], spec.pixel_size_um, spec.nuclei),
        }
    )
    networks = {stain: network.to(device) for stain, network in start.networks().items()}
    known = parts["training"][:_FITTED_PARTS]
    order = order_of_model(start.spec)
    reverse = reads_reversed(
        networks, known, start.spec, guess=order * spec.training["focus_order"] < 0
    )
    changed = {s: networks[s] for s in trained if outputs[s] != start.spec.outputs[s]}
    if changed:
        notes.append(
            f"The true {' and '.join(changed)} {'fill' if len(changed) > 1 else 'fills'} another "
            f"range of counts than {start.spec.name} gives: the new model gives the counts of "
            "your camera, and the pixel error before is that after the best gain and offset."
        )
    material = Material(
        start=start,
        spec=spec,
        parts=parts,
        whole_fields=len(fields) >= WHOLE_FIELDS,
        trained=trained,
        networks=networks,
        reverse=reverse,
        crop=crop_size(split, divisor=spec.divisor),
        lines=fit_lines(changed, known, start.spec) if changed else {},
    )
    material.networks = {stain: material.turned(n) for stain, n in networks.items()}
    return material


def _trained(
    request: FineTuneRequest,
    start: Model,
    parts: Mapping[str, Sequence[TunedField]],
    notes: list[str],
) -> tuple[str, ...]:
    """Stains that the start and both of the parts that training needs have."""
    missing = [s for s in request.stains or () if s not in start.spec.stains]
    if missing:
        raise ModelError(
            f"{start.spec.name} has no network for {' and '.join(missing)}; it stains "
            f"{', '.join(start.spec.stains)}."
        )
    needed = [parts[part] for part in PARTS]
    given = [s for s in STAINS if all(any(s in part.stains for part in own) for own in needed)]
    found = {s for own in needed for part in own for s in part.stains}
    absent = [s for s in request.stains or () if s not in given]
    trained = tuple(s for s in given if s in (request.stains or start.spec.stains))
    if absent or not trained:
        wanted = absent or list(request.stains or start.spec.stains)
        raise InputError(
            f"The pairs have no true {' or '.join(wanted)} in enough fields to train, watch and "
            f"test; found {', '.join(s for s in STAINS if s in found) or 'no stain'} in "
            f"{sum(len(own) for own in needed)} parts, so name other stains or give more fields."
        )
    kept = [s for s in start.spec.stains if s not in trained]
    if kept:
        notes.append(
            f"The network{'s' if len(kept) > 1 else ''} of {' and '.join(kept)} "
            f"{'are those' if len(kept) > 1 else 'is that'} of {start.spec.name}, unchanged."
        )
    return trained


def _few_nuclei(
    learned: Sequence[NDArray[np.uint32]], held: Sequence[NDArray[np.uint32]]
) -> list[str]:
    """Say where so few nuclei are held out that their F1 is much a matter of chance."""
    seen, kept = (sum(np.unique(one[one > 0]).size for one in labels) for labels in (learned, held))
    if kept >= _MANY_NUCLEI or not held:
        return []
    error = f"may be off by {0.5 / kept**0.5:.2f} by chance alone" if kept else "says nothing"
    return [
        f"There are few nuclei, {seen} to learn from and {kept} held out: F1 of nuclei {error}, "
        "so give more fields."
    ]
