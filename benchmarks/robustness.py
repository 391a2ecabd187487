"""How the figures of a model change with the microscope: defocus, light, pixels, planes.

    python benchmarks/robustness.py [--model adipocyte-20x] [--fields 6] [--seed 9100]

Every scene is simulated once, as a tall stack of planes one micrometre apart; what a microscope
out of focus or with fewer planes would see is taken from it, so the cells are the same everywhere:

- focus: all seven planes too low or too high by up to 4 µm, unknown to the model;
- light: fewer photo-electrons by binomial thinning of the simulated ones, which is what a shorter
  exposure gives, plus the read noise;
- pixels: the stack resampled to 20% finer or coarser pixels, once with the right pixel size told,
  once with that of the model told (a wrong calibration);
- planes: 1, 3 and 5 planes over the same 12 µm, heights told; and seven planes 1 or 3 µm apart.

Prints Pearson's r by stain and the F1 of nuclei at IoU 0.5, draws them as curves and writes the
numbers beside the picture. Takes about 8 minutes on two cores for six fields of 512² pixels.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fields as simulated
import numpy as np
from curves import Panel, draw

import napari_fluorgen as fluorgen
from napari_fluorgen.measurement import pearson
from napari_fluorgen.segmentation import match_instances, pool_scores
from napari_fluorgen.simulation.presets import CameraPreset, get_preset
from napari_fluorgen.stack import STAINS, BrightfieldStack
from napari_fluorgen.staining.resample import resize

HEIGHTS = tuple(float(z) for z in range(-10, 11))
NOMINAL = (-6, -4, -2, 0, 2, 4, 6)
LEFT_OUT = {5: (-6, -3, 0, 3, 6), 3: (-6, 0, 6), 1: (0,)}
F1 = "nuclei F1 at IoU 0.5"
LINES = (*(f"r {stain}" for stain in STAINS), F1)


@dataclass(frozen=True)
class Condition:
    """One way to image a field: what the model gets, and the truth on its grid."""

    name: str
    change: Callable[[simulated.TrueField], simulated.TrueField]


def taking(name: str, heights: Sequence[float]) -> Condition:
    """Planes at these heights of the tall stack; the model is told only their distances."""
    planes = [HEIGHTS.index(float(z)) for z in heights]

    def change(true: simulated.TrueField) -> simulated.TrueField:
        known = tuple(float(z) for z in heights) if len(heights) > 1 else None
        return replace(true, stack=replace(true.stack, data=true.stack.data[planes], z_um=known))

    return Condition(name, change)


def dimmed(share: float, camera: CameraPreset) -> Condition:
    """Expose for a share of the time: binomial thinning of the electrons that were counted."""
    gain = float(np.mean(camera.electrons_a_count))
    usual = float(np.mean(camera.brightfield_counts)) * gain

    def change(true: simulated.TrueField) -> simulated.TrueField:
        true = taking("", NOMINAL).change(true)
        if share == 1:
            return true
        rng = np.random.default_rng([true.seed, round(1 / share)])
        counts = np.asarray(true.stack.data, np.float64) - camera.offset
        electrons = rng.binomial(np.rint(counts.clip(min=0) * gain).astype(np.int64), share)
        noise = rng.normal(0, camera.read_noise, counts.shape)
        exposed = np.rint(electrons / gain + noise + camera.offset).clip(0, 65535)
        return replace(true, stack=replace(true.stack, data=exposed.astype(np.uint16)))

    return Condition(f"{usual * share:.0f}", change)


def resampled(factor: float, told: bool) -> Condition:
    """Pixels of `factor` times the size, and whether the stack says so."""

    def change(true: simulated.TrueField) -> simulated.TrueField:
        true = taking("", NOMINAL).change(true)
        if factor == 1:
            return true
        stack = true.stack
        _, rows, columns = stack.shape
        shape = round(rows / factor), round(columns / factor)

        def scale(image: np.ndarray) -> np.ndarray:
            return np.rint(resize(image.astype(np.float32), shape)).astype(np.uint16)

        y, x = (
            np.minimum(((np.arange(n) + 0.5) * factor).astype(int), m - 1)
            for n, m in zip(shape, (rows, columns), strict=True)
        )
        size = stack.pixel_size_um
        return replace(
            true,
            labels=true.labels[np.ix_(y, x)],
            stack=replace(
                stack,
                data=np.stack([scale(plane) for plane in stack.data]),
                pixel_size_um=(size[0] * factor, size[1] * factor) if told else size,
                truth={name: scale(image) for name, image in true.truth.items()},
            ),
        )

    return Condition(f"{factor:.0%}", change)


def conditions(camera: CameraPreset) -> dict[str, tuple[str, list[Condition], int]]:
    """By title of the chart: label of its x axis, its conditions, the place of the usual one."""
    shifts = range(-4, 5)
    shares = (1, 1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 32)
    factors = (0.8, 0.9, 1.0, 1.1, 1.2)
    usual = taking("7", NOMINAL)
    return {
        "Focus": (
            "planes shifted by, µm",
            [taking(f"{d:+d}" if d else "0", [z + d for z in NOMINAL]) for d in shifts],
            4,
        ),
        "Light": ("photo-electrons a pixel", [dimmed(share, camera) for share in shares], 0),
        "Pixel size, told": (
            "of the model's pixel size",
            [resampled(factor, True) for factor in factors],
            2,
        ),
        "Pixel size, not told": (
            "of the model's pixel size",
            [resampled(factor, False) for factor in factors],
            2,
        ),
        "Missing planes": (
            "planes over 12 µm",
            [usual, *(taking(str(n), heights) for n, heights in LEFT_OUT.items())],
            0,
        ),
        "Spacing of planes": (
            "µm between seven planes",
            [taking(str(step), [step * k for k in range(-3, 4)]) for step in (1, 2, 3)],
            1,
        ),
    }


def score(model: fluorgen.models.Model, fields: Iterator[simulated.TrueField]) -> dict[str, float]:
    """Mean r by stain and pooled F1 of the fields as one condition shows them."""
    found: dict[str, list[float]] = {stain: [] for stain in STAINS}
    matches = []
    for true in fields:
        stained = fluorgen.stain(blind(true.stack), model)
        for stain in STAINS:
            found[stain].append(pearson(stained.images[stain], true.truth[stain]))
        matches.append(match_instances(true.labels, stained.nuclei_labels, 0.5))
    means = {f"r {stain}": float(np.mean(values)) for stain, values in found.items()}
    return means | {F1: pool_scores(matches).f1}


def blind(stack: BrightfieldStack) -> BrightfieldStack:
    """Return the stack without its truth."""
    return replace(stack, truth={})


def measure(model: fluorgen.models.Model, options: argparse.Namespace) -> dict[str, Any]:
    """Score a model under every condition."""
    preset = get_preset(model.spec.magnification)
    tall = replace(preset, optics=replace(preset.optics, planes=HEIGHTS))
    shape = options.side or simulated.SHAPES[preset.magnification]
    seeds = range(options.seed, options.seed + options.fields)
    files = simulated.simulate(tall, seeds, shape, options.data, workers=options.workers)
    fields = list(simulated.read_all(files))
    charts = {}
    for title, (label, ways, usual) in conditions(preset.camera).items():
        print(f"\n### {title} ({label})\n\n| | " + " | ".join(LINES) + " |", flush=True)
        print("| --- |" + " --- |" * len(LINES))
        rows = []
        for way in ways:
            scores = score(model, (way.change(true) for true in fields))
            rows.append({"at": way.name, **scores})
            values = " | ".join(f"{scores[name]:.3f}" for name in LINES)
            print(f"| {way.name} | {values} |", flush=True)
        charts[title] = {"label": label, "usual": usual, "rows": rows}
    return {
        "model": model.spec.name,
        "version": model.spec.version,
        "digest": model.digest,
        "simulated_fields": options.fields,
        "seed": options.seed,
        "shape": shape,
        "charts": charts,
    }


def picture(result: dict[str, Any], path: Path) -> Path:
    """Draw a result as curves."""
    panels = [
        Panel(
            title,
            chart["label"],
            [row["at"] for row in chart["rows"]],
            {name: [row[name] for row in chart["rows"]] for name in LINES},
            chart["usual"],
        )
        for title, chart in result["charts"].items()
    ]
    return draw(panels, path)


def main() -> None:
    """Measure each model, print, draw and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", help="name or folder (default adipocyte-20x)")
    parser.add_argument(
        "--images", type=Path, default=Path("docs/images"), help="takes robustness-MODEL.png, .json"
    )
    simulated.add_options(parser, fields=6)
    parser.set_defaults(seed=simulated.SEED + 100)
    options = parser.parse_args()
    simulated.bound_threads(options.threads)
    results = {}
    for name in options.model or ["adipocyte-20x"]:
        print(f"\n## {name} on {options.fields} SIMULATED fields, seeds from {options.seed}")
        model = fluorgen.load_model(name)
        result = results[name] = measure(model, options)
        target = options.images / f"robustness-{model.spec.name}.png"
        picture(result, target)
        simulated.write_json(target.parent / f"{target.stem}.json", result)
        print(f"\n{target}")
    simulated.write_json(options.output, results)


if __name__ == "__main__":
    main()
