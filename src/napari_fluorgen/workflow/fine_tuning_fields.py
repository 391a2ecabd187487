"""One's own pairs as a model sees them: planes, true stains and nuclei on the model's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError, ModelError
from napari_fluorgen.models import ModelSpec, NucleiSettings, StainRange
from napari_fluorgen.stack import STAINS, BrightfieldStack
from napari_fluorgen.staining import focus, match_stack, resample
from napari_fluorgen.staining.adapt import check_shape
from napari_fluorgen.staining.devices import available_memory
from napari_fluorgen.staining.source import TileSource
from napari_fluorgen.workflow.fine_tuning_split import Block

if TYPE_CHECKING:
    from napari_fluorgen.training.data import Pair

LABELS = "labels"
"""Key beside the stains in `BrightfieldStack.truth` under which nuclei labels may lie."""

_LARGEST_ZOOM = 2.5
_FILLED = 0.4


@dataclass(frozen=True)
class TunedField:
    """A field, or a part of one, as the networks see it.

    Attributes
    ----------
    name : str
        Of the field; a part of one carries its place.
    planes : ndarray, shape (planes, Y, X), float32
        Scaled brightfield as the new model reads it.
    start_planes : ndarray, shape (planes, Y, X), float32
        The same as the start model reads it: often the same array.
    stains : dict of str to ndarray, shape (Y, X), float32
        True stains in camera counts.
    labels : ndarray, shape (Y, X), uint32, or None
        True nuclei.
    """

    name: str
    planes: NDArray[np.float32]
    start_planes: NDArray[np.float32]
    stains: Mapping[str, NDArray[np.float32]]
    labels: NDArray[np.uint32] | None

    def cut(self, block: Block) -> TunedField:
        """Return a part of this field; the pixels are not copied."""
        window = (..., block.rows, block.columns)
        if block.shape == self.planes.shape[1:]:
            return self
        return TunedField(
            f"{self.name} rows {block.rows.start}-{block.rows.stop} "
            f"columns {block.columns.start}-{block.columns.stop}",
            self.planes[window],
            self.start_planes[window],
            {stain: image[window] for stain, image in self.stains.items()},
            None if self.labels is None else self.labels[window],
        )


def stacks_of_folder(folder: str | Path, notes: list[str]) -> list[BrightfieldStack]:
    """Open the pairs of a folder: stacks with true stains and, where there are any, labels.

    Raises
    ------
    InputError
        The folder is missing or holds no pairs, or a file is damaged.
    """
    from napari_fluorgen.training.pairs import find_pairs

    stacks = []
    for source in find_pairs(folder, notes.append):
        stack, labels = source.open()
        notes += stack.notes
        stacks.append(stack if labels is None else with_labels(stack, labels))
    return stacks


def check_memory(stacks: Sequence[BrightfieldStack], start: ModelSpec) -> None:
    """Refuse more pairs than the main memory holds: they are kept there while training.

    Raises
    ------
    InputError
        Naming what is needed and what is free, or a stack that is none.
    """
    needed = 0.0
    for stack in stacks:
        check_shape(stack)
        size = stack.pixel_size_um or (start.pixel_size_um, start.pixel_size_um)
        zoom = size[0] * size[1] / start.pixel_size_um**2
        images = start.planes + 2 * len(stack.truth) + 1
        needed += 4 * images * zoom * stack.shape[1] * stack.shape[2]
    free = available_memory()
    if free is not None and needed > 0.8 * free:
        raise InputError(
            f"{len(stacks)} fields need about {needed / 1e9:.1f} GB of memory for training and "
            f"{free / 1e9:.1f} GB are free: give fewer or smaller fields."
        )


def spec_for(start: ModelSpec, stacks: Sequence[BrightfieldStack], notes: list[str]) -> ModelSpec:
    """Describe how the new model will read stacks such as these.

    Two things of the start model may not hold for them. The direction of focus: stored as
    ``training["focus_order"]`` is what the contrast of the pairs says, 0 where it does not tell,
    so that planes are then taken as they stand. And the spacing of the planes: where the planes
    of a pair do not fall on those of the start one by one, the new model takes planes spread
    evenly over stacks of the pairs' span (``training["plane_range_um"]``).

    Parameters
    ----------
    start : ModelSpec
        Of the start model.
    stacks : sequence of BrightfieldStack
        The pairs.
    notes : list of str
        Takes sentences for the user.

    Returns
    -------
    ModelSpec
        `start` with another ``training`` and ``z_um``.
    """
    training: dict[str, Any] = {
        "focus_order": focus.order_of_stacks(stacks, start.input, start.pixel_size_um)
    }
    if "plane_range_um" in start.training:
        training["plane_range_um"] = start.training["plane_range_um"]
    spec = start.model_copy(update={"training": training, "simulated": False})
    spans = [float(np.ptp(stack.z_um)) for stack in stacks if stack.z_um is not None]
    spans = [span for span in spans if span > 0]
    if not spans or not any(_uneven(stack, spec) for stack in stacks):
        return spec
    low, high = round(0.8 * min(spans), 3), round(1.2 * max(spans), 3)
    middle = float(np.mean(spans)) / 2
    notes.append(
        f"The planes of the pairs lie otherwise than those of {start.name}: the new model takes "
        f"{start.planes} planes spread evenly over stacks of {low:g} to {high:g} µm."
    )
    heights = np.round(np.linspace(-middle, middle, start.planes), 4)
    training["plane_range_um"] = [low, high]
    return spec.model_copy(update={"training": training, "z_um": tuple(float(z) for z in heights)})


def read_field(
    stack: BrightfieldStack, spec: ModelSpec, start: ModelSpec, notes: list[str]
) -> TunedField:
    """Bring one pair to the model's planes, scale and grid, as staining does.

    Parameters
    ----------
    stack : BrightfieldStack
        With true stains, and nuclei labels under ``"labels"`` where there are any; otherwise the
        nuclei are segmented in the true nuclei stain, of the sizes that `spec` allows.
    spec, start : ModelSpec
        Of the new and of the start model.
    notes : list of str
        Takes sentences for the user.

    Raises
    ------
    InputError
        The stack cannot be stained, or a true image is constant, not finite or of another shape.
    ModelError
        Its pixels are too far from the model's.
    """
    from napari_fluorgen.training.data import nearest

    adaptation = match_stack(stack, spec)
    if not 1 / _LARGEST_ZOOM <= adaptation.zoom <= _LARGEST_ZOOM:
        raise ModelError(
            f"{stack.identity.name} has pixels of {adaptation.pixel_size_um[0]:g} µm, "
            f"{start.name} was trained on {start.pixel_size_um:g} µm: start from a model of "
            "nearer pixels."
        )
    notes += adaptation.messages
    shape = adaptation.model_shape
    whole = slice(0, shape[0]), slice(0, shape[1])
    planes = TileSource(stack, spec, adaptation).read(*whole)[0]
    usual = match_stack(stack, start)
    if usual.plane_indices == adaptation.plane_indices:
        first = planes
    elif usual.plane_indices == adaptation.plane_indices[::-1] and start.input.kind == "background":
        first = planes[::-1]
    else:
        first = TileSource(stack, start, usual).read(*whole)[0]
    truth = {name: _checked(stack, name) for name in (*STAINS, LABELS) if name in stack.truth}
    labels = truth.pop(LABELS, None)
    if labels is None and "nuclei" in truth:
        from napari_fluorgen.segmentation.fluorescence import segment_fluorescence

        labels = segment_fluorescence(
            truth["nuclei"],
            pixel_size_um=adaptation.pixel_size_um,
            min_area_um2=spec.nuclei.min_area_um2,
            max_area_um2=spec.nuclei.max_area_um2,
        )
        notes.append(
            "There are no nuclei labels: nuclei were segmented automatically in the true nuclei "
            "stain, and the figures of nuclei are against that segmentation."
        )
    return TunedField(
        stack.identity.name,
        planes,
        first,
        {
            name: resample.resize(np.asarray(image, np.float32), shape)
            for name, image in truth.items()
        },
        None if labels is None else nearest(labels, shape),
    )


def register_fields(
    fields: Sequence[TunedField],
    pixel_size_um: float,
    registration: Literal["report", "correct", "off"],
    notes: list[str],
) -> list[TunedField]:
    """Check brightfield and stains for a shift; move the stains if asked, which crops the fields.

    Fields with the same stains are judged together: a microscope has one shift a channel.
    """
    from napari_fluorgen.training.registration import register

    done = list(fields)
    for stains in {tuple(field.stains) for field in fields}:
        own = [index for index, field in enumerate(fields) if tuple(field.stains) == stains]
        moved = register([pair_of(fields[index]) for index in own], pixel_size_um, registration,
                         notes.append)  # fmt: skip
        if registration != "correct":
            continue
        for index, pair in zip(own, moved, strict=True):
            field = fields[index]
            count = len(field.planes)
            scale = _scales(field)
            done[index] = TunedField(
                field.name,
                pair.planes[:count],
                pair.planes[-count:],
                {stain: image * np.float32(scale[stain]) for stain, image in pair.stains.items()},
                None if field.labels is None else pair.labels,
            )
    return done


def range_of(images: Sequence[NDArray[np.float32]], start: StainRange | None) -> StainRange:
    """Counts that a network's 0 and 1 stand for, so that the true stain fills them.

    The range of the start model is kept where the images fill it: then its network needs no
    other scale. Otherwise it reaches from a little below the darkest pixels to one and a half
    times the 99.9 percentile, but not beyond the brightest pixel.

    Parameters
    ----------
    images : sequence of ndarray
        True stain of the training parts in counts.
    start : StainRange or None
        Of the start model.
    """
    values = np.concatenate([image.ravel()[:: max(1, image.size // 10**6)] for image in images])
    low, high = (float(v) for v in np.percentile(values, (0.1, 99.9)))
    if start is not None:
        reached = (high - start.minimum) / (start.maximum - start.minimum)
        if _FILLED <= reached <= 1 and low >= start.minimum:
            return start
    bottom = max(0.0, low - 0.05 * (high - low))
    top = min(float(values.max()), bottom + 1.5 * (high - bottom))
    return StainRange(minimum=float(np.floor(bottom)), maximum=float(np.ceil(max(top, bottom + 1))))


def wide_sizes(nuclei: NucleiSettings) -> NucleiSettings:
    """Sizes within which true nuclei are looked for before the sizes of the pairs are known.

    From half the smallest to four times the largest area that the start allows: nuclei of other
    cells, or of twice its diameter, are what the new model is to learn, while specks and the
    glow of whole clumps still are none.
    """
    return nuclei.model_copy(
        update={
            "min_area_um2": nuclei.min_area_um2 / 2,
            "max_area_um2": nuclei.max_area_um2 * 4,
        }
    )


def nuclei_settings(
    labels: Sequence[NDArray[np.uint32]], pixel_size_um: float, start: NucleiSettings
) -> NucleiSettings:
    """Sizes of nuclei as in the training parts; those of the start where there are under ten."""
    counts = [np.bincount(image.ravel())[1:] for image in labels]
    pixels = np.concatenate(counts) if counts else np.zeros(0, int)
    areas = pixels[pixels > 0] * pixel_size_um**2
    if areas.size < 10:
        return start
    small, median, large = (float(v) for v in np.percentile(areas, (5, 50, 99)))
    return start.model_copy(
        update={
            "min_area_um2": round(0.5 * small, 2),
            "max_area_um2": round(2 * large, 1),
            "seed_distance_um": round(0.4 * 2 * float(np.sqrt(median / np.pi)), 2),
        }
    )


def with_labels(stack: BrightfieldStack, labels: Any) -> BrightfieldStack:
    """Return the stack with nuclei labels (Y, X) beside its true stains."""
    return replace(stack, truth={**stack.truth, LABELS: labels})


def pair_of(field: TunedField) -> Pair:
    """Both readings of the planes on top of each other, stains in [0, 1]."""
    from napari_fluorgen.training.data import Pair

    planes, scale = field.planes, _scales(field)
    if field.start_planes is not planes:
        planes = np.concatenate([planes, field.start_planes])
    labels = field.labels
    if labels is None:
        labels = np.zeros(planes.shape[1:], np.uint32)
    stains = {stain: image / np.float32(scale[stain]) for stain, image in field.stains.items()}
    return Pair(planes=planes, stains=stains, labels=labels, name=field.name)


def _scales(field: TunedField) -> dict[str, float]:
    return {stain: max(float(image.max()), 1.0) for stain, image in field.stains.items()}


def _uneven(stack: BrightfieldStack, spec: ModelSpec) -> bool:
    """Whether planes of a stack of known heights would be repeated or left out at its ends."""
    if stack.z_um is None or stack.shape[0] < 2:
        return False
    indices = match_stack(stack, spec, focus="as-is").plane_indices
    if "plane_range_um" in spec.training:
        low, high = spec.training["plane_range_um"]
        return not low <= float(np.ptp(stack.z_um)) <= high
    return len(set(indices)) < len(indices)


def _checked(stack: BrightfieldStack, name: str) -> NDArray[Any]:
    from napari_fluorgen.training.data import check_image, check_labels

    image, grid = np.asarray(stack.truth[name]), stack.shape[1:]
    if name == LABELS:
        check_labels(stack.identity.name, image, grid)
    else:
        check_image(stack.identity.name, name, image, grid)
    return image
