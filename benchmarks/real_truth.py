"""How far two segmentations of the same real DAPI image agree: what real_light.py can reach.

    python benchmarks/real_truth.py --data ../shared/data

Nobody outlined the nuclei of these fields by hand. Here the real CellProfiler 4.2
(FLUORGEN_CELLPROFILER) finds them in the true DNA stain, touching ones parted by shape, with either
of its usual thresholds, and is compared with the truth that real_light.py compares virtual nuclei
with. A stainer that sees no DNA can hardly agree better with it.
"""

from __future__ import annotations

import argparse
import csv
import math
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import real_light
import tifffile

from napari_fluorgen.measurement import find_cellprofiler, run_pipeline
from napari_fluorgen.measurement.cppipe import (
    assemble,
    export_tables,
    load_data,
    primary_objects,
    save_masks,
    threshold,
)
from napari_fluorgen.segmentation import match_instances, relabel_sequential

IOUS = (0.5, 0.7)
THRESHOLDS = ("Minimum Cross-Entropy", "Otsu")
IMAGE, OBJECTS, TABLE = "DNA", "Nuclei", "image_sets.csv"


class Case(NamedTuple):
    """A DNA stain with the truth of real_light.py and the diameters CellProfiler looks for."""

    name: str
    dna: np.ndarray
    nuclei: np.ndarray
    pixels: tuple[int, int]


def cases(data: Path) -> list[Case]:
    """Whole fields, and the halves of the one that is fine-tuned on."""
    found = []
    for name, read in real_light.FIELDS.items():
        real = read(data)
        assert real.stack.pixel_size_um is not None
        pixel_um = real.stack.pixel_size_um[0]
        areas = real_light.AREA_UM2[name]
        low, high = (round(2 * math.sqrt(um2 / math.pi) / pixel_um) for um2 in areas)
        parts = real_light.halves_of(real) if name == real_light.TUNED else {"": real}
        found += [
            Case(f"{name} {side}".strip(), part.dna, part.nuclei, (low, high))
            for side, part in parts.items()
        ]
    return found


def found_by_cellprofiler(command: tuple[str, ...], case: Case, method: str) -> np.ndarray:
    """Labels of the nuclei that CellProfiler finds, (Y, X)."""
    with tempfile.TemporaryDirectory() as temporary:
        folder, output = Path(temporary), Path(temporary) / "output"
        scale = 65535 / float(case.dna.max())
        tifffile.imwrite(folder / "dna.tif", (case.dna * scale).astype(np.uint16))
        with (folder / TABLE).open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow([f"Image_FileName_{IMAGE}", f"Image_PathName_{IMAGE}"])
            rows.writerow(["dna.tif", folder])
        modules = [
            load_data(TABLE),
            primary_objects(IMAGE, OBJECTS, case.pixels, "", threshold(1.0, 1.3488, method=method)),
            *save_masks(OBJECTS, IMAGE, "masks"),
            export_tables(),
        ]
        pipeline = folder / "nuclei.cppipe"
        pipeline.write_text(assemble(modules), encoding="utf-8")
        run_pipeline(command, pipeline, folder, output, images=1)
        return tifffile.imread(output / "masks" / f"dna_{OBJECTS}.tiff")


def main() -> None:
    """Print a row for each field and threshold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the real data sets")
    options = parser.parse_args()
    command = find_cellprofiler()
    if command is None:
        parser.error("CellProfiler was not found: set FLUORGEN_CELLPROFILER")
    heads = " | ".join(f"F1 at IoU {iou}" for iou in IOUS)
    print(
        f"| field | threshold | {heads} | CellProfiler's / true |\n| --- | --- | --- | --- | --- |"
    )
    for case in cases(options.data):
        for method in THRESHOLDS:
            labels = relabel_sequential(found_by_cellprofiler(command, case, method))
            scores = [match_instances(case.nuclei, labels, iou) for iou in IOUS]
            cells = " | ".join(f"{score.f1:.2f}" for score in scores)
            counts = f"{labels.max()} / {case.nuclei.max()}"
            print(f"| {case.name} | {method} | {cells} | {counts} |", flush=True)


if __name__ == "__main__":
    main()
