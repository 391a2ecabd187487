"""What less than float32 costs: bfloat16, and eight bits as a trial apart from the package.

    python benchmarks/precision.py [--model adipocyte-20x] [--fields 12]
    python -m pip install nncf  # for eight bits as well

Runs whole simulated fields that nothing has seen in float32, in bfloat16 where the processor has
it and, where NNCF is installed, in eight bits by OpenVINO, quantised after training (NNCF, its
mixed preset) on fields of their own seeds; prints the processor's time for a field, the official
pixel error and the deviation from float32. Eight bits would be worth keeping where the error moves
by less than one per cent.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import fields as simulated
import numpy as np
from numpy.typing import NDArray

import napari_fluorgen as fluorgen
from napari_fluorgen.measurement import score_fields
from napari_fluorgen.simulation.presets import get_preset
from napari_fluorgen.staining import match_stack
from napari_fluorgen.staining.backends import open_backend, openvino_cpu
from napari_fluorgen.staining.backends.dense_blocks import split_concatenations
from napari_fluorgen.staining.devices import Device, has_native_bfloat16, resolve_device
from napari_fluorgen.staining.plan import round_up
from napari_fluorgen.staining.source import TileSource

LEARN_SEED = 8000
Maps = dict[str, NDArray[np.float32]]
Run = Callable[[NDArray[np.float32]], Maps]


def main() -> None:
    """Quantise, run, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="adipocyte-20x", help="name or folder")
    parser.add_argument("--learn", type=int, default=24, help="fields to quantise with")
    simulated.add_options(parser, fields=30)
    options = parser.parse_args()
    simulated.bound_threads(options.threads)
    model = fluorgen.load_model(options.model)
    preset = get_preset(model.spec.magnification)
    shape = options.side or simulated.SHAPES[preset.magnification]

    def files(first: int, count: int) -> list[Path]:
        seeds = range(first, first + count)
        return simulated.simulate(preset, seeds, shape, options.data, workers=options.workers)

    cpu = resolve_device("cpu")
    runs = {precision: run_of(model, cpu, precision) for precision in reversed(cpu.precisions)}
    if importlib.util.find_spec("nncf") is None:
        print("NNCF is not installed: eight bits are left out.", file=sys.stderr)
    else:
        learned = simulated.read_all(files(LEARN_SEED, options.learn))
        runs["int8"] = quantised(model, [scaled(model, true) for true in learned], options.threads)
    rows = measure(model, files(options.seed, options.fields), runs)
    show(rows)
    simulated.write_json(options.output, {"model": model.spec.name, "digest": model.digest} | rows)


def scaled(model: fluorgen.models.Model, true: simulated.TrueField) -> NDArray[np.float32]:
    """Planes (1, Z, Y, X) of a field as the networks see them."""
    adaptation = match_stack(true.stack, model.spec)
    rows, columns = (slice(0, round_up(n, model.spec.divisor)) for n in adaptation.model_shape)
    return TileSource(true.stack, model.spec, adaptation).read(rows, columns)[0][None]


def run_of(model: fluorgen.models.Model, device: Device, precision: str) -> Run:
    """One whole field by the engine's backend."""
    backend = open_backend(model, device, precision)
    return lambda planes: {name: maps[0] for name, maps in backend.predict(planes).items()}


def quantised(
    model: fluorgen.models.Model, learned: Sequence[NDArray[np.float32]], threads: int
) -> Run:
    """One whole field in eight bits, by OpenVINO."""
    import nncf

    ov = openvino_cpu.import_openvino()
    network = openvino_cpu.OpenVinoBackend(model, "float32")._read()
    network.reshape(list(learned[0].shape))
    preset = nncf.QuantizationPreset.MIXED
    data = nncf.Dataset(learned)
    network = nncf.quantize(network, data, preset=preset, subset_size=len(learned))
    split_concatenations(network, ov.opset13)
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if has_native_bfloat16() else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = ov.Core().compile_model(network, "CPU", settings).create_infer_request()
    names = model.spec.output_names
    return lambda planes: {
        name: own[0, 0].copy()
        for name, own in zip(names, request.infer([planes]).values(), strict=True)
    }


def measure(
    model: fluorgen.models.Model, files: Sequence[Path], runs: dict[str, Run]
) -> dict[str, Any]:
    """Run each field in each way, in turn, so that a busy machine slows all of them alike."""
    names = model.spec.output_names
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    maps: dict[str, list[Maps]] = {name: [] for name in runs}
    truth = []
    for true in simulated.read_all(files):
        planes = scaled(model, true)
        truth.append(true.truth)
        height, width = true.stack.shape[1:]
        for name, run in runs.items():
            began = time.process_time()
            found = run(planes)
            seconds[name].append(time.process_time() - began)
            maps[name].append({key: own[:height, :width] for key, own in found.items()})

    def images(name: str) -> Iterator[tuple[Any, Any]]:
        for own, true in zip(maps[name], truth, strict=True):
            yield {s: model.spec.outputs[s].to_counts(own[s]) for s in model.spec.stains}, true

    exact = maps["float32"]
    return {
        name: {
            "processor seconds": float(np.median(seconds[name])),
            "pixel error": score_fields(images(name)).pixel_error,
            "deviation": {
                key: {
                    "largest": max(float(np.abs(a[key] - b[key]).max()) for a, b in pairs),
                    "mean": float(np.mean([np.abs(a[key] - b[key]).mean() for a, b in pairs])),
                }
                for key in names
            },
        }
        for name, pairs in ((name, list(zip(maps[name], exact, strict=True))) for name in runs)
    }


def show(rows: dict[str, Any]) -> None:
    """Print the table."""
    exact = rows["float32"]["pixel error"]
    print("| | processor s a field | pixel error | moved by | largest, mean deviation |")
    print("| --- | --- | --- | --- | --- |")
    for name, row in rows.items():
        error = row["pixel error"]
        deviation = ", ".join(
            f"{key} {own['largest']:.3f}, {own['mean']:.4f}"
            for key, own in row["deviation"].items()
        )
        print(
            f"| {name} | {row['processor seconds']:.2f} | {error:.4f} "
            f"| {100 * (error / exact - 1):+.2f} % | {deviation} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
