"""Pairs for training: fields brought to the planes, grid and scale that networks take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.models import (
    BackgroundScaling,
    ModelSpec,
    NucleiSettings,
    RangeScaling,
    StainRange,
)
from napari_fluorgen.segmentation import segment_fluorescence
from napari_fluorgen.stack import BrightfieldStack
from napari_fluorgen.staining import Adaptation, match_stack, resample
from napari_fluorgen.staining.adapt import check_shape
from napari_fluorgen.staining.source import TileSource
from napari_fluorgen.training.cache import digest_of, read_entry, write_entry
from napari_fluorgen.training.crops import Crops
from napari_fluorgen.training.pairs import PairSource, find_pairs
from napari_fluorgen.training.registration import Registration, register

__all__ = ["Crops", "Pair", "load_pairs", "make_pair"]

_LARGEST_ZOOM = 4.0
_FEWEST_COUNTS = 20
_NOTED_SHARE = 0.01
_DEFAULT_NUCLEI = NucleiSettings()


@dataclass(frozen=True)
class Pair:
    """One field, ready for the networks.

    Attributes
    ----------
    planes : ndarray, shape (Z, Y, X), float32
        Scaled brightfield, ascending.
    stains : dict of str to ndarray, shape (Y, X), float32
        True stains, 0 to 1 over their range; only those that exist.
    labels : ndarray, shape (Y, X), uint32
        True nuclei; all 0 where there are neither labels nor a nuclear stain.
    name : str
        Field's name.
    shift_px : dict of str to tuple of float (y, x)
        By how much stains lay beside brightfield, where that was corrected.
    """

    planes: NDArray[np.float32]
    stains: dict[str, NDArray[np.float32]]
    labels: NDArray[np.uint32]
    name: str
    shift_px: dict[str, tuple[float, float]] = field(default_factory=dict)


def load_pairs(
    pairs: str | Path | Sequence[PairSource],
    scaling: BackgroundScaling | RangeScaling,
    outputs: Mapping[str, StainRange],
    pixel_size_um: float,
    planes: int | None = 7,
    *,
    z_um: Sequence[float] | None = None,
    plane_range_um: Sequence[float] | None = None,
    nuclei: NucleiSettings = _DEFAULT_NUCLEI,
    clipped: bool = True,
    registration: Registration = "report",
    cache: str | Path | None = None,
    on_note: Callable[[str], None] | None = None,
) -> list[Pair]:
    """Read all pairs of a folder.

    Parameters
    ----------
    pairs : str, Path or sequence of PairSource
        Folder in one of the layouts of `training.pairs`, or what `find_pairs` or
        `pairs_in_memory` gave.
    scaling : BackgroundScaling or RangeScaling
        How the networks see brightfield.
    outputs : mapping of str to StainRange
        Range of each stain; stains without one are not read.
    pixel_size_um : float
        Pixel size of the model; pairs of another are resampled.
    planes : int or None
        Brightfield planes that the networks take, chosen from deeper stacks and repeated in
        shallower ones as in staining; None for all planes of the stacks.
    z_um : sequence of float, optional
        Heights that the networks expect; planes are then chosen by height, otherwise by order.
    plane_range_um : sequence of float, optional
        Smallest and largest span of planes that the networks know; planes are then spread evenly,
        as in staining with a model of varied spacing.
    nuclei : NucleiSettings
        For the sizes of nuclei that are segmented where there are no labels.
    clipped : bool
        Whether true stains are cut off at the ends of their range, as networks learn them; not
        for calibration, which has to know how far the truth lies beyond.
    registration : {"report", "correct", "off"}
        What is done about shifts between brightfield and stains.
    cache : str or Path, optional
        Folder that keeps the fields as arrays for the next time.
    on_note : callable, optional
        Gets each sentence on what was assumed or found, once.

    Raises
    ------
    InputError
        If there is no pair, or a file is missing, damaged, constant, in other units than counts or
        does not fit the others or its range.
    OutputError
        If the cache cannot be written.
    """
    told: set[str] = set()

    def note(sentence: str) -> None:
        if on_note is not None and sentence not in told:
            on_note(sentence)
        told.add(sentence)

    sources = find_pairs(pairs, note) if isinstance(pairs, str | Path) else list(pairs)
    settings = [scaling.model_dump(), {name: each.model_dump() for name, each in outputs.items()},
                pixel_size_um, planes, None if z_um is None else list(z_um),
                None if plane_range_um is None else list(plane_range_um),
                nuclei.min_area_um2, nuclei.max_area_um2, clipped]  # fmt: skip
    loaded: list[Pair] = []
    depth: int | None = None
    for source in sources:
        digest = digest_of(source.files, settings) if cache is not None and source.files else None
        kept = read_entry(Path(cache), digest) if cache is not None and digest else None
        if kept is None:
            stack, labels = source.open()
            notes: list[str] = []
            pair = make_pair(
                stack, labels, scaling, outputs, pixel_size_um, planes,
                z_um=z_um, plane_range_um=plane_range_um, nuclei=nuclei, clipped=clipped,
                on_note=notes.append,
            )  # fmt: skip
            found = stack.shape[0]
            if cache is not None and digest:
                write_entry(Path(cache), digest, pair.planes, pair.stains, pair.labels,
                            {"depth": found, "notes": notes})  # fmt: skip
        else:
            images, stains, labels_kept, record = kept
            pair, found = Pair(images, stains, labels_kept, source.name), record["depth"]
            notes = record["notes"]
        for sentence in notes:
            note(sentence)
        depth = found if depth is None else depth
        if found != depth:
            raise InputError(
                f"{source.name} has {found} brightfield planes but {sources[0].name} has {depth}; "
                "pairs that are trained together need as many: train on them apart."
            )
        loaded.append(pair)
    _check_ranges(loaded, outputs)
    return register(loaded, pixel_size_um, registration, note)


def make_pair(
    stack: BrightfieldStack,
    labels: NDArray[Any] | None,
    scaling: BackgroundScaling | RangeScaling,
    outputs: Mapping[str, StainRange],
    pixel_size_um: float,
    planes: int | None = 7,
    *,
    z_um: Sequence[float] | None = None,
    plane_range_um: Sequence[float] | None = None,
    nuclei: NucleiSettings = _DEFAULT_NUCLEI,
    clipped: bool = True,
    on_note: Callable[[str], None] | None = None,
) -> Pair:
    """Bring one field to the networks' planes, grid and scale, as staining does.

    Planes ascend where heights are known, otherwise they keep their order. Without `labels`,
    nuclei are segmented in the true nuclear stain. The parameters are those of `load_pairs`.

    Raises
    ------
    InputError
        If there is no true stain, shapes do not agree, an image is constant, not finite or in
        other units than counts, or pixels are too far from the model's.
    """
    name, note = stack.identity.name, on_note or (lambda sentence: None)
    images = {stain: np.asarray(image) for stain, image in stack.truth.items() if stain in outputs}
    if not images:
        raise InputError(
            f"{name} has no true {' or '.join(outputs)} image; a pair needs at least one."
        )
    for stain, image in images.items():
        check_image(name, stain, image, stack.shape[1:])
        check_counts(name, stain, image)
    if labels is not None:
        check_labels(name, labels, stack.shape[1:])
    taken, adaptation, spec = _adapted(stack, scaling, pixel_size_um, planes, z_um, plane_range_um)
    for sentence in adaptation.messages:
        note(sentence)
    if not 1 / _LARGEST_ZOOM <= adaptation.zoom <= _LARGEST_ZOOM:
        raise InputError(
            f"{name} has pixels of {adaptation.pixel_size_um[0]:g} µm, the model's are "
            f"{pixel_size_um:g} µm: too far apart; start from a model of nearer pixels."
        )
    shape = adaptation.model_shape
    try:
        source = TileSource(taken, spec, adaptation)
        brightfield = source.read(slice(0, shape[0]), slice(0, shape[1]))[0]
    except InputError as error:
        raise error if name in str(error) else InputError(f"{name}: {error}") from None
    if labels is None and "nuclei" in images:
        smallest, largest = nuclei.min_area_um2, nuclei.max_area_um2
        labels = segment_fluorescence(
            images["nuclei"],
            pixel_size_um=adaptation.pixel_size_um,
            min_area_um2=smallest,
            max_area_um2=largest,
        )
        note(
            f"There are no nuclei labels: nuclei of {smallest:g} to {largest:g} µm² are segmented "
            "in the true nuclear stain."
        )
    elif labels is None:
        labels = np.zeros(stack.shape[1:], np.uint32)
    stains = {}
    for stain, image in images.items():
        _note_range(stain, image, outputs[stain], note)
        scale = outputs[stain].from_counts if clipped else outputs[stain].unclipped
        stains[stain] = scale(resample.resize(image.astype(np.float32), shape))
    return Pair(brightfield, stains, nearest(labels, shape), name)


def _adapted(
    stack: BrightfieldStack,
    scaling: BackgroundScaling | RangeScaling,
    pixel_size_um: float,
    planes: int | None,
    z_um: Sequence[float] | None,
    plane_range_um: Sequence[float] | None,
) -> tuple[BrightfieldStack, Adaptation, ModelSpec]:
    """The stack by ascending height in memory, and how `staining` matches it to the model."""
    check_shape(stack)
    data, heights = np.asarray(stack.data), stack.z_um
    if heights is not None:
        order = np.argsort(heights, kind="stable")
        data, heights = data[order], tuple(heights[index] for index in order)
    wanted = len(data) if planes is None else planes
    ranged = isinstance(scaling, RangeScaling)
    if ranged and len(scaling.minimum) != wanted:  # type: ignore[union-attr]
        raise InputError(
            f"{stack.identity.name} would be read as {wanted} planes, but the ranges of the input "
            f"are of {len(scaling.minimum)}: give as many, or scale by the background."  # type: ignore[union-attr]
        )
    by_height = z_um is not None and planes is not None
    spec = ModelSpec.model_construct(
        name="pairs",
        pixel_size_um=pixel_size_um,
        planes=wanted,
        z_um=tuple(z_um) if by_height and z_um is not None else tuple(map(float, range(wanted))),
        input=scaling,
        training={} if plane_range_um is None else {"plane_range_um": list(plane_range_um)},
        simulated=False,
    )
    taken = replace(stack, data=data, z_um=heights if by_height else None)
    return taken, match_stack(taken, spec, focus="as-is"), spec


def check_image(name: str, stain: str, image: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Refuse a true stain of field `name` that is not one image on brightfield's grid (Y, X)."""
    what = f"{name}: the true {stain} image"
    if image.shape != shape:
        raise InputError(
            f"{what} has {_pixels(image.shape)} pixels, brightfield {_pixels(shape)}; a pair shows "
            "one field on one grid: crop or export them alike."
        )
    if image.dtype.kind not in "uif":
        raise InputError(f"{what} holds {image.dtype} values; expected intensities.")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise InputError(
            f"{what} holds values that are not numbers (NaN or infinite); replace them."
        )
    if image.min() == image.max():
        raise InputError(
            f"{what} is constant (every value is {image.flat[0]:g}); expected a stain: export it "
            "again or take the field away."
        )


def check_counts(name: str, stain: str, image: NDArray[Any]) -> None:
    """Refuse a true stain of field `name` in other units than camera counts, as [0, 1].

    Stains are written as whole numbers, of which too few would be left. Whole numbers are counts:
    a field without cells may have a few.
    """
    if not np.issubdtype(image.dtype, np.floating):
        return
    low, high = (float(value) for value in np.percentile(image, (0.01, 99.99)))
    if high - min(low, 0) < _FEWEST_COUNTS:
        raise InputError(
            f"{name}: the true {stain} image holds values from {low:.3g} to {high:.3g}: stains are "
            f"kept in camera counts, which reach at least {_FEWEST_COUNTS}; export it as 16 bit, "
            "or multiply it."
        )


def _note_range(
    stain: str, image: NDArray[Any], scale: StainRange, note: Callable[[str], None]
) -> None:
    """Tell what the range cuts off a true stain."""
    if np.mean((image < scale.minimum) | (image > scale.maximum)) > _NOTED_SHARE:
        note(
            f"More than 1 % of the true {stain} pixels of a field lie outside the range "
            f"{scale.minimum:g} to {scale.maximum:g} of outputs.{stain}: networks learn them as "
            "if they lay at its ends; widen it if that matters."
        )


def _check_ranges(pairs: Sequence[Pair], outputs: Mapping[str, StainRange]) -> None:
    """Refuse a range that leaves nothing of a true stain in any field: a single one may be empty.

    Raises
    ------
    InputError
        Naming the stain.
    """
    for stain, scale in outputs.items():
        images = [pair.stains[stain] for pair in pairs if stain in pair.stains]
        if images and not any(np.ptp(image) for image in images):
            raise InputError(
                f"All values of the true {stain} images lie outside the "
                f"range {scale.minimum:g} to {scale.maximum:g} of outputs.{stain}, which makes "
                "them constant: give the range of the counts of that stain, or export them again."
            )


def check_labels(name: str, labels: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Refuse nuclei labels of field `name` that are not whole numbers on brightfield's grid."""
    if labels.shape != shape:
        raise InputError(
            f"{name}: the labels have {_pixels(labels.shape)} pixels, brightfield "
            f"{_pixels(shape)}; a pair shows one field on one grid: crop or export them alike."
        )
    if labels.dtype.kind not in "bui" or (labels.dtype.kind == "i" and labels.min() < 0):
        raise InputError(
            f"{name}: the labels are of type {labels.dtype} or negative; expected whole numbers, "
            "0 for background and one for each nucleus."
        )


def _pixels(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def nearest(labels: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.uint32]:
    """Labels (Y, X) on another grid over the same field, each pixel from the nearest one."""
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * m / n).astype(int), m - 1)
        for n, m in zip(shape, labels.shape, strict=True)
    )
    if labels.shape == shape:
        return labels.astype(np.uint32)
    return labels[rows[:, None], columns[None, :]].astype(np.uint32)
