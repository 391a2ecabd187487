"""The calibration: scores of pixels, fields and nuclei with known truth, in compact tables."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_fluorgen.confidence.fields import FieldCalibration, summarise_field
from napari_fluorgen.confidence.intervals import IntervalCalibration
from napari_fluorgen.confidence.object_scores import object_scores
from napari_fluorgen.confidence.scores import CLASSES, GRID, LEVELS, to_levels
from napari_fluorgen.confidence.selection import ObjectCalibration, best_overlap
from napari_fluorgen.errors import ConfigError, InputError, ModelError

FORMAT = 2
MIN_OVERLAP = 0.5
"""Intersection over union with a true nucleus from which on a nucleus is right."""

# Together with the tables of the classes these stay below 1 MB, compressed or not.
_MAX_FIELDS = 200
_MAX_OBJECTS = 10_000


@dataclass(frozen=True, eq=False)
class Calibration:
    """Nonconformity scores of calibration pixels, by class, and what fields and nuclei were like.

    Attributes
    ----------
    nucleus, background : ndarray of float32, shape (n,)
        Scores ``1 - p(class)`` of pixels whose true class it is, ascending. Empty where the
        calibration fields had no such pixel: the p-values of that class are then 1.
    meta : dict
        JSON-ready record: number of fields, pixels of each class, how they were thinned.
    fields : FieldCalibration, optional
        By field; None in calibrations of format 1.
    objects : ObjectCalibration, optional
        Of the nuclei that were found; None where `calibrate` was not given any.
    intervals : dict of str to IntervalCalibration
        Of intensities, by stain; empty where they were not calibrated.
    """

    nucleus: NDArray[np.float32]
    background: NDArray[np.float32]
    meta: dict[str, Any] = field(default_factory=dict)
    fields: FieldCalibration | None = None
    objects: ObjectCalibration | None = None
    intervals: dict[str, IntervalCalibration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in CLASSES:
            scores = np.asarray(getattr(self, name))
            if scores.dtype.kind not in "fiu" or scores.ndim != 1:
                raise ModelError(
                    f"The calibration of {name} is an array of {scores.dtype} and shape "
                    f"{scores.shape}: a list of scores is needed; calibrate the model again."
                )
            scores = scores.astype(np.float32)
            # The comparisons are written so that NaN fails as well.
            if scores.size and not (
                scores[0] >= 0 and scores[-1] <= 1 and np.all(scores[1:] >= scores[:-1])
            ):
                raise ModelError(
                    f"The calibration of {name} holds scores that are not ascending in [0, 1]: "
                    "the table is damaged; calibrate the model again."
                )
            object.__setattr__(self, name, scores)

    def scores(self, label: str) -> NDArray[np.float32]:
        """Table of one class."""
        if label not in CLASSES:
            raise ConfigError(f"There is no class {label!r}: choose one of {', '.join(CLASSES)}.")
        return self.nucleus if label == "nucleus" else self.background

    def with_intervals(self, intervals: Mapping[str, IntervalCalibration]) -> Calibration:
        """Return the same calibration with the intervals of stains, and a record of them."""
        record = {
            stain: {
                "coverage": one.coverage,
                "unit": one.unit,
                "n_fields": one.n_fields,
                "spread": "flips" if one.table is None else "table of errors",
            }
            for stain, one in intervals.items()
        }
        return replace(self, meta=self.meta | {"intervals": record}, intervals=dict(intervals))

    def to_arrays(self) -> dict[str, NDArray]:
        """Arrays for an npz file: the tables, and ``"meta"`` as JSON in a text array."""
        arrays: dict[str, NDArray] = {
            "nucleus": self.nucleus,
            "background": self.background,
            "meta": np.array(json.dumps(self.meta)),
        }
        if self.fields is not None:
            arrays["field_missed"] = self.fields.missed
            arrays["field_histogram"] = self.fields.histogram
        if self.objects is not None:
            arrays["object_scores"] = self.objects.scores
            arrays["object_correct"] = self.objects.correct
            arrays["object_field"] = self.objects.field
            arrays["object_n_fields"] = np.array(self.objects.n_fields)
        for stain, one in self.intervals.items():
            arrays |= {f"interval_{stain}_{key}": value for key, value in one.to_arrays().items()}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Calibration:
        """From a mapping as made by `to_arrays`; ``"meta"`` may be JSON text, a dict or absent.

        The tables of fields, nuclei and intervals may be absent, as in calibrations of format 1.

        Raises
        ------
        ModelError
            When a table is missing or damaged.
        """
        try:
            return cls._from_arrays(arrays)
        except (TypeError, ValueError, LookupError, OverflowError) as error:
            raise ModelError(
                "The calibration holds tables of another kind than expected: calibrate the model "
                "again."
            ) from error

    @classmethod
    def _from_arrays(cls, arrays: Mapping[str, Any]) -> Calibration:
        missing = [name for name in CLASSES if name not in arrays]
        if missing:
            raise ModelError(
                f"The calibration lacks the table of {' and '.join(missing)}: "
                "calibrate the model again."
            )
        meta = arrays.get("meta", {})
        if not isinstance(meta, Mapping):
            try:
                meta = json.loads(str(np.asarray(meta)[()]))
            except ValueError as error:
                raise ModelError(
                    "The record of the calibration is not JSON: calibrate the model again."
                ) from error
        return cls(
            np.asarray(arrays["nucleus"]),
            np.asarray(arrays["background"]),
            dict(meta),
            *_tables(arrays),
        )

    def to_npz(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write to an npz file of at most 1 MB.

        Raises
        ------
        OutputError
            When the file exists and `overwrite` is false, or cannot be written.
        """
        from napari_fluorgen.io.atomic import atomic_path

        with atomic_path(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **self.to_arrays())
        return Path(path)

    @classmethod
    def from_npz(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read an npz file; nothing in it is executed.

        Raises
        ------
        ModelError
            When the file is missing or is no calibration.
        """
        from napari_fluorgen.models.reading import UNREADABLE_ARRAYS

        try:
            with np.load(Path(path), allow_pickle=False) as arrays:
                return cls.from_arrays(dict(arrays))
        except FileNotFoundError as error:
            raise ModelError(f"There is no calibration at {path}: name an npz file.") from error
        except UNREADABLE_ARRAYS as error:
            raise ModelError(
                f"{path} is not a calibration: an npz file made by fluorgen calibrate is needed."
            ) from error


def calibrate(
    fields: Iterable[tuple[ArrayLike, ...]],
    *,
    max_scores: int = LEVELS,
    pixels_per_field: int | None = None,
    seed: int = 0,
) -> Calibration:
    """Calibration table from fields with known nuclei that were not used for training.

    All pixels count by default; they go through a histogram of 65,536 scores a class, so memory
    does not grow with the number of fields. A class with more than `max_scores` pixels is then
    thinned to that many quantiles, each the largest score of its share. The p-values of a thinned
    table are therefore never below those of all pixels and at most ``2 / (max_scores + 1)`` above.
    Of more than 200 fields or 10,000 nuclei, as many are drawn for the tables by field and nucleus.

    Parameters
    ----------
    fields : iterable of (probability, truth) or (probability, truth, found)
        Probability of nucleus (Y, X) in [0, 1] and the true nuclei (Y, X), a mask or labels. For
        trusted nuclei also the labels (Y, X) of the nuclei that are found in the probability as
        they will be in new fields; the true nuclei must be labels then.
    max_scores : int
        Longest table of a class.
    pixels_per_field : int, optional
        Draw at most so many pixels from each field, so that large fields do not outweigh small
        ones.
    seed : int
        For these draws; without effect when everything is used.

    Returns
    -------
    Calibration

    Raises
    ------
    InputError
        When there is no field, shapes differ, or a probability is NaN or outside [0, 1].
    ConfigError
        When `max_scores` or `pixels_per_field` is below 1.

    References
    ----------
    Vovk, Gammerman, Shafer 2005 (Mondrian inductive conformal prediction); Wieslander et al.
    2020, doi:10.1109/JBHI.2020.2996300 (a pixel as the object to classify).
    """
    if max_scores < 1 or (pixels_per_field is not None and pixels_per_field < 1):
        raise ConfigError(
            f"max_scores is {max_scores} and pixels_per_field {pixels_per_field}: "
            "give whole numbers from 1 on."
        )
    counts = {name: np.zeros(LEVELS, np.int64) for name in CLASSES}
    n_fields = 0
    summaries, nuclei = [], []
    for probability, truth, *found in fields:
        levels, nucleus = _pixels(probability, truth, n_fields)
        summaries.append(summarise_field(probability, truth))
        if found:
            nuclei.append(_nuclei(probability, truth, found[0], n_fields))
        if pixels_per_field is not None and levels.size > pixels_per_field:
            generator = np.random.default_rng([seed, n_fields])
            drawn = generator.choice(levels.size, pixels_per_field, replace=False, shuffle=False)
            levels, nucleus = levels[drawn], nucleus[drawn]
        counts["nucleus"] += np.bincount(levels[nucleus], minlength=LEVELS)[::-1]
        counts["background"] += np.bincount(levels[~nucleus], minlength=LEVELS)
        n_fields += 1
    if n_fields == 0:
        raise InputError("There is no field to calibrate on: give at least one with its truth.")
    meta = {
        "format": FORMAT,
        "score": "1 - probability of the class, rounded to 16 bits",
        "n_fields": n_fields,
        "n_pixels": {name: int(counts[name].sum()) for name in CLASSES},
        "max_scores": max_scores,
        "pixels_per_field": pixels_per_field,
        "seed": seed,
    }
    tables = {name: compress(counts[name], max_scores) for name in CLASSES}
    generator = np.random.default_rng(seed)
    kept = generator.permutation(n_fields)[:_MAX_FIELDS]
    missed, histogram = (np.stack([summaries[i][k] for i in np.sort(kept)]) for k in (0, 1))
    by_field = FieldCalibration(missed, histogram)
    objects = _gather(nuclei, generator) if nuclei else None
    if objects is not None:
        meta["n_nuclei"] = {"found": len(objects.scores), "wrong": int((~objects.correct).sum())}
    return Calibration(tables["nucleus"], tables["background"], meta, by_field, objects)


def _pixels(
    probability: ArrayLike, truth: ArrayLike, number: int
) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    levels, nucleus = to_levels(probability), np.asarray(truth) != 0
    if levels.shape != nucleus.shape:
        raise InputError(
            f"Calibration field {number + 1} has a probability of shape {levels.shape} and a "
            f"truth of shape {nucleus.shape}: they must be equal."
        )
    return levels.ravel(), nucleus.ravel()


def _nuclei(
    probability: ArrayLike, truth: ArrayLike, found: ArrayLike, number: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores of the nuclei that were found, and whether they are right."""
    if np.asarray(truth).dtype.kind not in "ui":
        raise InputError(
            f"Calibration field {number + 1} has true nuclei of type {np.asarray(truth).dtype}: "
            "whether a nucleus is right can be told from labels only."
        )
    return object_scores(found, probability), best_overlap(truth, found) >= MIN_OVERLAP


def _gather(
    nuclei: list[tuple[NDArray[np.float64], NDArray[np.bool_]]], generator: np.random.Generator
) -> ObjectCalibration:
    """Join the nuclei of all fields, or of as many as the table may hold, drawn at random."""
    order = generator.permutation(len(nuclei))
    total = np.cumsum([len(nuclei[i][0]) for i in order])
    kept = np.sort(order[: max(1, int(np.searchsorted(total, _MAX_OBJECTS, side="right")))])
    scores = [nuclei[i][0] for i in kept]
    return ObjectCalibration(
        np.concatenate(scores).astype(np.float32),
        np.concatenate([nuclei[i][1] for i in kept]),
        np.repeat(np.arange(len(kept), dtype=np.int32), [len(one) for one in scores]),
        len(kept),
    )


def _tables(
    arrays: Mapping[str, Any],
) -> tuple[FieldCalibration | None, ObjectCalibration | None, dict[str, IntervalCalibration]]:
    """Tables by field, of nuclei and of intervals, as far as they are there and complete."""
    fields = objects = None
    if "field_missed" in arrays and "field_histogram" in arrays:
        fields = FieldCalibration(arrays["field_missed"], arrays["field_histogram"])
    names = [f"object_{name}" for name in ("scores", "correct", "field", "n_fields")]
    if all(name in arrays for name in names):
        scores, correct, number, n_fields = (np.asarray(arrays[name]) for name in names)
        objects = ObjectCalibration(scores, correct, number, int(n_fields))
    by_stain: dict[str, dict[str, Any]] = {}
    for name, value in arrays.items():
        if name.startswith("interval_"):
            stain, _, key = name.removeprefix("interval_").rpartition("_")
            by_stain.setdefault(stain, {})[key] = value
    intervals = {stain: IntervalCalibration.from_arrays(own) for stain, own in by_stain.items()}
    return fields, objects, intervals


def compress(counts: NDArray[np.int64], max_scores: int) -> NDArray[np.float32]:
    """Ascending scores from their histogram, thinned to upper quantiles where too many.

    With N scores, m kept ones at ranks ``ceil(i N / m)`` and A scores at or above s, the kept ones
    at or above s are K = ceil(A m / N). Hence (K + 1) / (m + 1) >= (A + 1) / (N + 1), because the
    difference has the sign of (N - A)(N - m).

    Parameters
    ----------
    counts : ndarray of int64, shape (65536,)
        How often each value of the grid occurs.
    max_scores : int
        Longest result.

    Returns
    -------
    ndarray of float32, shape (n,)
    """
    total = int(counts.sum())
    kept = min(total, max_scores)
    ranks = -(-np.arange(1, kept + 1, dtype=np.int64) * total // max(kept, 1))
    return GRID[np.searchsorted(np.cumsum(counts), ranks, side="left")]
