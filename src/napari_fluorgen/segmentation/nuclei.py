"""Nuclei from their probability: threshold, seeds, watershed, size limits.

Work is done one connected component at a time, so that the cost follows the area of the nuclei
and not that of the field, and no component disturbs another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.errors import ConfigError, InputError
from napari_fluorgen.models.spec import NucleiSettings

_USUAL = NucleiSettings()


@dataclass(frozen=True)
class _Rules:
    """Settings of one run; areas in pixels, lengths in µm."""

    pixel_size_um: tuple[float, float]
    min_area: float
    max_area: float
    seed_distance_um: float

    @property
    def smoothing_px(self) -> tuple[float, float]:
        y, x = self.pixel_size_um
        return self.seed_distance_um / 8 / y, self.seed_distance_um / 8 / x

    @property
    def prominence_um(self) -> float:
        # By how much a nucleus must narrow between two seeds (on each side). Outlines of single
        # nuclei vary by less.
        return self.seed_distance_um / 8


def segment_nuclei(
    probability: ArrayLike,
    *,
    pixel_size_um: float | tuple[float, float],
    threshold: float = _USUAL.threshold,
    min_area_um2: float = _USUAL.min_area_um2,
    max_area_um2: float = _USUAL.max_area_um2,
    seed_distance_um: float = _USUAL.seed_distance_um,
    p_values: Mapping[str, NDArray[np.float32]] | None = None,
    significance: float = 0.05,
    exclude_border: bool = False,
) -> NDArray[np.uint32]:
    """Label the nuclei.

    Pixels at or above `threshold` form components (neighbours share an edge); holes smaller than
    `min_area_um2` are filled. Within a component, seeds are the maxima of the distance from the
    rim times the probability, smoothed; they stand out by at least ``seed_distance_um / 8`` from
    the neck between them and lie `seed_distance_um` apart. A watershed from the seeds divides the
    component. A part below `min_area_um2` gives its pixels to its neighbours; nuclei outside the
    size limits are left out. Settings that are not given are those of a model that names none.

    Parameters
    ----------
    probability : array-like, shape (Y, X)
        Probability of nucleus in [0, 1]; computed in float32.
    pixel_size_um : float or (y, x)
        Micrometres a pixel.
    threshold : float
        Least probability of a nucleus' pixel, in (0, 1].
    min_area_um2, max_area_um2 : float
        Size limits, inclusive.
    seed_distance_um : float
        Least distance between two seeds.
    p_values : mapping of str to ndarray of float32, shape (Y, X), optional
        Conformal p-values of ``"nucleus"`` and ``"background"``. Where given, distances are taken
        from the rim of the pixels that are certain nucleus; a component without such a pixel is
        seeded as without p-values.
    significance : float
        A pixel is certain where its p-value is above this for nucleus and not for background.
    exclude_border : bool
        Leave out nuclei that touch the edge of the field. By default they stay.

    Returns
    -------
    ndarray of uint32, shape (Y, X)
        Sequential from 1 in reading order of the components; 0 is background.

    Raises
    ------
    InputError
        When `probability` is not 2D or holds NaN, or the p-values have another shape.
    ConfigError
        When a setting is out of range.

    References
    ----------
    Vincent, Soille 1991 (watershed); Soille 2003, "Morphological Image Analysis" (h-maxima).
    """
    values = np.asarray(probability)
    if values.ndim != 2 or values.dtype.kind not in "fbiu":
        raise InputError(
            f"The nuclei probability has shape {values.shape} and type {values.dtype}: one "
            "image (Y, X) of numbers is needed."
        )
    values = values.astype(np.float32, copy=False)
    if values.size and np.isnan(values.min()):
        raise InputError("The nuclei probability holds NaN: stain the stack again.")
    rules = _rules(
        pixel_size_um, threshold, min_area_um2, max_area_um2, seed_distance_um, significance
    )
    certain = None
    if p_values:
        certain = _certain(p_values, significance, values.shape)
    mask = values >= threshold
    labels = np.zeros(values.shape, np.uint32)
    if mask.any():
        _fill_small_holes(mask, rules.min_area)
        _label(mask, values, certain, rules, labels)
    if exclude_border:
        from napari_fluorgen.segmentation.labels import relabel_sequential

        edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        labels = relabel_sequential(np.where(np.isin(labels, edge), 0, labels))
    return labels


def _rules(
    pixel_size_um: float | tuple[float, float],
    threshold: float,
    min_area_um2: float,
    max_area_um2: float,
    seed_distance_um: float,
    significance: float,
) -> _Rules:
    size = np.broadcast_to(np.asarray(pixel_size_um, np.float64), (2,)).tolist()
    if not all(math.isfinite(value) and value > 0 for value in size):
        raise ConfigError(f"The pixel size is {pixel_size_um}: give micrometres above 0.")
    if not 0 < threshold <= 1:
        raise ConfigError(f"The threshold is {threshold}: give a number above 0 and up to 1.")
    if not 0 < significance < 1:
        raise ConfigError(f"The significance is {significance}: give a number between 0 and 1.")
    if not 0 <= min_area_um2 <= max_area_um2:
        raise ConfigError(
            f"The size limits are {min_area_um2} to {max_area_um2} µm²: the first must be from 0 "
            "up to the second."
        )
    if not (math.isfinite(seed_distance_um) and seed_distance_um > 0):
        raise ConfigError(f"The seed distance is {seed_distance_um} µm: give a number above 0.")
    pixel_area = size[0] * size[1]
    # The small allowance keeps whole pixel counts on the right side of a rounded quotient.
    return _Rules(
        (size[0], size[1]),
        min_area_um2 / pixel_area * (1 - 1e-9),
        max_area_um2 / pixel_area * (1 + 1e-9),
        seed_distance_um,
    )


def _certain(
    p_values: Mapping[str, NDArray[np.float32]], significance: float, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    for name in ("nucleus", "background"):
        found = np.shape(p_values[name]) if name in p_values else "nothing"
        if found != shape:
            raise InputError(
                f"The p-values of {name} have shape {found}: {shape} is needed, as the probability."
            )
    limit = np.float32(significance)
    return (p_values["nucleus"] > limit) & (p_values["background"] <= limit)


def _fill_small_holes(mask: NDArray[np.bool_], limit: float) -> None:
    """Fill holes below `limit` pixels in place; what touches the edge of the field is no hole."""
    from scipy import ndimage

    holes, _ = ndimage.label(~mask)
    area = np.bincount(holes.ravel())
    fill = area < limit
    for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
        fill[edge] = False
    fill[0] = False  # label 0 is the mask itself
    mask |= fill[holes]


def _label(
    mask: NDArray[np.bool_],
    probability: NDArray[np.float32],
    certain: NDArray[np.bool_] | None,
    rules: _Rules,
    labels: NDArray[np.uint32],
) -> None:
    """Write the nuclei of `mask` into `labels`."""
    from scipy import ndimage

    components, _ = ndimage.label(mask)
    areas = np.bincount(components.ravel())
    count = 0
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        if areas[number] < rules.min_area:
            continue
        # One more pixel on each side shows the rim, except at the edge of the field: there the
        # nucleus goes on unseen, and the edge must not count as its rim.
        box = tuple(slice(max(side.start - 1, 0), side.stop + 1) for side in box)
        own = components[box] == number
        if areas[number] < 2 * rules.min_area:
            parts = own.astype(np.int32)
        else:
            core = None if certain is None else own & certain[box]
            parts = _divide(own, probability[box], core, rules)
        sizes = np.bincount(parts.ravel())
        keep = (sizes >= rules.min_area) & (sizes <= rules.max_area)
        keep[0] = False
        renumber = np.where(keep, np.cumsum(keep) + count, 0).astype(np.uint32)
        count += int(keep.sum())
        labels[box][own] = renumber[parts[own]]


def _divide(
    own: NDArray[np.bool_],
    probability: NDArray[np.float32],
    core: NDArray[np.bool_] | None,
    rules: _Rules,
) -> NDArray[np.int32]:
    """Divide one component between its seeds; parts are numbered from 1."""
    from skimage.segmentation import watershed

    height = _landscape(own, probability, rules)
    if core is not None and core.any():
        seeds = _seeds(_landscape(core, probability, rules), core, rules)
    else:
        seeds = _seeds(height, own, rules)
    whole = own.astype(np.int32)
    while len(seeds) > 1:
        markers = np.zeros(own.shape, np.int32)
        for number, seed in enumerate(seeds, start=1):
            markers[seed] = number
        parts = watershed(-height, markers, mask=own)
        sizes = np.bincount(parts[own], minlength=len(seeds) + 1)[1:]
        small = np.flatnonzero(sizes < rules.min_area)
        if not len(small):
            return parts
        # The smaller half at a time: what a dropped seed held may make its neighbour large enough.
        dropped = set(small[np.argsort(sizes[small], kind="stable")][: (len(small) + 1) // 2])
        seeds = [seed for number, seed in enumerate(seeds) if number not in dropped]
    return whole


def _landscape(
    mask: NDArray[np.bool_], probability: NDArray[np.float32], rules: _Rules
) -> NDArray[np.float32]:
    """Distance from the rim in µm times probability, smoothed."""
    from scipy import ndimage

    if mask.all():  # no rim in sight
        return np.zeros(mask.shape, np.float32)
    distance = ndimage.distance_transform_edt(mask, sampling=rules.pixel_size_um)
    height = distance.astype(np.float32)
    height *= probability
    return ndimage.gaussian_filter(height, rules.smoothing_px, mode="nearest", truncate=3)


def _seeds(
    height: NDArray[np.float32], mask: NDArray[np.bool_], rules: _Rules
) -> list[tuple[int, int]]:
    """Pixels of the peaks that stand out, in reading order, none close to a higher one."""
    from scipy import ndimage
    from scipy.spatial import KDTree
    from skimage.morphology import reconstruction

    height = np.where(mask, height, 0)
    square = np.ones((3, 3), bool)
    # Cheap test first: most components have one local maximum.
    peaks = mask & (height == ndimage.maximum_filter(height, footprint=square))
    if ndimage.label(peaks, structure=square)[1] <= 1:
        return []
    # Lowered by the prominence and raised again from inside, the landscape keeps its domes apart
    # only where the neck between them is lower than both tops by that much.
    raised = height - reconstruction(np.maximum(height - rules.prominence_um, 0), height)
    domes, n_domes = ndimage.label(raised > 0, structure=square)
    tops = ndimage.maximum_position(height, domes, range(1, n_domes + 1))
    tops = [top for top in tops if raised[top] >= rules.prominence_um * (1 - 1e-3)]
    tops.sort(key=lambda top: (-height[top], top))
    if not tops:
        return []
    places = np.asarray(tops) * rules.pixel_size_um
    tree = KDTree(places)
    seeds, free = [], np.ones(len(tops), bool)
    for number, top in enumerate(tops):
        if free[number]:
            seeds.append((int(top[0]), int(top[1])))
            # Just short of the distance, so that seeds exactly so far apart may both stay.
            near = tree.query_ball_point(places[number], rules.seed_distance_um * (1 - 1e-9))
            free[near] = False
    return sorted(seeds)
