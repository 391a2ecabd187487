"""What networks make of held-out parts, before and after fine-tuning."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from napari_fluorgen.errors import InputError
from napari_fluorgen.measurement import best_line, pearson, pixel_error
from napari_fluorgen.models import PROBABILITY, ModelSpec
from napari_fluorgen.segmentation import pool_scores, score_thresholds, segment_nuclei
from napari_fluorgen.staining.plan import plan_tiles
from napari_fluorgen.staining.source import continued
from napari_fluorgen.staining.stitch import blend
from napari_fluorgen.workflow.fine_tuning_fields import TunedField
from napari_fluorgen.workflow.fine_tuning_request import FineTuneScores

IOUS = (0.5, 0.7)
_TILE = 512
_THRESHOLDS = (0.5, 0.4, 0.6, 0.3, 0.7)

Maps = dict[str, NDArray[np.float32]]
Lines = Mapping[str, tuple[float, float]]
"""Slope and offset by stain, from predicted to true counts."""


def predict(
    networks: Mapping[str, nn.Module], planes: NDArray[np.float32], spec: ModelSpec
) -> Maps:
    """Run networks on a field, tile by tile, where their weights lie.

    Parameters
    ----------
    networks : mapping of str to Module
        Some or all stains of the spec.
    planes : ndarray, shape (planes, Y, X), float32
        Scaled brightfield.
    spec : ModelSpec
        For overlap and divisor.

    Returns
    -------
    dict of str to ndarray, shape (Y, X), float32
        Stains in [0, 1], and the nuclei probability where the nuclei network is among them.
    """
    height, width = planes.shape[1:]
    plan = plan_tiles((height, width), _TILE, spec.overlap_px, spec.divisor)
    names = [*networks, *((PROBABILITY,) if "nuclei" in networks else ())]
    maps = {name: np.zeros(plan.canvas_shape, np.float32) for name in names}

    def run(tile: Any) -> Maps:
        rows, columns = continued(tile.outer[0], height), continued(tile.outer[1], width)
        tile_planes = np.ascontiguousarray(planes[:, rows[:, None], columns[None, :]])
        block = torch.from_numpy(tile_planes)[None]
        found: Maps = {}
        for stain, network in networks.items():
            output = network(block.to(next(network.parameters()).device))
            if isinstance(output, tuple):
                found[PROBABILITY] = output[1].softmax(1)[0, 1].float().cpu().numpy()
                output = output[0]
            found[stain] = output[0, 0].float().cpu().numpy()
        return found

    modes = {stain: network.training for stain, network in networks.items()}
    try:
        for network in networks.values():
            network.eval()
        with torch.inference_mode():
            for _ in blend(plan.tiles, run, maps):
                pass
    finally:
        for stain, network in networks.items():
            network.train(modes[stain])
    return {name: image[:height, :width] for name, image in maps.items()}


def fit_lines(
    networks: Mapping[str, nn.Module], parts: Sequence[TunedField], spec: ModelSpec
) -> dict[str, tuple[float, float]]:
    """Fit the line from predicted to true counts of each stain, least squares over `parts`.

    A start model that was made for another camera cannot know the counts of this one. The line,
    fitted on the training parts, grants it the best gain and offset.
    """
    lines = {}
    predicted = [predict(networks, part.start_planes, spec) for part in parts]
    for stain in networks:
        images = [(p[stain], part.stains[stain]) for p, part in zip(predicted, parts, strict=True)
                  if stain in part.stains]  # fmt: skip
        if not images:
            continue
        counts = [spec.outputs[stain].to_counts(p) for p, _ in images]
        lines[stain] = best_line(counts, [truth for _, truth in images])
    return lines


def score(
    networks: Mapping[str, nn.Module],
    parts: Sequence[TunedField],
    spec: ModelSpec,
    *,
    planes_of: Callable[[TunedField], NDArray[np.float32]] = lambda part: part.planes,
    lines: Lines | None = None,
) -> FineTuneScores:
    """Compare what networks give on held-out parts with the truth.

    Parameters
    ----------
    networks : mapping of str to Module
        By stain.
    parts : sequence of TunedField
        Held out.
    spec : ModelSpec
        Output ranges and how nuclei are cut out.
    planes_of : callable
        Which planes of a part the networks read.
    lines : mapping, optional
        From `fit_lines`: applied to the predicted counts before the pixel error is taken.

    Returns
    -------
    FineTuneScores
    """
    pairs: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = {s: [] for s in networks}
    matches = []
    for part in parts:
        maps = predict(networks, planes_of(part), spec)
        for stain in networks:
            if stain in part.stains:
                counts = spec.outputs[stain].to_counts(maps[stain])
                pairs[stain].append((counts, part.stains[stain]))
        if part.labels is not None and PROBABILITY in maps:
            found = segment(maps[PROBABILITY], spec, spec.nuclei.threshold)
            matches.append(score_thresholds(part.labels, found, IOUS))
    known = {stain: images for stain, images in pairs.items() if images}
    return FineTuneScores(
        {stain: _mean([pearson(p, t) for p, t in images]) for stain, images in known.items()},
        {stain: _error(images, (lines or {}).get(stain)) for stain, images in known.items()},
        {
            iou: pool_scores(one).f1
            for iou, one in zip(IOUS, zip(*matches, strict=True), strict=False)
        }
        if matches
        else {},
    )


def segment(
    probability: NDArray[np.float32], spec: ModelSpec, threshold: float
) -> NDArray[np.uint32]:
    """Cut nuclei out of their probability by the settings of a model."""
    settings = spec.nuclei.model_dump() | {"threshold": threshold}
    return segment_nuclei(probability, pixel_size_um=spec.pixel_size_um, **settings)


def best_threshold(network: nn.Module, parts: Sequence[TunedField], spec: ModelSpec) -> float:
    """Return the threshold of nucleus that finds most nuclei of the validation parts right."""
    seen = [(predict({"nuclei": network}, part.planes, spec)[PROBABILITY], part.labels)
            for part in parts if part.labels is not None and part.labels.any()]  # fmt: skip
    if not seen:
        return spec.nuclei.threshold

    def found(threshold: float) -> float:
        scores = [score_thresholds(t, segment(p, spec, threshold), IOUS) for p, t in seen]
        return sum(pool_scores(one).f1 for one in zip(*scores, strict=True))

    return max(_THRESHOLDS, key=found)


def reads_reversed(
    networks: Mapping[str, nn.Module], parts: Sequence[TunedField], spec: ModelSpec, guess: bool
) -> bool:
    """Tell whether the start model suits the pairs better with their planes reversed.

    Its correlation with the true stains of the training parts decides; where both orders are
    as good, within 0.02, `guess` does.
    """
    means = []
    for step in (1, -1):
        found = []
        for part in parts[:3]:
            window = (slice(None, None, step), *_centre(part.planes.shape[1:]))
            known = {s: n for s, n in networks.items() if s in part.stains}
            maps = predict(known, np.ascontiguousarray(part.planes[window]), spec)
            found += [pearson(maps[s], part.stains[s][window[1:]]) for s in known]
        means.append(_mean(found))
    forward, backward = (value if np.isfinite(value) else 0.0 for value in means)
    return guess if abs(forward - backward) < 0.02 else backward > forward


def _centre(shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(max(0, (n - _TILE) // 2), max(0, (n - _TILE) // 2) + _TILE) for n in shape)


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def _error(
    images: Sequence[tuple[NDArray[Any], NDArray[Any]]], line: tuple[float, float] | None
) -> float:
    slope, offset = line or (1.0, 0.0)
    try:
        return pixel_error((slope * p.astype(np.float32) + offset for p, _ in images),
                           (t for _, t in images))  # fmt: skip
    except InputError:  # the median of the truth is 0: the official error is not defined
        return float("nan")
