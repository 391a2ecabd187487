"""Time the built-in measurements on one synthetic site as large as a plate reader's.

    python benchmarks/measure_site.py [--features basic] [--sides 2160 2560] [-o site.json]

The site is drawn, neither real nor simulated by optics: discs for 260 nuclei in cells with 3,500
lipid droplets, and camera noise. It has the counts of the site on which CellProfiler 4.2.8.1 took
91 s (on another day, with its texture, granularity and colocalisation modules).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from napari_fluorgen.measurement import find_objects, measure_field
from napari_fluorgen.stack import FieldIdentity, StainedField

NUCLEI, DROPLETS = 260, 3500
SIDES = (2160, 2560)
LIMIT_S = 10.0


def synthetic_site(sides: tuple[int, int] = SIDES, seed: int = 0) -> StainedField:
    """Draw the site; other sides get nuclei and droplets in proportion."""
    rng = np.random.default_rng(seed)
    share = sides[0] * sides[1] / (SIDES[0] * SIDES[1])
    nuclei = max(round(NUCLEI * share), 1)
    columns = max(round(np.sqrt(nuclei * sides[1] / sides[0])), 1)
    rows = -(-nuclei // columns)
    step = np.array([sides[0] / rows, sides[1] / columns])
    cells = np.stack(np.unravel_index(np.arange(nuclei), (rows, columns)), axis=1)
    centres = (cells + 0.5) * step + rng.uniform(-0.1, 0.1, cells.shape) * step
    counts = {stain: np.full(sides, 300.0) for stain in ("nuclei", "lipids", "cytoplasm")}
    labels = np.zeros(sides, np.uint32)
    for number, (y, x) in enumerate(centres, 1):
        paint(counts["cytoplasm"], y, x, 0.42 * step.min(), rng.uniform(2500, 3500))
        inside = paint(counts["nuclei"], y, x, rng.uniform(15, 22), rng.uniform(5000, 9000))
        labels[inside] = number
    for number in range(round(DROPLETS * share)):
        y, x = centres[number % nuclei] + rng.uniform(-0.36, 0.36, 2) * step
        paint(counts["lipids"], y, x, rng.uniform(3, 8), rng.uniform(4000, 9000))
    images = {
        stain: rng.normal(image, 25).clip(0, 65535).astype(np.uint16)
        for stain, image in counts.items()
    }
    p_value = np.where(labels > 0, 0.7, 0.02) + rng.integers(0, 200, sides) / 1000
    return StainedField(
        identity=FieldIdentity("synthetic", plate="Synthetic", well="A01", site=1),
        pixel_size_um=(0.325, 0.325),
        images=images,
        nuclei_probability=(labels > 0).astype(np.float32),
        nuclei_labels=labels,
        p_values={
            "nucleus": p_value.astype(np.float32),
            "background": (1 - p_value).astype(np.float32),
        },
    )


def paint(image: np.ndarray, y: float, x: float, radius: float, value: float) -> tuple:
    """Set a disc to a value and return the index of its pixels."""
    top, left = max(int(y - radius), 0), max(int(x - radius), 0)
    rows, columns = np.ogrid[top : int(y + radius) + 2, left : int(x + radius) + 2]
    rows, columns = rows[rows[:, 0] < image.shape[0]], columns[:, columns[0] < image.shape[1]]
    inside = np.nonzero((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)
    index = (inside[0] + top, inside[1] + left)
    image[index] = value
    return index


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs=2, default=SIDES)
    parser.add_argument("--features", default="basic", help="as for `fluorgen measure`")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    field = synthetic_site(tuple(arguments.sides))
    start = time.perf_counter(), time.process_time()
    labels = find_objects(field)
    found = time.perf_counter() - start[0]
    start = time.perf_counter(), time.process_time()
    measured = measure_field(field, features=arguments.features)
    seconds, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    result = {
        "site": "synthetic",
        "shape": list(field.shape),
        "objects": {name: int(image.max(initial=0)) for name, image in labels.items()},
        "columns": {name: len(table) for name, table in measured.tables.items()},
        "features": arguments.features,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "of_these_to_find_the_objects": round(found, 2),
    }
    print(json.dumps(result, indent=1))
    if arguments.output:
        arguments.output.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
