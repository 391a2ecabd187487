"""Does the confidence keep its word? Figures on simulated fields that no model saw.

    python benchmarks/confidence.py [--model adipocyte-20x] [--fields 60] [--seed 9000] [--flips]

Prints empirical against nominal error of the p-value maps, by class and by field; the missed share
under risk control; the share of wrong nuclei among trusted ones, and how many right ones are
trusted; false alarms of the test for look-alikes; coverage and width of intensity intervals; and
writes JSON. What depends on the choice of calibration fields is averaged over random splits.

The fields are simulated, or read from `--data` where that is a plate folder with labels. Each is
predicted once and kept below `--cache`; `--flips` adds the spread of eight flips and rotations,
which takes eight predictions more. `--other` names stacks of another kind, on which the warning
should fire.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fields as simulated
import numpy as np

import napari_fluorgen as fluorgen
from napari_fluorgen.confidence import (
    THRESHOLDS,
    Calibration,
    FieldCalibration,
    ObjectCalibration,
    best_overlap,
    calibrate,
    calibrate_interval,
    error_rates,
    fit_spread,
    flip_spread,
    interval,
    looks_like_calibration,
    object_scores,
    p_value_maps,
    trusted_objects,
)
from napari_fluorgen.confidence.fields import summarise_field
from napari_fluorgen.io.atomic import atomic_path

SIGNIFICANCE = (0.01, 0.05, 0.1, 0.2)
RATES = (0.05, 0.1, 0.2)
STAINS = ("lipids", "cytoplasm")
INTERVAL_SPLITS = 5


@dataclass(frozen=True)
class Predicted:
    """One field in the scale of the networks: what was predicted, what is true."""

    probability: np.ndarray
    found: np.ndarray
    labels: np.ndarray
    stains: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    spread: dict[str, np.ndarray]


def predict(
    model: fluorgen.models.Model,
    stack: fluorgen.BrightfieldStack,
    labels: np.ndarray,
    *,
    flips: bool,
) -> dict[str, np.ndarray]:
    """Stain a field as `fluorgen stain` does; counts go back to the scale of the networks."""

    def stained(data: np.ndarray) -> Any:
        return fluorgen.stain(replace(stack, data=data, truth={}), model, precision="float32")

    field = stained(np.asarray(stack.data))
    arrays = {"probability": field.nuclei_probability, "found": field.nuclei_labels}
    arrays["labels"] = np.asarray(labels).astype(np.uint32)
    for stain in STAINS:
        scale = model.spec.outputs[stain]
        arrays[f"stain_{stain}"] = scale.from_counts(field.images[stain])
        if stain in stack.truth:
            arrays[f"truth_{stain}"] = scale.from_counts(np.asarray(stack.truth[stain]))
        if flips:
            arrays[f"spread_{stain}"] = flip_spread(
                lambda x, s=stain, o=scale: o.from_counts(stained(x).images[s]),
                np.asarray(stack.data),
            )[1]
    return arrays


def all_predicted(model: fluorgen.models.Model, options: argparse.Namespace) -> Iterator[Predicted]:
    """Predict the fields that the cache lacks and yield all."""
    folder = options.cache / f"{model.spec.name}-{model.digest[:10]}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, load in sources(model, options):
        file = folder / f"{name}{'-flips' if options.flips else ''}.npz"
        if not file.exists():
            arrays = predict(model, *load(), flips=options.flips)
            with atomic_path(file) as temporary, temporary.open("wb") as stream:
                np.savez(stream, **arrays)
        with np.load(file) as stored:
            kinds: dict[str, dict[str, np.ndarray]] = {"stain": {}, "truth": {}, "spread": {}}
            for key in stored.files:
                kind, _, stain = key.partition("_")
                if kind in kinds:
                    kinds[kind][stain] = stored[key]
            whole = (stored[key] for key in ("probability", "found", "labels"))
            yield Predicted(*whole, kinds["stain"], kinds["truth"], kinds["spread"])


def sources(model: fluorgen.models.Model, options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Yield the name of each field and how to read it with its true nuclei."""
    from napari_fluorgen.io import is_plate_folder

    if is_plate_folder(options.data):
        from napari_fluorgen.workflow.fine_tuning_fields import LABELS, stacks_of_folder

        for stack in stacks_of_folder(options.data, [])[: options.fields]:
            yield stack.identity.name, lambda s=stack: (s, s.truth[LABELS])
        return
    from napari_fluorgen.simulation.presets import get_preset

    preset = get_preset(model.spec.magnification, options.variety)
    side = options.side or simulated.SIDES[preset.magnification]
    seeds = range(options.seed, options.seed + options.fields)
    files = simulated.simulate(preset, seeds, side, options.data, workers=options.workers)
    for file in files:
        # Fields of another simulation have the same seeds.
        name = f"{file.parent.name}-{file.stem}"
        yield name, lambda f=file: (lambda true: (true.stack, true.labels))(simulated.read(f))


def splits(n: int, number: int, part: float = 0.5) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield random choices of calibration and test fields."""
    generator = np.random.default_rng(0)
    for _ in range(number):
        order = generator.permutation(n)
        yield order[: round(n * part)], order[round(n * part) :]


def pixel_errors(fields: Sequence[Predicted], calibration: Calibration) -> dict[str, Any]:
    """Empirical error of each class: mean over fields, and how fields differ."""
    found: dict[str, dict[str, Any]] = {"nucleus": {}, "background": {}}
    maps = [p_value_maps(one.probability, calibration) for one in fields]
    for level in SIGNIFICANCE:
        rates = [error_rates(p, one.labels, level) for p, one in zip(maps, fields, strict=True)]
        for name, own in found.items():
            values = np.array([rate[name] for rate in rates])
            own[str(level)] = {"mean": float(np.nanmean(values))} | {
                f"quantile {q}": float(np.nanquantile(values, q)) for q in (0.05, 0.5, 0.95)
            }
    return found


def risk_control(
    curves: np.ndarray, histograms: np.ndarray, number: int
) -> dict[str, dict[str, float]]:
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


def trusted(fields: Sequence[Predicted], number: int) -> dict[str, Any]:
    """Share of wrong nuclei among the trusted ones, and of right nuclei that are trusted."""
    scores = [object_scores(one.found, one.probability) for one in fields]
    right = [best_overlap(one.labels, one.found) >= 0.5 for one in fields]
    true = [len(np.unique(one.labels[one.labels > 0])) for one in fields]
    everything = np.concatenate(right)
    result: dict[str, Any] = {
        "found": int(everything.size),
        "wrong": float(np.mean(~everything)),
        "true": int(np.sum(true)),
    }
    for unit in ("object", "field"):
        for rate in RATES:
            wrong, power, of_true = [], [], []
            for known, new in splits(len(fields), number):
                table = ObjectCalibration(
                    np.concatenate([scores[i] for i in known]),
                    np.concatenate([right[i] for i in known]),
                    np.repeat(np.arange(len(known)), [len(scores[i]) for i in known]),
                    len(known),
                )
                chosen = [trusted_objects(scores[i], table, rate, unit=unit) for i in new]
                pairs = [(c, right[i]) for c, i in zip(chosen, new, strict=True)]
                wrong += [np.sum(c & ~r) / max(1, np.sum(c)) for c, r in pairs]
                hits = sum(int(np.sum(c & r)) for c, r in pairs)
                power.append(hits / max(1, sum(int(right[i].sum()) for i in new)))
                of_true.append(hits / max(1, sum(true[i] for i in new)))
            result[f"{unit} {rate}"] = {
                "wrong share": float(np.mean(wrong)),
                "right ones trusted": float(np.mean(power)),
                "true ones trusted": float(np.mean(of_true)),
            }
    return result


def false_alarms(
    fields: Sequence[Predicted], curves: np.ndarray, histograms: np.ndarray, number: int
) -> float:
    """Share of test fields that the warning calls strange."""
    alarms = []
    for known, new in splits(len(fields), number):
        table = FieldCalibration(curves[known], histograms[known])
        chosen = np.random.default_rng(len(alarms)).choice(new, min(3, len(new)), replace=False)
        alarms += [not looks_like_calibration(fields[i].probability, table).holds for i in chosen]
    return float(np.mean(alarms))


def intervals(fields: Sequence[Predicted], stain: str) -> dict[str, dict[str, float]]:
    """Coverage and width by where the spread comes from."""
    kinds = ["constant", "table", *(["flips"] if stain in fields[0].spread else [])]
    figures: dict[str, list[tuple[float, float]]] = {}
    for known, new in splits(len(fields), INTERVAL_SPLITS, 2 / 3):
        learn, fix = np.array_split(known, 2)
        table = fit_spread((fields[i].stains[stain], fields[i].truth[stain]) for i in learn)

        def spread(one: Predicted, kind: str, table: Any = table) -> np.ndarray:
            if kind == "table":
                return np.asarray(table.spread(one.stains[stain]))
            return one.spread[stain] if kind == "flips" else np.ones_like(one.stains[stain])

        for kind in kinds:
            # A constant and the flips have nothing to learn, but each has the same fields.
            for unit in ("pixel", "field"):
                calibration = calibrate_interval(
                    ((fields[i].stains[stain], spread(fields[i], kind), fields[i].truth[stain])
                     for i in fix), unit=unit)  # fmt: skip
                for i in new:
                    low, high = interval(
                        fields[i].stains[stain], spread(fields[i], kind), calibration, limits=(0, 1)
                    )
                    truth = fields[i].truth[stain]
                    inside = float(np.mean((low <= truth) & (truth <= high)))
                    width = float(np.median(high - low))
                    figures.setdefault(f"{kind}, {unit}", []).append((inside, width))
    return {
        name: {"coverage": float(np.mean(own, 0)[0]), "median width": float(np.mean(own, 0)[1])}
        for name, own in figures.items()
    }


def speed(calibration: Calibration) -> dict[str, float]:
    """Seconds for the maps of a field of 2160 x 2560 pixels; size of the tables, compressed."""
    import io

    probability = np.random.default_rng(0).random((2160, 2560), np.float32)
    start = time.perf_counter()
    p_value_maps(probability, calibration)
    seconds = time.perf_counter() - start
    stream = io.BytesIO()
    np.savez_compressed(stream, **calibration.to_arrays())
    return {"seconds": seconds, "kilobytes": len(stream.getvalue()) / 1000}


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print one table."""
    if rows:
        names = list(next(iter(rows.values())))
        print(f"\n## {title}\n\n| | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}")
        for key, row in rows.items():
            print(f"| {key} | {' | '.join(f'{row[name]:.3f}' for name in names)} |")


def main() -> None:
    """Predict, compute, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="adipocyte-20x", help="name or folder")
    parser.add_argument("--variety", default="adipocytes", help="of simulated cells and optics")
    parser.add_argument("--cache", type=Path, default=simulated.CACHE / "confidence")
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--flips", action="store_true", help="also the spread of flips")
    parser.add_argument("--other", type=Path, nargs="*", default=[], help="stacks unlike these")
    simulated.add_options(parser, fields=60)
    options = parser.parse_args()
    missing = [str(path) for path in options.other if not path.exists()]
    if missing:
        parser.error(f"{', '.join(missing)}: not found")
    simulated.bound_threads(options.threads)
    model = fluorgen.load_model(options.model)
    fields = list(all_predicted(model, options))
    n = len(fields)
    if n < 4:
        parser.error(f"{n} fields cannot be divided: give four at least")
    rows = [summarise_field(one.probability, one.labels) for one in fields]
    curves, histograms = (np.stack(parts) for parts in zip(*rows, strict=True))

    stored = model.calibration
    half = calibrate((f.probability, f.labels, f.found) for f in fields[: n // 2])
    package = half if stored is None else Calibration.from_arrays(stored)
    unseen = fields[n // 2 :] if stored is None else fields
    result: dict[str, Any] = {"model": model.spec.name, "digest": model.digest, "fields": n}
    result["pixels"] = pixel_errors(unseen, package)
    result["risk control"] = risk_control(curves, histograms, options.splits)
    result["trusted"] = trusted(fields, options.splits)
    result["false alarms"] = false_alarms(fields, curves, histograms, options.splits)
    result["intervals"] = {
        stain: intervals(fields, stain)
        for stain in STAINS
        if n >= 6 and all(stain in one.truth for one in fields)
    }
    result["maps of 5.5 Mpx"] = speed(half if package.fields is None else package)
    result["other"] = {}
    table = package.fields or half.fields
    assert table is not None
    for path in options.other:
        stack = fluorgen.read_stack(path)
        verdict = looks_like_calibration(fluorgen.stain(stack, model).nuclei_probability, table)
        result["other"][path.name] = vars(verdict)

    print(f"# {model.spec.name} on {n} fields")
    for name, own in result["pixels"].items():
        show(f"Error of {name} at each significance, over fields", own)
    show(f"Missed share under risk control, {options.splits} splits", result["risk control"])
    units = {key: value for key, value in result["trusted"].items() if isinstance(value, dict)}
    show(f"Trusted nuclei, {options.splits} splits", units)
    print(f"\n{result['trusted']['wrong']:.1%} of {result['trusted']['found']} nuclei are wrong.")
    print(f"False alarms of the warning: {result['false alarms']:.3f}")
    for stain, own in result["intervals"].items():
        show(f"Intervals of {stain} at 0.9", own)
    print("\nMaps of 5.5 Mpx: {seconds:.3f} s; table {kilobytes:.0f} kB".format(
        **result["maps of 5.5 Mpx"]))  # fmt: skip
    for name, own in result["other"].items():
        print(f"{name}: p = {own['p_value']:.3f}. {own['message']}")
    simulated.write_json(options.output, result)


if __name__ == "__main__":
    main()
