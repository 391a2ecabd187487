"""Does the confidence keep its word? Figures on simulated fields that no model saw.

    python benchmarks/confidence.py [--model adipocyte-20x] [--fields 60] [--seed 9000]
        [--flips 10] [--real ../shared/data]

Prints empirical against nominal error of the p-value maps, by class and by field; the missed share
under risk control; the share of wrong nuclei among trusted ones, and how many right ones are
trusted; false alarms of the test for look-alikes; coverage and width of intensity intervals; the
time of the maps and the size of the table; and writes JSON. What depends on the choice of
calibration fields is averaged over random splits of the unseen fields; rows named "package" use
what the model carries.

The fields are simulated, or read from `--data` where that is a plate folder with labels. Each is
predicted once and kept below `--cache`; `--flips` adds the spread of eight flips and rotations of
so many fields, which takes eight predictions more for each of them. `--real` names the folder of
real fields (see `real_light.py`) on which the warning should fire, and where it says what
calibrating again brings.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import confidence_figures as figures
import fields as simulated
import numpy as np
from confidence_figures import Predicted

import napari_fluorgen as fluorgen
from napari_fluorgen.confidence import INTERVAL_STAINS, Calibration, calibrate, flip_spread
from napari_fluorgen.confidence.fields import summarise_field
from napari_fluorgen.io.atomic import atomic_path


def predict(
    model: fluorgen.models.Model, stack: fluorgen.BrightfieldStack, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """Stain a field as `fluorgen stain` does; counts go back to the scale of the networks."""
    field = fluorgen.stain(replace(stack, truth={}), model, precision="float32")
    arrays = {"probability": field.nuclei_probability, "found": field.nuclei_labels}
    arrays["labels"] = np.asarray(labels).astype(np.uint32)
    for stain in INTERVAL_STAINS:
        scale = model.spec.outputs[stain]
        arrays[f"stain_{stain}"] = scale.from_counts(field.images[stain])
        if stain in stack.truth:
            arrays[f"truth_{stain}"] = scale.from_counts(np.asarray(stack.truth[stain]))
    return arrays


def flipped(
    model: fluorgen.models.Model, stack: fluorgen.BrightfieldStack
) -> dict[str, np.ndarray]:
    """Spread of the predictions of eight flips and rotations, of each stain with intervals."""
    from napari_fluorgen.staining import match_stack
    from napari_fluorgen.staining.source import TileSource
    from napari_fluorgen.workflow.fine_tuning_scores import predict as run

    plain = replace(stack, truth={})
    adaptation = match_stack(plain, model.spec)
    rows, columns = (slice(0, n) for n in adaptation.model_shape)
    planes = TileSource(plain, model.spec, adaptation).read(rows, columns)[0]
    return {
        f"spread_{stain}": flip_spread(
            lambda x, s=stain: run({s: model.network(s)}, x, model.spec)[s], planes
        )[1]
        for stain in INTERVAL_STAINS
    }


def all_predicted(model: fluorgen.models.Model, options: argparse.Namespace) -> Iterator[Predicted]:
    """Predict the fields that the cache lacks and yield all."""
    folder = options.cache / f"{model.spec.name}-{model.digest[:10]}"
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, load) in enumerate(sources(model, options)):
        kinds: dict[str, dict[str, np.ndarray]] = {"stain": {}, "truth": {}, "spread": {}}
        stored = kept(folder / f"{name}.npz", lambda load=load: predict(model, *load()))
        if number < options.flips:
            stored |= kept(
                folder / f"{name}-flips.npz", lambda load=load: flipped(model, load()[0])
            )
        for key, value in stored.items():
            kind, _, stain = key.partition("_")
            if kind in kinds:
                kinds[kind][stain] = value
        whole = (stored[key] for key in ("probability", "found", "labels"))
        yield Predicted(*whole, kinds["stain"], kinds["truth"], kinds["spread"])


def kept(file: Path, make: Any) -> dict[str, np.ndarray]:
    """Arrays of a file, which is made where it is missing."""
    if not file.exists():
        arrays = make()
        with atomic_path(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)
    with np.load(file) as stored:
        return dict(stored)


def sources(model: fluorgen.models.Model, options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Yield the name of each field and how to read it with its true nuclei."""
    from napari_fluorgen.io import is_plate_folder

    if is_plate_folder(options.data):
        from napari_fluorgen.workflow.fine_tuning_fields import LABELS, stacks_of_folder

        for stack in stacks_of_folder(options.data, [])[: options.fields]:
            yield stack.identity.name, lambda s=stack: (s, s.truth[LABELS])
        return
    from napari_fluorgen.simulation.presets import get_preset

    preset = get_preset(model.spec.magnification, options.variety)
    shape = options.side or simulated.SHAPES[preset.magnification]
    seeds = range(options.seed, options.seed + options.fields)
    files = simulated.simulate(preset, seeds, shape, options.data, workers=options.workers)
    for file in files:
        # Fields of another simulation have the same seeds.
        name = f"{file.parent.name}-{file.stem}"
        yield name, lambda f=file: (lambda true: (true.stack, true.labels))(simulated.read(f))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `all_predicted` reads."""
    parser.add_argument("--model", default="adipocyte-20x", help="name or folder")
    parser.add_argument("--variety", default="adipocytes", help="of simulated cells and optics")
    parser.add_argument("--cache", type=Path, default=simulated.CACHE / "confidence")
    parser.add_argument("--flips", type=int, default=0, help="fields with the spread of flips")
    simulated.add_options(parser, fields=60)


def show(title: str, rows: dict[str, dict[str, float]]) -> None:
    """Print one table."""
    if rows:
        names = list(next(iter(rows.values())))
        print(f"\n## {title}\n\n| | {' | '.join(names)} |\n| --- |{' --- |' * len(names)}")
        for key, row in rows.items():
            print(f"| {key} | {' | '.join(f'{row[name]:.3f}' for name in names)} |", flush=True)


def show_real(name: str, own: dict[str, Any]) -> None:
    """Print what the warning says of a real field, and the errors there."""
    fires = "fires" if own["fires"] else "DOES NOT FIRE"
    print(f"\n## {name}: the warning {fires} (p = {own['p_value']:.3f})\n\n{own['message']}")
    rows = {
        level: {
            f"{kind} {when}": own[when][level][kind]
            for when in ("before", "after")
            for kind in ("nucleus", "background")
        }
        for level in own["after"]
    }
    show(f"{name}: error before and after calibrating again", rows)


def main() -> None:
    """Predict, compute, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--splits", type=int, default=200)
    parser.add_argument("--real", type=Path, help="folder of real fields")
    options = parser.parse_args()
    if options.real is not None and not options.real.is_dir():
        parser.error(f"{options.real}: not found")
    simulated.bound_threads(options.threads)
    model = fluorgen.load_model(options.model)
    fields = list(all_predicted(model, options))
    n, number = len(fields), options.splits
    if n < 4:
        parser.error(f"{n} fields cannot be divided: give four at least")
    stored = model.calibration
    half = calibrate((f.probability, f.labels, f.found) for f in fields[: n // 2])
    package = half if stored is None else Calibration.from_arrays(stored)
    unseen = fields[n // 2 :] if stored is None else fields
    table = package if package.fields is not None else half
    result: dict[str, Any] = {"model": model.spec.name, "digest": model.digest, "fields": n}
    result["calibration fields of the package"] = package.meta.get("n_fields")
    print(f"# {model.spec.name} ({model.digest[:10]}) on {n} unseen fields; the package was "
          f"calibrated on {package.meta.get('n_fields')}")  # fmt: skip

    result["pixels"] = figures.pixel_errors(unseen, package)
    for name, own in result["pixels"].items():
        show(f"Error of {name} at each significance, calibration of the package", own)
    result["pixels, splits"] = figures.split_errors(fields, number)
    for name, own in result["pixels, splits"].items():
        show(f"Error of {name} at each significance, {number} splits", own)

    rows = [summarise_field(one.probability, one.labels) for one in fields]
    curves, histograms = (np.stack(parts) for parts in zip(*rows, strict=True))
    result["risk control"] = figures.risk_control(curves, histograms, number)
    show(f"Missed share under risk control, {number} splits", result["risk control"])

    nuclei = figures.Nuclei(fields)
    right = np.concatenate(nuclei.right)
    result["nuclei"] = {"found": right.size, "wrong": float(np.mean(~right))}
    result["trusted"] = figures.trusted(nuclei, number, package.objects)
    show(f"Trusted nuclei, {number} splits", result["trusted"])
    print(f"\n{np.mean(~right):.1%} of {right.size} nuclei found are wrong; "
          f"{sum(nuclei.true)} are true.")  # fmt: skip

    result["false alarms"] = {
        "splits": figures.false_alarms(curves, histograms, number),
        "package": figures.package_alarms(unseen, package),
    }
    print("\nFalse alarms of the warning: {splits:.3f} over splits, {package:.3f} with the "
          "package.".format(**result["false alarms"]))  # fmt: skip

    result["intervals"] = {}
    for stain in INTERVAL_STAINS:
        if n < 6 or not all(stain in one.truth for one in fields):
            continue
        own = figures.package_intervals(unseen, stain, package)
        intervals = package.intervals.get(stain)
        own |= figures.intervals(fields, stain, number, intervals)
        if options.flips >= 6:
            few = figures.intervals(fields[: options.flips], stain, number, intervals)
            own |= {f"{key}, {options.flips} fields": row for key, row in few.items()}
        result["intervals"][stain] = own
        show(f"Intervals of {stain} at 0.9", own)
    result["maps of 5.5 Mpx"] = figures.speed(table)
    own = result["maps of 5.5 Mpx"]
    print(f"\nMaps of 5.5 Mpx: {own['seconds']:.3f} s ({own['processor seconds']:.3f} s of the "
          f"processor); table {own['kilobytes']:.0f} kB")  # fmt: skip
    simulated.write_json(options.output, result)
    if options.real is not None:
        from confidence_real import real_fields

        result["real"] = {}
        for name, own in real_fields(model, table, options.real):
            result["real"][name] = own
            show_real(name, own)
            simulated.write_json(options.output, result)


if __name__ == "__main__":
    main()
