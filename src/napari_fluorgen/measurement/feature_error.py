"""The feature part of the official score: what CellProfiler measures on prediction and truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.errors import InputError

ID_COLUMNS = ("Metadata_Well", "Metadata_FoV", "ImageNumber")
"""Columns that the challenge drops."""

_NOISE = 1e-9
"""A median below this part of a column's largest value is the rounding of a sum that is 0."""

# What pipelines that export everything write beside measurements: paths, times, bookkeeping.
_BOOKKEEPING = (
    "Channel_", "ExecutionTime_", "FileName_", "Frame_", "Group_", "Height_", "ImageSet_",
    "MD5Digest_", "Metadata_", "ModuleError_", "PathName_", "ProcessingStatus", "Scaling_",
    "Series_", "URL_", "Width_",
)  # fmt: skip


@dataclass(frozen=True)
class FeatureScores:
    """Feature error of a set of images.

    Attributes
    ----------
    error : float
        Mean over the columns of `columns`; NaN where there is none.
    columns : dict of str to float
        Mean absolute error of each feature, as a part of its true median.
    excluded : dict of str to str
        Features without an error, and why.
    incomplete : dict of str to int
        For features of `columns`, the images left out because a value is missing on one side.
    images : int
        Number of images.
    """

    error: float
    columns: dict[str, float]
    excluded: dict[str, str]
    incomplete: dict[str, int]
    images: int


def feature_error(
    predicted: Mapping[str, ArrayLike], truth: Mapping[str, ArrayLike]
) -> FeatureScores:
    """Return the official feature error from two tables with a row an image.

    Both tables are divided by the median of each column of the truth; the error of a column is
    the mean absolute difference over the images, the result the mean over the columns.

    Parameters
    ----------
    predicted, truth : mapping of str to array-like, shape (images,)
        Columns in the same order of images. Columns of identity (`ID_COLUMNS`) and
        bookkeeping are dropped.

    Returns
    -------
    FeatureScores

    Raises
    ------
    InputError
        When the tables differ in columns or rows, hold text, or hold no feature at all.

    Notes
    -----
    The definition leaves open what a missing value is (an image without cells has no mean area)
    and a median of 0, which rounding turns into 1e-16. Here a value missing on either side leaves
    out that image for that column (`incomplete`), and a column with a median of 0 (below 1e-9 of
    its largest value), without a median or without an image left is not in the mean (`excluded`).

    References
    ----------
    Adipocyte Cell Challenge (Chalmers, AI Sweden, AstraZeneca, 2020), definition of the score.
    """
    names = [name for name in truth if is_feature(name)]
    others = [name for name in predicted if is_feature(name)]
    if set(names) != set(others):
        odd = sorted(set(names) ^ set(others))
        raise InputError(
            f"The tables of prediction and truth differ in {len(odd)} columns, the first is "
            f"{odd[0]}: measure both with the same pipeline."
        )
    if not names:
        raise InputError("The tables hold no feature: give the image tables of CellProfiler.")
    columns: dict[str, float] = {}
    excluded: dict[str, str] = {}
    incomplete: dict[str, int] = {}
    images = 0
    for name in names:
        found, true = _numbers(name, predicted[name]), _numbers(name, truth[name])
        if found.shape != true.shape or (images and true.size != images):
            raise InputError(
                f"Column {name} has {found.size} predicted and {true.size} true rows: give a row "
                "for each image in both tables."
            )
        images = true.size
        known = true[np.isfinite(true)]
        sides = (found, true)
        both = np.isfinite(found) & np.isfinite(true)
        median = float(np.median(known)) if known.size else np.nan
        if not known.size:
            excluded[name] = "no image has a true value"
        elif median == 0:
            excluded[name] = "the true median is 0"
        elif abs(median) < _NOISE * max(np.abs(s[np.isfinite(s)]).max(initial=0) for s in sides):
            excluded[name] = f"the true median is 0 but for rounding ({median:.1g})"
        elif not both.any():
            excluded[name] = "no image has a predicted value"
        else:
            columns[name] = float(np.mean(np.abs(found - true)[both]) / abs(median))
            if not both.all():
                incomplete[name] = int((~both).sum())
    error = float(np.mean(list(columns.values()))) if columns else float("nan")
    return FeatureScores(error, columns, excluded, incomplete, images)


def is_feature(name: str) -> bool:
    """Return whether a column of an image table is a measurement."""
    return name not in ID_COLUMNS and not name.startswith(_BOOKKEEPING)


def columns_of(rows: Sequence[Mapping[str, str]]) -> dict[str, NDArray[np.float64]]:
    """Return the features of the rows of a CSV file as numbers; columns of text are left out."""
    table: dict[str, NDArray[np.float64]] = {}
    for name in rows[0] if rows else ():
        if is_feature(name):
            try:
                values = [float(row[name] or "nan") for row in rows]
            except ValueError:
                continue
            table[name] = np.array(values)
    return table


def _numbers(name: str, values: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.atleast_1d(np.asarray(values, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(f"Column {name} holds text: give numbers for every feature.") from error
