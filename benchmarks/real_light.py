"""Real transmitted light: other cells, other microscopes; zero-shot, and after fine-tuning.

    python benchmarks/real_light.py --data ../shared/data [--model adipocyte-20x] [--fine-tune]

Stains three public fields as `fluorgen stain` does and compares the nuclei with the DNA stain of
the same field: Pearson's r, precision, recall and F1 at IoU 0.5, and the share of true nuclei that
the centre of a found one hits.

- sephace: true brightfield, five heights and a repeated one; relates to DAPI.
- isl: thirteen planes of relief contrast (not brightfield), heights unknown; DAPI.
- cellpainting: ONE brightfield plane; the automatic outlines that came with the data, filled.

The nuclei of the first two are cut out of the DAPI image by `segment_fluorescence`: nobody
outlined them by hand. Stacks are stained in both orders of their planes; only "auto" is what a
user gets. `--model` may be repeated. Nothing was ever trained or tuned on these images: they are a
test of what physics alone carries over.

`--fine-tune` learns from one half of isl for `--minutes` and tests on the other, before and after,
and then the other way round; 10 µm between the halves belong to neither.

Writes pictures beside the truth, a JSON file and what the user was told. The data has its own
licences, so neither it nor the pictures belong into the repository.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fields as simulated
import numpy as np
from PIL import Image
from scipy import ndimage

import napari_fluorgen as fluorgen
from napari_fluorgen.measurement import pearson
from napari_fluorgen.models import Model
from napari_fluorgen.segmentation import (
    iou_matrix,
    match_instances,
    relabel_sequential,
    segment_fluorescence,
)
from napari_fluorgen.stack import BrightfieldStack, StainedField

IOU = 0.5
GAP_UM = 10.0
TUNED = "isl"
AREA_UM2 = {"sephace": (30, 800), "isl": (20, 400), "cellpainting": (20, 600)}
"""Least and largest nucleus that is looked for in the DNA stain of a field."""


@dataclass(frozen=True)
class RealField:
    """A stack with its DNA stain and true nuclei, all (Y, X) on the same pixels."""

    stack: BrightfieldStack
    dna: np.ndarray
    nuclei: np.ndarray


def dapi_field(
    folder: Path, dapi: str, pixel_um: float, area_um2: tuple[float, float]
) -> RealField:
    """Read a folder of planes with a DAPI image; its files do not tell their pixel size."""
    from skimage.io import imread

    stack = fluorgen.read_stack(folder, pixel_size_um=pixel_um)
    dna = imread(folder / dapi)
    dna = dna if dna.ndim == 2 else dna[..., :3].max(axis=-1)
    return RealField(stack, dna, nuclei_of(dna, pixel_um, area_um2))


def nuclei_of(dna: np.ndarray, pixel_um: float, area_um2: tuple[float, float]) -> np.ndarray:
    """Nuclei of a DNA stain."""
    return segment_fluorescence(
        dna, pixel_size_um=pixel_um, min_area_um2=area_um2[0], max_area_um2=area_um2[1]
    )


def sephace(data: Path) -> RealField:
    """Oral cancer cells at 40x, 0.20 µm a pixel."""
    return dapi_field(data / "sephace_brightfield" / "set1", "fl.png", 0.20, AREA_UM2["sephace"])


def isl(data: Path) -> RealField:
    """Neurons of the in-silico-labeling paper; 0.325 µm a pixel is assumed."""
    folder = data / "isl_neurons_13z_A4"
    return dapi_field(folder, "MAXPROJ_DAPI_CONFOCAL.png", 0.325, AREA_UM2["isl"])


def cellpainting(data: Path) -> RealField:
    """Cell Painting at 20x, binned: 0.598 µm a pixel is assumed."""
    import tifffile

    folder, pixel_um = data / "cellpainting_brightfield", 0.598
    name = "r03c03f03p01-ch{}sk1fk1fl1.tiff"
    stack = fluorgen.read_stack(folder / name.format(1), pixel_size_um=pixel_um)
    dna = tifffile.imread(folder / name.format(5))
    outlines = tifffile.imread(folder / "NucleiOutlines_BR00143976_C03_3.tiff").max(axis=-1) > 0
    return RealField(stack, dna, filled(outlines, dna))


def filled(outlines: np.ndarray, dna: np.ndarray) -> np.ndarray:
    """Label the insides of closed outlines, outlines included; dark insides are no nuclei."""
    from skimage.segmentation import expand_labels

    inside = ndimage.binary_fill_holes(outlines) & ~outlines
    labels, count = ndimage.label(inside)
    level = ndimage.median(dna, labels, np.arange(1, count + 1))
    outside = float(np.median(dna[~inside & ~outlines]))
    lit = np.flatnonzero(level > outside + 0.25 * (np.median(level) - outside)) + 1
    labels = np.where(np.isin(labels, lit), labels, 0)
    grown = expand_labels(labels, 1.5)
    return relabel_sequential(np.where(outlines | (labels > 0), grown, 0))


FIELDS: dict[str, Callable[[Path], RealField]] = {
    "sephace": sephace,
    "isl": isl,
    "cellpainting": cellpainting,
}


def compare(real: RealField, field: StainedField) -> dict[str, Any]:
    """Figures of one stained field."""
    score = match_instances(real.nuclei, field.nuclei_labels, IOU)
    result = {
        "r_probability": pearson(field.nuclei_probability, real.dna),
        "f1": score.f1,
        "precision": score.precision,
        "recall": score.recall,
        "hit": hit(real.nuclei, field.nuclei_labels),
        "nuclei_true": score.tp + score.fn,
        "nuclei_found": score.tp + score.fp,
        "nuclei": each_nucleus(real, field.nuclei_labels),
        "told": [*field.provenance["messages"], *real.stack.notes],
    }
    return result | {f"r_{name}": pearson(image, real.dna) for name, image in field.images.items()}


def each_nucleus(real: RealField, found: np.ndarray) -> list[dict[str, float]]:
    """Area of each true nucleus, the smallest first, and its largest IoU with a found one."""
    assert real.stack.pixel_size_um is not None
    areas = np.bincount(real.nuclei.ravel())[1:] * np.prod(real.stack.pixel_size_um)
    best = iou_matrix(real.nuclei, found).max(axis=1, initial=0)
    return [
        {"um2": round(float(areas[n]), 1), "iou": round(float(best[n]), 2)}
        for n in np.argsort(areas)
    ]


def hit(true: np.ndarray, found: np.ndarray) -> float:
    """Share of the true nuclei in which the centre of a nucleus found lies."""
    centres = ndimage.center_of_mass(found > 0, found, range(1, int(found.max()) + 1))
    inside = {int(true[round(y), round(x)]) for y, x in centres} - {0}
    return len(inside) / max(int(true.max()), 1)


def picture(real: RealField, field: StainedField, path: Path) -> None:
    """Brightfield, virtual nuclei and DNA side by side; nuclei found orange, true ones blue."""
    middle = np.asarray(real.stack.data[real.stack.shape[0] // 2])
    found, true = edges(field.nuclei_labels), edges(real.nuclei)
    panels = []
    for image in (middle, field.images["nuclei"], real.dna):
        panel = np.repeat(stretch(image)[..., None], 3, axis=2)
        if image is not middle:
            panel[true] = (86, 180, 233)
            panel[found] = (230, 159, 0)
        panels.append(panel)
    Image.fromarray(np.hstack(panels)).save(path)


def edges(labels: np.ndarray) -> np.ndarray:
    """Outermost pixels of each object."""
    inner = ndimage.minimum_filter(labels, 3) == ndimage.maximum_filter(labels, 3)
    return (labels > 0) & ~inner


def stretch(image: np.ndarray) -> np.ndarray:
    """8-bit grey between the 0.5 and 99.5 percentiles."""
    low, high = np.percentile(image, (0.5, 99.5))
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


def cut(real: RealField, columns: slice, area_um2: tuple[float, float]) -> RealField:
    """Part of a field; its nuclei are segmented from that part alone."""
    dna = real.dna[:, columns]
    stack = replace(real.stack, data=np.asarray(real.stack.data)[:, :, columns])
    assert stack.pixel_size_um is not None
    return RealField(stack, dna, nuclei_of(dna, stack.pixel_size_um[0], area_um2))


def halves_of(real: RealField) -> dict[str, RealField]:
    """The left and the right half of a field, with a gap between them."""
    assert real.stack.pixel_size_um is not None
    columns = real.stack.shape[2]
    gap = round(GAP_UM / 2 / real.stack.pixel_size_um[1])
    parts = {"left": slice(0, columns // 2 - gap), "right": slice(columns // 2 + gap, columns)}
    return {side: cut(real, part, AREA_UM2[TUNED]) for side, part in parts.items()}


def fine_tune(
    learned: RealField, tested: RealField, side: str, model: Model, options: argparse.Namespace
) -> dict[str, Any]:
    """Learn from one half; stain the other, which is on the named side, before and after."""
    from napari_fluorgen.workflow.fine_tuning import FineTuneRequest, fine_tune

    pair = replace(learned.stack, truth={"nuclei": learned.dna})
    label = f"{model.path.name}-{TUNED}-{side}"
    target = options.output / label
    request = FineTuneRequest.build(
        init=str(model.path),
        name=target.name[-64:],
        output=target,
        minutes=options.minutes,
        stains=("nuclei",),
        device=options.device,
        overwrite=True,
    )
    start = time.perf_counter()
    tuned = fine_tune(request, pairs=[pair], stage=lambda sentence: print(sentence, flush=True))
    result: dict[str, Any] = {
        "minutes": tuned.minutes,
        "minutes_in_all": (time.perf_counter() - start) / 60,
        "steps": dict(tuned.steps),
        "notes": list(tuned.notes),
        "nuclei_learned": int(learned.nuclei.max()),
    }
    for when, used in (("before", model), ("after", fluorgen.load_model(tuned.path))):
        field = fluorgen.stain(tested.stack, used)
        result[when] = compare(tested, field)
        picture(tested, field, options.output / f"{label}-{when}.png")
    return result


HEADS = ("r_nuclei", "r_probability", "r_cytoplasm", "f1", "precision", "recall", "hit")


def print_row(name: str, result: dict[str, Any]) -> None:
    """Print one row of the table."""
    cells = " | ".join(f"{result.get(head, float('nan')):.2f}" for head in HEADS)
    print(f"| {name} | {cells} | {result['nuclei_found']} / {result['nuclei_true']} |", flush=True)


def main() -> None:
    """Stain every field with every model, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the real data sets")
    parser.add_argument("--output", type=Path, default=Path("runs/real-light"))
    parser.add_argument("--model", action="append", help="name or folder (default adipocyte-20x)")
    parser.add_argument(
        "--fields", nargs="*", default=list(FIELDS), help=f"some of {', '.join(FIELDS)}, or none"
    )
    parser.add_argument("--fine-tune", action="store_true")
    parser.add_argument("--minutes", type=float, default=10.0, help="of fine-tuning (default 10)")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    simulated.bound_threads(options.threads)
    options.output.mkdir(parents=True, exist_ok=True)

    results: dict[str, Any] = {}
    real = {name: FIELDS[name](options.data) for name in options.fields}
    if real:
        print("| field, model, order of planes | " + " | ".join(HEADS) + " | found / true |")
        print("| --- |" + " --- |" * (len(HEADS) + 1))
    models = options.model or ["adipocyte-20x"]
    for model_name in models:
        label, model = Path(model_name).name, fluorgen.load_model(model_name)
        for name, one in real.items():
            orders = ("auto", "flipped") if one.stack.shape[0] > 1 else ("auto",)
            for focus in orders:
                field = fluorgen.stain(one.stack, model, device=options.device, focus=focus)
                key = f"{name}, {label}, {focus}"
                results[key] = compare(one, field) | {"digest": model.digest}
                print_row(key, results[key])
                picture(one, field, options.output / f"{name}-{label}-{focus}.png")
                simulated.write_json(options.output / "real_light.json", results)
    for key, result in results.items():
        print(f"\n{key}:", *result["told"], sep="\n  ")
    for model_name in models if options.fine_tune else ():
        one = real[TUNED] if TUNED in real else FIELDS[TUNED](options.data)
        model, halves = fluorgen.load_model(model_name), halves_of(one)
        label = model.path.name
        for side, other in (("right", "left"), ("left", "right")):
            tuned = fine_tune(halves[other], halves[side], side, model, options)
            results[f"{side} half of {TUNED}, {label}, fine-tuned"] = tuned
            print(f"\nFine-tuned {label} on the {other} half of {TUNED} for ", end="")
            print(f"{tuned['minutes']:.1f} minutes, {tuned['steps'].get('nuclei', 0)} steps:")
            for when in ("before", "after"):
                print_row(f"{side} half of {TUNED}, {label}, {when}", tuned[when])
            simulated.write_json(options.output / "real_light.json", results)


if __name__ == "__main__":
    main()
