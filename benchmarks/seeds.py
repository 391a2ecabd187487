"""Do certain pixels make better seeds of nuclei than all pixels? F1 at IoU 0.5 and 0.7.

    python benchmarks/seeds.py [--model adipocyte-20x] [--fields 60] [--seed 9000]

Cuts nuclei out of the same predictions with seeds from all pixels above the threshold ("plain"),
and with seeds from pixels that are certain nucleus at several significances. Prints F1, precision
and recall over all nuclei of unseen simulated fields, and the mean difference of F1 between fields
with its standard error. Predictions are shared with `confidence.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import fields as simulated
import numpy as np

import confidence
import napari_fluorgen as fluorgen
from napari_fluorgen.confidence import p_value_maps
from napari_fluorgen.segmentation import pool_scores, score_thresholds, segment_nuclei

IOUS = (0.5, 0.7)
SIGNIFICANCE = (0.01, 0.05, 0.1, 0.2)


def main() -> None:
    """Predict, segment, compare, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    confidence.add_options(parser)
    parser.add_argument("--threshold", type=float, help="instead of the model's own")
    options = parser.parse_args()
    simulated.bound_threads(options.threads)
    model = fluorgen.load_model(options.model)
    settings = model.spec.nuclei.model_dump()
    if options.threshold is not None:
        settings["threshold"] = options.threshold
    scores: dict[str, list[Any]] = {}
    for one in confidence.all_predicted(model, options):
        maps = p_value_maps(one.probability, model.calibration)
        for level in (None, *SIGNIFICANCE):
            chosen = {} if level is None else {"p_values": maps, "significance": level}
            found = segment_nuclei(
                one.probability, pixel_size_um=model.spec.pixel_size_um, **settings, **chosen
            )
            name = "plain" if level is None else f"certain at {level}"
            scores.setdefault(name, []).append(score_thresholds(one.labels, found, IOUS))
    result: dict[str, Any] = {"model": model.spec.name, "digest": model.digest}
    print(f"# Seeds, {model.spec.name}, {len(scores['plain'])} fields\n")
    print("| seeds | IoU | F1 | precision | recall | F1 minus plain, mean of fields |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, own in scores.items():
        for number, iou in enumerate(IOUS):
            total = pool_scores([field[number] for field in own])
            away = np.array(
                [a[number].f1 - b[number].f1 for a, b in zip(own, scores["plain"], strict=True)]
            )
            error = float(away.std(ddof=1) / np.sqrt(away.size))
            row = {
                "f1": total.f1,
                "precision": total.precision,
                "recall": total.recall,
                "difference": float(away.mean()),
                "standard error": error,
            }
            result[f"{name}, IoU {iou}"] = row
            print(
                f"| {name} | {iou} | {total.f1:.4f} | {total.precision:.4f} | {total.recall:.4f} "
                f"| {away.mean():+.4f} ± {error:.4f} |"
            )
    simulated.write_json(Path(options.output) if options.output else None, result)


if __name__ == "__main__":
    main()
