"""What each part of the training recipe buys: same fields, same steps, same seed.

    python benchmarks/ablation.py [--output runs/benchmarks/ablation.json]

Trains small networks on simulated fields at 20x and tests them on fields that none has seen.

Nuclei: the whole recipe; with outlines, that is with a segmentation that also reads the features
of the stain's decoder; without loss weight modules; without privileged information, that is a
plain dense U-Net of like size that never sees the mask. F1 is given for nuclei cut out of the
predicted stain in one and the same way (`segment_fluorescence`), and, where a network segments,
also for nuclei cut out of its probability.

Lipids: reconstruction alone; with the gradient loss; with the adversarial loss; with both. Besides
Pearson's r and the pixel error it is measured whether the holes of defective droplets come back,
over those that are at least a tenth darker than the droplet around them in the true stain (many are
not: other lipid lies above or below). Their contrast, as a share of the true one; r within hole and
surroundings, each taken from its own mean; and how well darkness alone tells the pixels of a hole
from those around it (area under the curve, 0.5 by chance). The row "truth" is the true stain.

A variant's figures are written as soon as they are known and a run that was interrupted goes on:
steps from checkpoints, finished variants from the JSON file. Takes about 12 minutes on two cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fields as simulated
import numpy as np
from scipy import ndimage

from napari_fluorgen.measurement import pearson
from napari_fluorgen.models import BackgroundScaling, NucleiSettings, StainRange
from napari_fluorgen.networks import Architecture
from napari_fluorgen.segmentation import (
    MatchScores,
    match_instances,
    pool_scores,
    segment_fluorescence,
    segment_nuclei,
)
from napari_fluorgen.simulation.presets import get_preset
from napari_fluorgen.training.config import LossConfig, Phase, StainConfig, TrainingConfig
from napari_fluorgen.training.data import Pair, make_pair

PIXEL_UM = 0.325
VISIBLE = 0.1
IOUS = (0.5, 0.7)
SCALING = BackgroundScaling(gain=4.0)
RANGES = {
    "nuclei": StainRange(minimum=65, maximum=6365),
    "lipids": StainRange(minimum=0, maximum=8000),
    "cytoplasm": StainRange(minimum=0, maximum=32000),
}
NUCLEI = NucleiSettings(min_area_um2=25, max_area_um2=300)
# Sizes that two cores train in a minute or two; the plain network has the parameters of the other.
TWO_DECODERS = Architecture(
    kind="nuclei", first_filters=24, blocks=3, layers=3, growth_rate=8, dropout=0.0, fold=2
)
PLAIN = Architecture(
    kind="dense-unet", first_filters=24, blocks=3, layers=3, growth_rate=10, dropout=0.0, fold=2
)
LIPIDS = Architecture(
    kind="dense-unet", first_filters=16, blocks=3, layers=2, growth_rate=8, dropout=0.0
)


def nuclei_variants(steps: int) -> dict[str, StainConfig]:
    """Configurations by name."""
    whole = LossConfig(
        alpha_reconstruction=5.0, alpha_segmentation=0.5, alpha_lwm=0.5, misclassified=2.0
    )
    without = whole.model_copy(update={"alpha_lwm": 0.0, "misclassified": 1.0})
    # The network with two decoders counts its reconstruction twice, plain and weighted.
    plain = LossConfig(alpha_reconstruction=10.0)
    return {
        "nuclei: whole recipe": StainConfig(architecture=TWO_DECODERS, steps=steps, loss=whole),
        "nuclei: with outlines": StainConfig(
            architecture=TWO_DECODERS.model_copy(update={"outlined": True}), steps=steps, loss=whole
        ),
        "nuclei: no loss weight modules": StainConfig(
            architecture=TWO_DECODERS, steps=steps, loss=without
        ),
        "nuclei: no privileged information": StainConfig(
            architecture=PLAIN, steps=steps, loss=plain
        ),
    }


def lipid_variants(steps: int) -> dict[str, StainConfig]:
    """Configurations by name; two phases each, of which the second may be adversarial."""
    variants = {}
    for name, gradient, adversarial in (
        ("reconstruction alone", 0.0, False),
        ("with gradient", 1.0, False),
        ("with adversarial", 0.0, True),
        ("with both", 1.0, True),
    ):
        loss = LossConfig(
            alpha_reconstruction=10.0, alpha_gradient=gradient, alpha_adversarial=0.05
        )
        phases = (
            Phase(steps=steps * 2 // 3, loss=loss),
            Phase(
                kind="adversarial" if adversarial else "pretrain",
                steps=steps - steps * 2 // 3,
                learning_rate=1e-3,
                loss=loss,
                # so few steps ask for a discriminator that learns faster than the report's
                discriminator_learning_rate=2e-4,
            ),
        )
        variants[f"lipids: {name}"] = StainConfig(architecture=LIPIDS, phases=phases)
    return variants


def pairs_of(files: Sequence[Path]) -> list[Pair]:
    """Fields as the networks take them."""
    return [
        make_pair(true.stack, true.labels, SCALING, RANGES, PIXEL_UM)
        for true in simulated.read_all(files)
    ]


def train(
    name: str, settings: StainConfig, pairs: list[Pair], options: argparse.Namespace
) -> tuple[Any, float]:
    """Train one variant; return the network and the seconds it took."""
    from napari_fluorgen.training.run import train_networks

    stain = name.partition(":")[0]
    network = "nuclei" if settings.architecture.kind == "nuclei" else "lipids"
    if network != stain:  # a plain network of another stain is trained in the place of lipids
        pairs = [
            Pair(pair.planes, {network: pair.stains[stain]}, pair.labels, pair.name)
            for pair in pairs
        ]
    config = TrainingConfig(
        name="ablation",
        description=name,
        magnification="20x",
        pixel_size_um=PIXEL_UM,
        z_um=get_preset("20x").optics.planes,
        simulated=True,
        overlap_px=64,
        input=SCALING,
        outputs={network: RANGES[stain]},
        networks={network: settings},
        data={"train": "memory", "validation": "memory", "crop": options.crop, "batch": 4},
        seed=options.training_seed,
        device=options.device,
        validate_every=10**6,
    )
    # Checkpoints of other settings are left alone: the folder is named by all that matters.
    digest = hashlib.sha256(repr((config, [pair.name for pair in pairs])).encode()).hexdigest()
    folder = options.work / f"{name.replace(': ', '-').replace(' ', '-')}-{digest[:8]}"
    start = time.perf_counter()
    trained = train_networks(
        config, folder, resume=True, pairs={"train": pairs, "validation": pairs[:1]}
    )
    return trained[network].cpu(), time.perf_counter() - start


def predict(network: Any, pair: Pair) -> tuple[np.ndarray, np.ndarray | None]:
    """Stain (Y, X) in its range and, where the network segments, the probability of nucleus."""
    import torch

    _, rows, columns = pair.planes.shape
    padding = ((0, 0), (0, -rows % 32), (0, -columns % 32))
    planes = torch.from_numpy(np.pad(pair.planes, padding, mode="edge"))[None]
    with torch.inference_mode():
        output = network(planes)
    if not isinstance(output, tuple):
        return output[0, 0, :rows, :columns].numpy(), None
    stain, logits = output
    return (
        stain[0, 0, :rows, :columns].numpy(),
        logits[0].softmax(0)[1, :rows, :columns].numpy(),
    )


def test_nuclei(network: Any, pairs: list[Pair]) -> dict[str, float]:
    """Figures of a network of nuclei."""
    sizes = {"min_area_um2": NUCLEI.min_area_um2, "max_area_um2": NUCLEI.max_area_um2}
    by_stain: dict[float, list[MatchScores]] = {iou: [] for iou in IOUS}
    by_mask: dict[float, list[MatchScores]] = {iou: [] for iou in IOUS}
    images = []
    for pair in pairs:
        stain, probability = predict(network, pair)
        images.append((stain, pair.stains["nuclei"]))
        found = segment_fluorescence(stain, pixel_size_um=PIXEL_UM, **sizes)
        for iou in IOUS:
            by_stain[iou].append(match_instances(pair.labels, found, iou))
        if probability is not None:
            found = segment_nuclei(probability, pixel_size_um=PIXEL_UM, **sizes)
            for iou in IOUS:
                by_mask[iou].append(match_instances(pair.labels, found, iou))
    result = similarity("nuclei", images)
    result |= {f"f1_{iou}_from_stain": pool_scores(by_stain[iou]).f1 for iou in IOUS}
    if by_mask[IOUS[0]]:
        result |= {f"f1_{iou}_from_probability": pool_scores(by_mask[iou]).f1 for iou in IOUS}
    return result


def test_lipids(
    network: Any | None, pairs: list[Pair], fields: Sequence[simulated.TrueField]
) -> dict[str, float]:
    """Figures of a network of lipids, or of the truth itself where there is no network."""
    images, contrasts, curves, within = [], [], [], []
    for pair, true in zip(pairs, fields, strict=True):
        truth = pair.stains["lipids"]
        stain = truth if network is None else predict(network, pair)[0]
        images.append((stain, truth))
        for hole, around in hole_regions(true.defects, truth):
            contrast = truth[around].mean() - truth[hole].mean()
            if contrast < VISIBLE * truth[around].mean():
                continue
            contrasts.append((stain[around].mean() - stain[hole].mean(), contrast))
            both = hole | around
            curves.append(area_under_curve(-stain[both], hole[both]))
            within.append(np.stack([image[both] - image[both].mean() for image in (stain, truth)]))
    found, wanted = np.sum(contrasts, axis=0)
    return similarity("lipids", images) | {
        "holes": len(contrasts),
        "hole_contrast": float(found / wanted),
        "hole_r": pearson(*np.concatenate(within, axis=1)),
        "hole_auc": float(np.mean(curves)),
    }


def similarity(stain: str, images: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Mean Pearson r over fields and the official pixel error in camera counts."""
    from napari_fluorgen.measurement import pixel_error

    counts = [
        [RANGES[stain].to_counts(image) for image in column] for column in zip(*images, strict=True)
    ]
    return {
        "pearson": float(np.mean([pearson(a, b) for a, b in images])),
        "pixel_error": pixel_error(*counts),
    }


def droplets(lipids: np.ndarray) -> np.ndarray:
    """Pixels in droplets, by Otsu's threshold on the true stain."""
    from skimage.filters import threshold_otsu

    return lipids > threshold_otsu(lipids)


def hole_regions(defects: np.ndarray, lipids: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each defective droplet its hole, and the droplet's pixels within 1 µm around."""
    reach = ndimage.generate_binary_structure(2, 2)
    bright, regions = droplets(lipids), []
    for number in np.unique(defects[defects > 0]):
        hole = defects == number
        near = ndimage.binary_dilation(hole, reach, iterations=round(1 / PIXEL_UM))
        around = near & bright & (defects == 0)
        if hole.sum() >= 4 and around.sum() >= 8:
            regions.append((hole, around))
    return regions


def area_under_curve(score: np.ndarray, positive: np.ndarray) -> float:
    """Chance that a positive scores higher than a negative."""
    from scipy.stats import rankdata

    n, m = int(positive.sum()), int((~positive).sum())
    return float((rankdata(score)[positive].sum() - n * (n + 1) / 2) / (n * m))


def print_tables(results: dict[str, dict[str, Any]]) -> None:
    """Print the figures of all variants that are known."""
    nuclei = ["pearson", "pixel_error", "f1_0.5_from_stain", "f1_0.7_from_stain",
              "f1_0.5_from_probability", "f1_0.7_from_probability"]  # fmt: skip
    lipids = ["pearson", "pixel_error", "hole_contrast", "hole_r", "hole_auc"]
    for stain, columns in (("nuclei", nuclei), ("lipids", lipids)):
        rows = {name: row for name, row in results.items() if name.startswith(stain)}
        if not rows:
            continue
        print("\n| variant | " + " | ".join(columns) + " | parameters | s |")
        print("| --- |" + " --- |" * (len(columns) + 2))
        for name, row in rows.items():
            cells = [f"{row[column]:.3f}" if column in row else "" for column in columns]
            cells += [str(row.get("parameters", "")), f"{row.get('seconds', 0):.0f}"]
            print(f"| {name} | " + " | ".join(cells) + " |")
        if stain == "lipids":
            row = next(iter(rows.values()))
            print(f"\n{row['holes']} holes.")


def main() -> None:
    """Train and test every variant that is not known yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train-fields", type=int, default=40)
    parser.add_argument("--train-seed", type=int, default=simulated.SEED + 300)
    parser.add_argument("--training-seed", type=int, default=42, help="of weights and crops")
    parser.add_argument("--nuclei-steps", type=int, default=1500)
    parser.add_argument("--lipids-steps", type=int, default=450)
    parser.add_argument("--steps", type=int, help="of every network, instead of the two above")
    parser.add_argument("--crop", type=int, default=128)
    parser.add_argument("--stains", nargs="+", default=["nuclei", "lipids"])
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--work", type=Path, default=simulated.CACHE / "ablation")
    simulated.add_options(parser, fields=24)
    parser.set_defaults(seed=simulated.SEED + 200, side=(256, 256))
    options = parser.parse_args()
    simulated.bound_threads(options.threads)

    preset = get_preset("20x")
    seeds = range(options.train_seed, options.train_seed + options.train_fields)
    tests = range(options.seed, options.seed + options.fields)
    files = simulated.simulate(
        preset, [*seeds, *tests], options.side, options.data, workers=options.workers
    )
    learned = pairs_of(files[: len(seeds)])
    fields = list(simulated.read_all(files[len(seeds) :]))
    tested = pairs_of(files[len(seeds) :])

    known = options.output or options.work / "ablation.json"
    variants: dict[str, StainConfig] = {}
    if "nuclei" in options.stains:
        variants |= nuclei_variants(options.steps or options.nuclei_steps)
    if "lipids" in options.stains:
        variants |= lipid_variants(options.steps or options.lipids_steps)
    results = json.loads(known.read_text(encoding="utf-8")) if known.is_file() else {}
    if "lipids" in options.stains:
        results["lipids: truth"] = test_lipids(None, tested, fields)
    for name, settings in variants.items():
        asked = {
            "config": settings.model_dump(mode="json"),
            "data": [files[0].parent.name, options.train_fields, options.fields, options.crop],
            "seeds": [options.train_seed, options.seed, options.training_seed],
        }
        if results.get(name, {}).get("asked") == asked:
            continue
        print(f"{name} ...", flush=True)
        network, seconds = train(name, settings, learned, options)
        test = test_lipids(network, tested, fields) if "lipids" in name else (
            test_nuclei(network, tested)
        )  # fmt: skip
        count = sum(parameter.numel() for parameter in network.parameters())
        results[name] = test | {"parameters": count, "seconds": seconds, "asked": asked}
        simulated.write_json(known, results)
    print_tables(results)


if __name__ == "__main__":
    main()
