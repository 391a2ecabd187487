"""Zero-shot on real transmitted light: other cells, other microscopes, never trained on.

    python benchmarks/real_light.py --data ../shared/data [--output runs/real-light]

Goes through `fluorgen stain` as a user would, then compares the nuclei with the DAPI image of
the same field: Pearson's r, and F1 at IoU 0.5 against an automatic segmentation of the DAPI image
(Otsu's threshold and a watershed; nobody outlined these nuclei by hand). Repeats it with the planes
in the opposite order. Writes a picture a data set, a JSON file and what the user was told. The data
has its own licences, so neither it nor the pictures belong into the repository.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.filters import gaussian, threshold_otsu
from skimage.io import imread

from napari_fluorgen.io import list_fields, read_field, read_stack
from napari_fluorgen.measurement import pearson
from napari_fluorgen.segmentation import match_instances, segment_nuclei


@dataclass(frozen=True)
class RealField:
    """A stack with a DAPI image; the files do not tell their pixel size."""

    folder: str
    dapi: str
    pixel_size_um: float
    nuclei_um2: tuple[float, float]


FIELDS = {
    "sephace": RealField("sephace_brightfield/set1", "fl.png", 0.20, (30, 800)),
    "isl": RealField("isl_neurons_13z_A4", "MAXPROJ_DAPI_CONFOCAL.png", 0.325, (20, 400)),
}


def nuclei_of(dapi: np.ndarray, field: RealField) -> np.ndarray:
    """Segment the DAPI image: what the virtual nuclei are compared with."""
    smooth = gaussian(dapi.astype(np.float32), 1.0 / field.pixel_size_um / 2)
    background = gaussian(dapi.astype(np.float32), 20 / field.pixel_size_um)
    flat = smooth - background
    threshold = threshold_otsu(flat)
    spread = flat[flat > threshold].std()
    probability = 1 / (1 + np.exp(-4 * (flat - threshold) / spread))
    low, high = field.nuclei_um2
    return segment_nuclei(
        probability.astype(np.float32),
        pixel_size_um=field.pixel_size_um,
        min_area_um2=low,
        max_area_um2=high,
    )


def stretch(image: np.ndarray) -> np.ndarray:
    """8-bit grey between the 0.5 and 99.5 percentiles."""
    low, high = np.percentile(image, (0.5, 99.5))
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


def run(name: str, data: Path, output: Path, model: str, focus: str) -> dict:
    """Stain one data set by the command line and compare it with DAPI."""
    field = FIELDS[name]
    folder = output / f"{name}-{focus}"
    command = [
        sys.executable, "-m", "napari_fluorgen.cli", "stain", str(data / field.folder),
        "-o", str(folder), "--pixel-size", str(field.pixel_size_um), "--model", model,
        "--focus", focus, "--overwrite",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    stained = read_field(folder, list_fields(folder)[0])
    dapi = imread(data / field.folder / field.dapi)
    dapi = dapi if dapi.ndim == 2 else dapi[..., :3].max(axis=-1)
    truth = nuclei_of(dapi, field)
    score = match_instances(truth, stained.nuclei_labels, 0.5)
    stack = read_stack(data / field.folder, pixel_size_um=field.pixel_size_um)
    middle = np.asarray(stack.data[stack.shape[0] // 2])
    panels = [middle, stained.images["cytoplasm"], stained.images["nuclei"], dapi]
    Image.fromarray(np.hstack([stretch(panel) for panel in panels])).save(
        output / f"{name}-{focus}.png"
    )
    return {
        "r_stain_dapi": pearson(stained.images["nuclei"], dapi),
        "r_probability_dapi": pearson(stained.nuclei_probability, dapi),
        "r_cytoplasm_dapi": pearson(stained.images["cytoplasm"], dapi),
        "f1_iou50": score.f1,
        "precision": score.precision,
        "recall": score.recall,
        "nuclei_dapi": int(truth.max()),
        "nuclei_predicted": int(stained.nuclei_labels.max()),
        "told": [line for line in done.stderr.splitlines() if line.startswith("Note:")],
    }


def main() -> None:
    """Run every data set in both directions of focus, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the real data sets")
    parser.add_argument("--output", type=Path, default=Path("runs/real-light"))
    parser.add_argument("--model", default="adipocyte-20x")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    results = {
        f"{name} {focus}": run(name, options.data, options.output, options.model, focus)
        for name in FIELDS
        for focus in ("auto", "flipped")
    }
    for name, result in results.items():
        print(
            f"{name}: r of the nuclei stain with DAPI {result['r_stain_dapi']:.3f}, of the "
            f"probability {result['r_probability_dapi']:.3f}, of cytoplasm "
            f"{result['r_cytoplasm_dapi']:.3f}; F1 at IoU 0.5 {result['f1_iou50']:.3f} "
            f"({result['nuclei_predicted']} nuclei, {result['nuclei_dapi']} by DAPI)"
        )
        for sentence in result["told"]:
            print(f"    {sentence}")
    text = json.dumps(results, indent=2) + "\n"
    (options.output / "real_light.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
