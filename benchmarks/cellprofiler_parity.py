"""Compare our columns with those that CellProfiler 4.2.8.1 wrote for the reference plate.

    python benchmarks/cellprofiler_parity.py ../shared/cellprofiler/reference [-o parity.json]

Prints the table of docs/cellprofiler.md and the columns that differ by more than 1e-6.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import re
import time
from pathlib import Path

import numpy as np
import tifffile

from napari_fluorgen.measurement import measure_labels
from napari_fluorgen.measurement.intensity import scale_counts

OBJECTS = ("Nuclei", "Cells", "Cytoplasm", "LipidDroplets")
IMAGES = ("Hoechst", "Bodipy", "CellTracker", "Confidence")
TOLERANCE = 1e-6
TIES = re.compile("Location_MaxIntensity_|AreaShape_Orientation")


def measure(folder: Path) -> list[dict]:
    with (folder / "plate" / "load_data.csv").open() as stream:
        masks = [row["Image_ObjectsFileName_Nuclei"] for row in csv.DictReader(stream)]
    fields = []
    for mask in masks:
        stem = mask.removesuffix("_Nuclei.tif")
        labels = {"Nuclei": tifffile.imread(folder / "plate" / "masks" / mask)}
        for name in OBJECTS[1:]:
            path = folder / "outputs" / "masks" / f"{stem}_{name}.tiff"
            labels[name] = tifffile.imread(path)
        images = {
            name: scale_counts(tifffile.imread(folder / "plate" / "images" / f"{stem}_{name}.tif"))
            for name in IMAGES
        }
        fields.append(measure_labels(labels, images))
    return fields


def compare(folder: Path, fields: list[dict]) -> dict[str, dict]:
    result = {}
    for table in ("Image", *OBJECTS):
        with gzip.open(folder / "outputs" / f"{table}.csv.gz", "rt") as stream:
            rows = list(csv.DictReader(stream))
        differing = {}
        for name in fields[0][table]:
            ours = np.concatenate([np.asarray(field[table][name], float) for field in fields])
            theirs = np.array([float(row[name] or "nan") for row in rows])
            missing = np.isnan(ours) | np.isnan(theirs)
            # values near zero are held against the size of their column
            size = np.sqrt(np.mean(theirs[~missing] ** 2)) if not missing.all() else 0.0
            close = np.abs(ours - theirs) <= TOLERANCE * np.maximum(np.abs(theirs), size)
            close |= np.isnan(ours) & np.isnan(theirs)
            if not close.all():
                differing[name] = float(np.mean(~close))
        result[table] = {
            "rows": len(rows),
            "columns": len(fields[0][table]),
            "differing": differing,
        }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("reference", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    start = time.process_time()
    fields = measure(arguments.reference)
    seconds = time.process_time() - start
    tables = compare(arguments.reference, fields)
    print("| table | rows | columns | equal within 1e-6 | ties | other |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    total = np.zeros(4, int)
    for name, table in tables.items():
        ties = sum(bool(TIES.search(column)) for column in table["differing"])
        equal = table["columns"] - len(table["differing"])
        counts = (table["columns"], equal, ties, len(table["differing"]) - ties)
        total += counts
        print(f"| {name} | {table['rows']} | " + " | ".join(map(str, counts)) + " |")
    print("| all | | " + " | ".join(map(str, total)) + " |")
    print(f"\n{total[1] / total[0]:.1%} equal; {seconds:.1f} s of CPU for {len(fields)} fields\n")
    for name, table in tables.items():
        for column, share in table["differing"].items():
            print(f"{name} {column}: {share:.1%} of rows differ")
    if arguments.output:
        arguments.output.write_text(json.dumps({"seconds": seconds, "tables": tables}, indent=1))


if __name__ == "__main__":
    main()
