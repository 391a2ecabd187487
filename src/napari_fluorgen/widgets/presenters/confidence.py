"""Four regions, their colours, and how many nuclei lie in which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RGBA = tuple[float, float, float, float]


@dataclass(frozen=True)
class Region:
    """One entry of the legend.

    Attributes
    ----------
    code : int
        Value in the map of `napari_fluorgen.confidence.prediction_regions`.
    title : str
        The word in the legend.
    meaning : str
        The tooltip.
    color : tuple of float
        Red, green, blue, opacity in [0, 1].
    """

    code: int
    title: str
    meaning: str
    color: RGBA


# Okabe and Ito's palette, told apart with any common colour blindness; background stays clear
# so that the image below is seen.
REGIONS = (
    Region(
        2,
        "Certain nucleus",
        "Only 'nucleus' is plausible here at this significance.",
        (0.34, 0.71, 0.91, 0.9),
    ),
    Region(
        1,
        "Certain background",
        "Only 'background' is plausible here at this significance. Shown clear.",
        (0.0, 0.0, 0.0, 0.0),
    ),
    Region(
        3,
        "Uncertain",
        "Both 'nucleus' and 'background' are plausible: look here yourself.",
        (0.90, 0.62, 0.0, 0.9),
    ),
    Region(
        0,
        "Strange",
        "Neither is plausible: unlike anything in the calibration data.",
        (0.80, 0.40, 0.70, 0.95),
    ),
)


def region_shares(regions: NDArray[np.uint8]) -> dict[int, float]:
    """Share of the pixels in each region, by code."""
    # Comparing bytes is many times faster than np.bincount, which widens them first.
    size = max(1, regions.size)
    return {code: np.count_nonzero(regions == code) / size for code in range(4)}


def share_text(share: float) -> str:
    """Write a share so that small but present regions do not read as none."""
    if share == 0:
        return "0 %"
    return "< 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def count_decisions(decisions: Iterable[str]) -> dict[str, int]:
    """Count the nuclei by the decision of `napari_fluorgen.confidence.object_confidence`."""
    found = Counter(str(decision) for decision in decisions)
    return {name: found[name] for name in ("accept", "review", "reject")}


def count_text(counts: Mapping[str, int]) -> str:
    """Say how many nuclei can be believed at the chosen significance."""
    total = sum(counts.values())
    if total == 0:
        return "No nuclei in this result."
    noun = "1 nucleus" if total == 1 else f"{total} nuclei"
    return (
        f"{noun}: {counts['accept']} mostly certain, {counts['review']} to review, "
        f"{counts['reject']} rejected."
    )


def significance_text(significance: float) -> str:
    """Say what the significance promises, and no more."""
    return (
        f"At {significance:.2f}: of all true nucleus pixels at most {100 * significance:.0f} % "
        "lose 'nucleus' on average, likewise for background, over fields like the calibration "
        "fields. This holds for pixels, not for whole nuclei."
    )


SIMULATED = (
    "Calibrated on simulated fields: on pictures of a real microscope the map is a hint, "
    "not a guarantee."
)
"""The caution beside the map of a model that knows simulated cells only."""

COUNT_RULE = (
    "A rule of thumb over the pixels of each nucleus: mostly certain where at least half of them "
    "are certain nucleus, rejected where nucleus is ruled out for at least half, else to review."
)
"""Tooltip of the counts."""


def to_slider(significance: float, steps: Sequence[float]) -> int:
    """Position of the slider that comes closest to a significance."""
    return int(np.argmin(np.abs(np.asarray(steps) - significance)))


SIGNIFICANCES: tuple[float, ...] = tuple(
    float(value) for value in np.round(np.concatenate([np.arange(1, 51) / 100]), 2)
)
"""Positions of the slider: 0.01 to 0.50."""


def label_colors() -> dict[int | None, Any]:
    """Colours by label value, as napari's ``DirectLabelColormap`` takes them."""
    return {None: (0.0, 0.0, 0.0, 0.0), **{region.code: region.color for region in REGIONS}}


def merge_features(
    features: Any, table: Mapping[str, NDArray[Any]], *, some: bool = False
) -> dict[str, Any]:
    """Put the columns of `object_confidence` beside those that a labels layer already has.

    Parameters
    ----------
    features : DataFrame
        ``Labels.features``, with an ``index`` column.
    table : mapping of str to ndarray
        One row a nucleus; ``label`` becomes ``index``.
    some : bool
        Whether the table leaves out nuclei, which stay, without values in its columns.

    Returns
    -------
    dict of str to sequence
        Columns in which earlier ones keep their values for the labels that remain.
    """
    if some and "index" in features:
        labels = np.union1d(features["index"], table["label"])
        rows = np.searchsorted(labels, table["label"])
        table = {name: _spread(column, rows, labels.size) for name, column in table.items()}
        table["label"] = labels
    index = np.asarray(table["label"])
    columns: dict[str, Any] = {"index": index}
    if "index" in features:
        earlier = features.set_index("index")
        earlier = earlier[~earlier.index.duplicated()].reindex(index)
        columns |= {name: earlier[name].to_numpy() for name in earlier.columns}
    return columns | {name: values for name, values in table.items() if name != "label"}


def _spread(column: NDArray[Any], rows: NDArray[np.intp], size: int) -> NDArray[Any]:
    """Put values into some rows of a longer column, NaN into the others."""
    kind = np.float64 if np.issubdtype(np.asarray(column).dtype, np.number) else object
    longer = np.full(size, np.nan, kind)
    longer[rows] = column
    return longer
