"""Figures of a model on simulated fields that it never saw.

    python benchmarks/model_quality.py [--model adipocyte-20x] [--fields 10] [--seed 9000]

Simulates the fields, stains them as `fluorgen stain` does and compares with the simulated truth:
Pearson's r (mean over fields, and the lowest), the official pixel error, nuclei matched at IoU 0.5
and 0.7, and how often the confidence errs at four levels of significance. Prints a table and
writes JSON. The default seeds were used for neither training, validation nor calibration.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

import napari_fluorgen as fluorgen
from napari_fluorgen.confidence import error_rates
from napari_fluorgen.io.results import read_tiff
from napari_fluorgen.measurement import pearson, score_fields
from napari_fluorgen.segmentation import match_instances, pool_scores
from napari_fluorgen.simulation.plate import simulate_fields, write_plate
from napari_fluorgen.simulation.presets import get_preset

SIGNIFICANCE = (0.01, 0.05, 0.1, 0.2)
IOUS = (0.5, 0.7)


def evaluate(model: fluorgen.models.Model, plate: Path) -> dict:
    """Stain every field of a plate and compare it with its truth."""
    correlations = defaultdict(list)
    matches = defaultdict(list)
    errors = defaultdict(list)
    images = []
    seconds = []
    for stack in fluorgen.read_plate(plate):
        start = time.perf_counter()
        field = fluorgen.stain(stack, model)
        seconds.append(time.perf_counter() - start)
        truth = {name: np.asarray(image) for name, image in stack.truth.items()}
        labels = read_tiff(plate / "labels" / f"{stack.identity.name}_nuclei.tif")
        for name, image in truth.items():
            correlations[name].append(pearson(field.images[name], image))
        images.append((field.images, truth))
        for iou in IOUS:
            matches[iou].append(match_instances(labels, field.nuclei_labels, iou))
        if field.p_values:
            for level in SIGNIFICANCE:
                for label, share in error_rates(field.p_values, labels > 0, level).items():
                    errors[label, level].append(share)
    scores = score_fields(images)
    return {
        "fields": len(seconds),
        "pearson": {name: float(np.mean(r)) for name, r in correlations.items()},
        "pearson_lowest": {name: float(np.min(r)) for name, r in correlations.items()},
        "pixel_error": scores.pixel_error,
        "pixel_error_by_stain": {k: s.pixel_error for k, s in scores.stains.items()},
        "nuclei": {
            str(iou): {"precision": s.precision, "recall": s.recall, "f1": s.f1}
            for iou, s in ((iou, pool_scores(matches[iou])) for iou in IOUS)
        },
        "conformal_error": {
            label: {str(level): float(np.nanmean(errors[label, level])) for level in SIGNIFICANCE}
            for label in ("nucleus", "background")
            if (label, SIGNIFICANCE[0]) in errors
        },
        "seconds_a_field": {"first": seconds[0], "median": float(np.median(seconds))},
    }


def main() -> None:
    """Simulate, evaluate, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="adipocyte-20x", help="name or folder of the model")
    parser.add_argument("--fields", type=int, default=10)
    parser.add_argument("--seed", type=int, default=9000)
    parser.add_argument("--output", type=Path, help="write the result here as JSON")
    options = parser.parse_args()

    model = fluorgen.load_model(options.model)
    preset = get_preset(model.spec.magnification)
    with tempfile.TemporaryDirectory() as folder:
        fields = simulate_fields(preset, options.fields, options.seed)
        plate = write_plate(fields, Path(folder) / "plate", plate="Unseen")
        result = {"model": model.spec.name, "digest": model.digest, "seed": options.seed}
        result |= evaluate(model, plate)

    print(f"{options.model} on {result['fields']} unseen SIMULATED fields, seed {options.seed}")
    for name, r in result["pearson"].items():
        lowest, error = result["pearson_lowest"][name], result["pixel_error_by_stain"][name]
        print(f"  {name:10s} r {r:.4f} (lowest {lowest:.4f})  pixel error {error:.3f}")
    print(f"  official pixel error {result['pixel_error']:.3f}")
    for iou, score in result["nuclei"].items():
        print(
            f"  nuclei at IoU {iou}: F1 {score['f1']:.3f} "
            f"(precision {score['precision']:.3f}, recall {score['recall']:.3f})"
        )
    for label, shares in result["conformal_error"].items():
        levels = ", ".join(f"{share:.3f} at {level}" for level, share in shares.items())
        print(f"  conformal error of {label}: {levels}")
    print(f"  {result['seconds_a_field']['median']:.2f} s a field after the first")
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
