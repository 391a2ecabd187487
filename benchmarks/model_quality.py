"""Figures of models on simulated fields that they never saw.

    python benchmarks/model_quality.py [--model adipocyte-20x] [--fields 30] [--seed 9000]

Simulates the fields (once: `--data` keeps them), stains them as `fluorgen stain` does and compares
with the simulated truth: Pearson's r (mean over fields, and the lowest), the official pixel error,
SSIM, nuclei matched at IoU 0.5 and 0.7, and how often the confidence errs at four levels of
significance. Prints tables and writes JSON. The default seeds were used for neither training,
validation nor calibration.

`--model` may be repeated and takes a name or a folder; each model gets fields of its own
magnification. `--cellprofiler N` adds the official feature error through real CellProfiler on the
first N fields (needs CellProfiler; minutes). `--views N` has the nuclei network look at another
number of mirrored views than the package says, with the calibration as it is. Two cores need about
2.5 s a field of 512² pixels to simulate and 1 s to stain, and 2.5 times as much at 768².
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import fields as simulated
import numpy as np

import napari_fluorgen as fluorgen
from napari_fluorgen.confidence import error_rates
from napari_fluorgen.measurement import pearson, score_fields
from napari_fluorgen.segmentation import MatchScores, pool_scores, score_thresholds
from napari_fluorgen.simulation.presets import get_preset
from napari_fluorgen.stack import StainedField

SIGNIFICANCE = (0.01, 0.05, 0.1, 0.2)
IOUS = (0.5, 0.7)


class Comparison:
    """Compares stained fields with their truth, one after another."""

    def __init__(self, model: fluorgen.models.Model) -> None:
        self.model = model
        self.lowest: dict[str, float] = {}
        self.matches: dict[str, list[MatchScores]] = defaultdict(list)
        self.errors: dict[tuple[str, float], list[float]] = defaultdict(list)
        self.flat: list[float] = []
        self.seconds: list[float] = []

    def pairs(self, files: list[Path]) -> Iterator[tuple[dict, dict]]:
        """Stain each field and yield its stains with the true ones."""
        for true in simulated.read_all(files):
            start = time.perf_counter()
            field = fluorgen.stain(replace(true.stack, truth={}), self.model)
            self.seconds.append(time.perf_counter() - start)
            self._add_nuclei(true.labels, field)
            nuclei = true.truth["nuclei"]
            self.flat.append(pearson(flat(nuclei, true.labels), nuclei))
            yield field.images, true.truth

    def _add_nuclei(self, labels: np.ndarray, field: StainedField) -> None:
        found = field.nuclei_labels
        pixel_um = self.model.spec.pixel_size_um
        smallest = self.model.spec.nuclei.min_area_um2 / pixel_um**2
        for kind, pair in {
            "": (labels, found),
            " without slivers": without_slivers(labels, found, smallest),
            " clear of the border": clear_of_border(labels, found),
        }.items():
            for score in score_thresholds(*pair, IOUS):
                self.matches[f"{score.iou}{kind}"].append(score)
        if field.p_values:
            for level in SIGNIFICANCE:
                for label, share in error_rates(field.p_values, labels > 0, level).items():
                    self.errors[label, level].append(share)

    def record(self, scores: fluorgen.measurement.FieldScores) -> dict[str, Any]:
        """All figures, ready for JSON."""
        return {
            "model": self.model.spec.name,
            "version": self.model.spec.version,
            "digest": self.model.digest,
            "fields": len(self.seconds),
            "stains": {
                name: {
                    "pearson": score.pearson,
                    "pearson_lowest": self.lowest[name],
                    "pixel_error": score.pixel_error,
                    "ssim": score.ssim,
                }
                for name, score in scores.stains.items()
            },
            "pixel_error": scores.pixel_error,
            "pearson_of_flat_nuclei": float(np.mean(self.flat)),
            "nuclei": {name: nuclei_record(found) for name, found in self.matches.items()},
            "conformal_error": {
                label: {str(level): float(np.nanmean(self.errors[label, level])) for level in
                        SIGNIFICANCE}
                for label in ("nucleus", "background")
                if (label, SIGNIFICANCE[0]) in self.errors
            },
            "seconds_a_field": {
                "first": self.seconds[0],
                "median": float(np.median(self.seconds)),
            },
        }  # fmt: skip


def clear_of_border(truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out nuclei that the border cuts, and what was found at the border or on them."""
    truth, found = _left_out(np.isin(truth, _at_border(truth)), truth, found)
    return truth, np.where(np.isin(found, _at_border(found)), 0, found)


def without_slivers(
    truth: np.ndarray, found: np.ndarray, smallest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Leave out what the border leaves of nuclei, below `smallest` pixels, and what lies on it."""
    small = np.bincount(truth.ravel()) < smallest
    cut = np.zeros_like(small)
    cut[_at_border(truth)] = True
    return _left_out((small & cut)[truth], truth, found)


def _left_out(
    region: np.ndarray, truth: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Remove true nuclei in `region`, and found ones that lie on them with more than half."""
    region = region & (truth > 0)
    area = np.bincount(found.ravel())
    on_region = np.bincount(found[region], minlength=area.size) > 0.5 * area
    on_region[0] = False
    return np.where(region, 0, truth), np.where(on_region[found], 0, found)


def flat(stain: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Fill each nucleus with its mean: what a stain without texture and blur would be."""
    mean = np.bincount(labels.ravel(), stain.ravel()) / np.maximum(np.bincount(labels.ravel()), 1)
    mean[0] = np.median(stain[labels == 0])
    return mean[labels]


def _at_border(labels: np.ndarray) -> np.ndarray:
    return np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))


def nuclei_record(matches: list[MatchScores]) -> dict[str, float | int]:
    """Pooled counts and what follows from them."""
    score = pool_scores(matches)
    return {
        "f1": score.f1,
        "precision": score.precision,
        "recall": score.recall,
        "true": score.tp + score.fn,
        "found": score.tp + score.fp,
    }


def evaluate(model: fluorgen.models.Model, files: list[Path]) -> dict[str, Any]:
    """Stain every field and compare it with its truth."""
    comparison = Comparison(model)

    def watched() -> Iterator[tuple[dict, dict]]:
        for images, truth in comparison.pairs(files):
            for name, image in images.items():
                found = pearson(image, truth[name])
                comparison.lowest[name] = min(found, comparison.lowest.get(name, 1.0))
            yield images, truth

    return comparison.record(score_fields(watched(), ssim=True))


def feature_error(model: fluorgen.models.Model, files: list[Path], workers: int) -> dict[str, Any]:
    """Official feature error, by real CellProfiler on predicted and true stains."""
    from napari_fluorgen.measurement import measure_features

    def pairs() -> Iterator[tuple[str, dict, dict]]:
        for true in simulated.read_all(files):
            field = fluorgen.stain(replace(true.stack, truth={}), model)
            yield field.identity.name, field.images, true.truth

    measured = measure_features(pairs(), pixel_size_um=model.spec.pixel_size_um, processes=workers)
    scores = measured.scores
    worst = sorted(scores.columns, key=lambda name: -scores.columns[name])[:5]
    return {
        "error": scores.error,
        "fields": scores.images,
        "pipeline": measured.pipeline,
        "features": len(scores.columns),
        "excluded": scores.excluded,
        "incomplete": scores.incomplete,
        "worst": {name: scores.columns[name] for name in worst},
        "columns": scores.columns,
    }


def seen_through(model: fluorgen.models.Model, views: int, folder: str) -> fluorgen.models.Model:
    """The same weights in a package whose nuclei network answers with the mean over `views`."""
    nuclei = model.spec.architectures["nuclei"].model_copy(update={"views": views})
    architectures = model.spec.architectures | {"nuclei": nuclei}
    spec = model.spec.model_copy(update={"architectures": architectures})
    package = fluorgen.models.save_package(
        Path(folder) / spec.name, spec, model.networks(), calibration=model.calibration,
        test_input=model.test_tensors()[0], card=model.card,
    )  # fmt: skip
    return fluorgen.load_model(package)


def print_tables(name: str, result: dict[str, Any]) -> None:
    """Print the figures of one model as they stand in docs/models.md."""
    print(f"\n## {name}: {result['fields']} unseen SIMULATED fields, seeds from {result['seed']}\n")
    print("| stain | Pearson r, mean | lowest field | pixel error | SSIM |")
    print("| --- | --- | --- | --- | --- |")
    for stain, score in result["stains"].items():
        print(
            f"| {stain} | {score['pearson']:.3f} | {score['pearson_lowest']:.3f} "
            f"| {score['pixel_error']:.3f} | {score['ssim']:.3f} |"
        )
    print(f"\nOfficial pixel error {result['pixel_error']:.3f}.")
    print(
        f"r of the true nuclei, each filled with its mean: {result['pearson_of_flat_nuclei']:.3f}."
    )
    if "feature_error" in result:
        features = result["feature_error"]
        print(
            f"Feature error {features['error']:.3f} ({features['features']} features of "
            f"CellProfiler by the {features['pipeline']} pipeline, {features['fields']} fields)."
        )
    print("\n| nuclei at IoU | F1 | precision | recall | true | found |")
    print("| --- | --- | --- | --- | --- | --- |")
    for iou, score in result["nuclei"].items():
        print(
            f"| {iou} | {score['f1']:.3f} | {score['precision']:.3f} | {score['recall']:.3f} "
            f"| {score['true']} | {score['found']} |"
        )
    if result["conformal_error"]:
        print("\n| significance |" + "".join(f" {level} |" for level in SIGNIFICANCE))
        print("| --- |" + " --- |" * len(SIGNIFICANCE))
    for label, shares in result["conformal_error"].items():
        print(f"| {label} |" + "".join(f" {share:.3f} |" for share in shares.values()))
    print(f"\n{result['seconds_a_field']['median']:.2f} s a field after the first.", flush=True)


def main() -> None:
    """Simulate, evaluate, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", help="name or folder (default adipocyte-20x)")
    parser.add_argument("--variety", default="adipocytes", help="of simulated cells and optics")
    parser.add_argument(
        "--cellprofiler",
        type=int,
        default=0,
        metavar="N",
        help="also the feature error on the first N fields (FLUORGEN_CELLPROFILER: the program)",
    )
    parser.add_argument("--views", type=int, choices=(1, 2, 4), help="of the nuclei network")
    simulated.add_options(parser, fields=30)
    options = parser.parse_args()
    simulated.bound_threads(options.threads)

    results = {}
    for name in options.model or ["adipocyte-20x"]:
        model = fluorgen.load_model(name)
        if options.views is not None:
            scratch = tempfile.TemporaryDirectory()  # kept until the next model takes its name
            model = seen_through(model, options.views, scratch.name)
        preset = get_preset(model.spec.magnification, options.variety)
        shape = options.side or simulated.SHAPES[preset.magnification]
        seeds = range(options.seed, options.seed + options.fields)
        files = simulated.simulate(preset, seeds, shape, options.data, workers=options.workers)
        results[name] = {"seed": options.seed, "shape": shape, "variety": options.variety}
        results[name] |= evaluate(model, files)
        if options.cellprofiler:
            chosen = files[: options.cellprofiler]
            results[name]["feature_error"] = feature_error(model, chosen, options.workers)
        print_tables(name, results[name])
        simulated.write_json(options.output, results)


if __name__ == "__main__":
    main()
