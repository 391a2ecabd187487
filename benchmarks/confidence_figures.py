"""Figures of the confidence benchmark: what predictions of unseen fields say about its promises."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_fluorgen.confidence import (
    THRESHOLDS,
    Calibration,
    FieldCalibration,
    IntervalCalibration,
    ObjectCalibration,
    best_overlap,
    error_rates,
    interval,
    looks_like_calibration,
    object_scores,
    p_value_maps,
    trusted_objects,
)
from napari_fluorgen.confidence.fields import compare_histogram
from napari_fluorgen.confidence.intervals import SCALES, choose_scale, share_outside
from napari_fluorgen.confidence.residual import COVERAGE
from napari_fluorgen.confidence.scores import LEVELS, to_levels

SIGNIFICANCE = (0.01, 0.05, 0.1, 0.2)
RATES = (0.05, 0.1, 0.2)
FLOOR = 1e-3
"""Smallest spread that is believed, as `calibrate_interval` has it."""

Row = dict[str, float]
Table = dict[str, Row]


@dataclass(frozen=True)
class Predicted:
    """One field in the scale of the networks: what was predicted, what is true."""

    probability: np.ndarray
    found: np.ndarray
    labels: np.ndarray
    stains: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    spread: dict[str, np.ndarray]


def splits(n: int, number: int, part: float = 0.5) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield random choices of calibration and test fields."""
    generator = np.random.default_rng(0)
    for _ in range(number):
        order = generator.permutation(n)
        yield order[: round(n * part)], order[round(n * part) :]


def pixel_errors(fields: Sequence[Predicted], calibration: Calibration) -> dict[str, Table]:
    """Error of each class with the package's table: over all pixels, and how fields differ."""
    rates: dict[str, dict[float, list[float]]] = {}
    pixels: dict[str, list[int]] = {"nucleus": [], "background": []}
    for one in fields:
        maps, true = p_value_maps(one.probability, calibration), one.labels > 0
        pixels["nucleus"].append(int(true.sum()))
        pixels["background"].append(int((~true).sum()))
        for level in SIGNIFICANCE:
            for name, rate in error_rates(maps, true, level).items():
                rates.setdefault(name, {}).setdefault(level, []).append(rate)
    result: dict[str, Table] = {}
    for name, own in rates.items():
        weights = np.array(pixels[name])
        for level, values in own.items():
            row = {"all pixels": float(np.nansum(np.array(values) * weights) / weights.sum())}
            row["mean of fields"] = float(np.nanmean(values))
            for q in (0.05, 0.25, 0.5, 0.75, 0.95):
                row[f"{q:.0%} of fields below"] = float(np.nanquantile(values, q))
            result.setdefault(name, {})[str(level)] = row
    return result


def split_errors(fields: Sequence[Predicted], number: int) -> dict[str, Table]:
    """Error of each class over all pixels, averaged over splits into calibration and test."""
    counts: dict[str, list[np.ndarray]] = {"nucleus": [], "background": []}
    for one in fields:
        levels, true = to_levels(one.probability), one.labels > 0
        counts["nucleus"].append(np.bincount(levels[true], minlength=LEVELS)[::-1])
        counts["background"].append(np.bincount(levels[~true], minlength=LEVELS))
    result: dict[str, Table] = {}
    for name, histograms in counts.items():
        table = np.stack(histograms).astype(np.int64)
        found: dict[float, list[float]] = {level: [] for level in SIGNIFICANCE}
        for known, new in splits(len(fields), number):
            own, test = table[known].sum(0), table[new].sum(0)
            at_least = np.cumsum(own[::-1])[::-1]
            p_values = (at_least + 1) / (own.sum() + 1)
            for level in SIGNIFICANCE:
                found[level].append(float(test[p_values <= level].sum() / test.sum()))
        result[name] = {
            str(level): {"mean": float(np.mean(own)), "spread of splits": float(np.std(own))}
            for level, own in found.items()
        }
    return result


def risk_control(curves: np.ndarray, histograms: np.ndarray, number: int) -> Table:
    """Mean missed share of test fields at the threshold of the calibration fields."""
    result = {}
    for alpha in RATES:
        missed, chosen = [], []
        for known, new in splits(len(curves), number):
            table = FieldCalibration(curves[known], histograms[known])
            threshold = np.float32(table.nucleus_threshold(alpha))
            chosen.append(float(threshold))
            missed.append(curves[new, int(np.searchsorted(THRESHOLDS, threshold))].mean())
        result[str(alpha)] = {
            "missed": float(np.mean(missed)),
            "splits above": float(np.mean(np.array(missed) > alpha)),
            "threshold": float(np.median(chosen)),
        }
    return result


class Nuclei:
    """Scores of the nuclei that were found, whether they are right, and how many are true."""

    def __init__(self, fields: Sequence[Predicted]) -> None:
        self.scores = [object_scores(one.found, one.probability) for one in fields]
        self.right = [best_overlap(one.labels, one.found) >= 0.5 for one in fields]
        self.true = [len(np.unique(one.labels[one.labels > 0])) for one in fields]

    def table(self, known: Sequence[int] | np.ndarray) -> ObjectCalibration:
        """Calibration from some fields."""
        return ObjectCalibration(
            np.concatenate([self.scores[i] for i in known]),
            np.concatenate([self.right[i] for i in known]),
            np.repeat(np.arange(len(known)), [len(self.scores[i]) for i in known]),
            len(known),
        )

    def judged(
        self, new: Sequence[int] | np.ndarray, table: ObjectCalibration, rate: float, unit: Any
    ) -> Row:
        """Share of wrong nuclei among the trusted ones of each field, and power."""
        if unit == "field":  # one threshold for all fields: found once
            ends = np.cumsum([len(self.scores[i]) for i in new])[:-1]
            whole = trusted_objects(np.concatenate([self.scores[i] for i in new]), table, rate,
                                    unit=unit)  # fmt: skip
            chosen = np.split(whole, ends)
        else:
            chosen = [trusted_objects(self.scores[i], table, rate, unit=unit) for i in new]
        pairs = [(c, self.right[i]) for c, i in zip(chosen, new, strict=True)]
        wrong = [np.sum(c & ~right) / max(1, np.sum(c)) for c, right in pairs]
        hits = sum(int(np.sum(c & right)) for c, right in pairs)
        return {
            "wrong share": float(np.mean(wrong)),
            "right ones trusted": hits / max(1, sum(int(self.right[i].sum()) for i in new)),
            "true ones trusted": hits / max(1, sum(self.true[i] for i in new)),
        }


def trusted(nuclei: Nuclei, number: int, package: ObjectCalibration | None) -> Table:
    """Wrong share and power: over splits, and with the package's own calibration."""
    everyone = np.arange(len(nuclei.scores))
    result: Table = {}
    for unit in ("object", "field"):
        for rate in RATES:
            rows = [
                nuclei.judged(new, nuclei.table(known), rate, unit)
                for known, new in splits(len(everyone), number)
            ]
            result[f"{unit} {rate}"] = {
                name: float(np.mean([row[name] for row in rows])) for name in rows[0]
            }
            if package is not None:
                result[f"{unit} {rate}, package"] = nuclei.judged(everyone, package, rate, unit)
    return result


def false_alarms(curves: np.ndarray, histograms: np.ndarray, number: int) -> float:
    """Share of test fields that the warning calls strange, over splits."""
    alarms = []
    # With fewer than 19 known fields it never fires.
    for known, new in splits(len(curves), number, 0.5 if len(curves) >= 38 else 2 / 3):
        table = FieldCalibration(curves[known], histograms[known])
        chosen = np.random.default_rng(len(alarms)).choice(new, min(3, len(new)), replace=False)
        alarms += [not compare_histogram(histograms[i], table).holds for i in chosen]
    return float(np.mean(alarms))


def package_alarms(fields: Sequence[Predicted], calibration: Calibration) -> float:
    """Share of the fields that the package calls strange."""
    table = calibration.fields
    if table is None:
        return float("nan")
    return float(
        np.mean([not looks_like_calibration(one.probability, table).holds for one in fields])
    )


def covered(
    fields: Sequence[Predicted], stain: str, ends: Callable[[Predicted], tuple[Any, Any]]
) -> Row:
    """Coverage and width of intervals over fields."""
    inside, widths, truths = [], [], []
    for one in fields:
        low, high = ends(one)
        truth = one.truth[stain]
        inside.append(np.mean((low <= truth) & (truth <= high)))
        widths.append(np.median(high - low))
        truths.append(np.quantile(truth, (0.001, 0.999)))
    low_end, high_end = np.mean(truths, axis=0)
    width = float(np.mean(widths))
    return {
        "coverage": float(np.mean(inside)),
        "median width": width,
        "of the dynamic range": width / float(high_end - low_end),
        "worst field": float(np.min(inside)),
    }


def intervals(
    fields: Sequence[Predicted], stain: str, number: int, package: IntervalCalibration | None
) -> Table:
    """Coverage and width by where the spread comes from, over splits.

    The scale is found anew in each split. The table of errors is that of the package, whose
    calibration fields are others; flips are compared where all fields have them.
    """
    spreads: dict[str, Callable[[Predicted], np.ndarray]] = {
        "constant": lambda one: np.ones_like(one.stains[stain])
    }
    if package is not None and package.table is not None:
        table = package.table
        spreads["table"] = lambda one: table.spread(one.stains[stain])
    if all(stain in one.spread for one in fields):
        spreads["flips"] = lambda one: one.spread[stain]
    result: Table = {}
    weights = [one.stains[stain].size for one in fields]
    for kind, spread in spreads.items():
        widths = [np.maximum(spread(one), FLOOR) for one in fields]
        curves = np.stack([
            share_outside(np.abs(one.truth[stain] - one.stains[stain]) / width)
            for one, width in zip(fields, widths, strict=True)
        ])  # fmt: skip
        for unit in ("pixel", "field"):
            scales, inside = [], []
            for known, new in splits(len(fields), number):
                own = choose_scale(curves[known], [weights[i] for i in known], COVERAGE, unit)
                scales.append(own)
                at = int(np.searchsorted(SCALES, own))
                inside.append(1 - curves[new, at].mean() if at < SCALES.size else 1.0)
            scale = float(np.median(scales))
            calibration = IntervalCalibration(scale, FLOOR, COVERAGE, unit, len(fields) // 2)
            # Widths at one scale: the splits differ by a few per cent only.
            row = covered(fields, stain, lambda one, c=calibration, s=spread: interval(
                one.stains[stain], s(one), c, limits=(0, 1)))  # fmt: skip
            result[f"{kind}, {unit}"] = row | {"coverage": float(np.mean(inside))}
    return result


def package_intervals(fields: Sequence[Predicted], stain: str, calibration: Calibration) -> Table:
    """Coverage and width of the intervals that the package carries."""
    own = calibration.intervals.get(stain)
    if own is None or own.table is None:
        return {}
    return {
        "package": covered(
            fields, stain, lambda one: interval(one.stains[stain], None, own, limits=(0, 1))
        )
    }


def speed(calibration: Calibration) -> Row:
    """Seconds for the maps of a field of 2160 x 2560 pixels; size of the tables, compressed.

    The processor's seconds stand beside the clock's, which another program may stretch.
    """
    probability = np.random.default_rng(0).random((2160, 2560), np.float32)
    seconds = []
    for _ in range(3):
        start = time.perf_counter(), time.process_time()
        p_value_maps(probability, calibration)
        seconds.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    clock, processor = np.min(seconds, axis=0).tolist()
    stream = io.BytesIO()
    np.savez_compressed(stream, **calibration.to_arrays())
    kilobytes = len(stream.getvalue()) / 1000
    return {"seconds": clock, "processor seconds": processor, "kilobytes": kilobytes}
