"""Time the reference's tiling and the engine: same networks, same field, same machine.

    python benchmarks/engine.py --size 1080 --precision float32 --threads 2 [--output engine.json]

In turn, each in a process of its own: a matrix product (the ceiling), the reference's tiling
(512/256, float32, eager PyTorch, one network after another), the engine, and each network once
over the whole field in float32 (the truth of the deviations). Networks of the reference's size
with random but fixed weights unless --model names an installed one. --reference-tiles N times N
of the reference's tiles and scales. --profile adds where the engine's time goes. The
environment variable FLUORGEN_BACKEND takes another of the CPU's backends than the engine would.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import engine_parts
import numpy as np
from fields import CACHE, write_json

from napari_fluorgen.staining.cost import model_flops_per_pixel
from napari_fluorgen.staining.devices import cpu_threads, resolve_device, resolve_precision

LARGEST_UNTILED = 1_500_000
"""Pixels beyond which the run over the whole field needs more memory than it is worth."""


def main() -> int:
    """Run all parts, print the table and write JSON."""
    options = _options()
    device = resolve_device(options.device)
    precision = resolve_precision(options.precision, device)
    size = tuple(options.size * 2 if len(options.size) == 1 else options.size)
    deviation = not options.no_deviation and size[0] * size[1] <= LARGEST_UNTILED
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {
            "size": size,
            "device": device.name,
            "precision": precision,
            "threads": options.threads,
            "reference_tiles": options.reference_tiles,
            "repeats": options.repeats,
            "model": options.model,
            "data": str(options.data / "engine"),
            "deviation": deviation,
            "folder": Path(folder),
        }
        model = engine_parts.opened(settings)
        flops = model_flops_per_pixel(model.spec)
        ceiling = _apart(engine_parts.ceiling, settings)
        result: dict[str, Any] = {
            "machine": {
                "device": str(device),
                "processor": _processor(),
                "threads": options.threads,
                "python": platform.python_version(),
                "ceiling_flops": ceiling,
            },
            "model": model.spec.name,
            "digest": model.digest,
            "size": list(size),
            "precision": precision,
            "flops_per_pixel": flops,
        }
        engine = _apart(engine_parts.engine, settings)
        reference = None
        if options.reference_tiles != 0:
            reference = _apart(engine_parts.reference, settings)
        if deviation:
            _apart(engine_parts.untiled, settings)
            engine |= _deviation(Path(folder), "engine")
            if reference is not None:
                reference |= _deviation(Path(folder), "reference")
        pixels = size[0] * size[1]
        engine |= _rates(engine, pixels, flops, ceiling[precision])
        result["engine"] = engine
        if reference is not None:
            reference |= _rates(reference, pixels, flops, ceiling["float32"])
            result["reference"] = reference
            result["ratio"] = reference["seconds"] / engine["seconds"]
            result["cpu_ratio"] = reference["cpu_seconds"] / engine["cpu_seconds"]
        if options.profile and device.name == "cpu":
            part = settings | {"tile_shape": engine["tile_shape"]}
            result["layers"] = _apart(engine_parts.profile, part)["layers"]
    _show(result)
    write_json(options.output, result)
    return 0


def _apart(part: Callable[[Any], Any], settings: dict[str, Any]) -> Any:
    """Run a part in a new process."""
    print(f"{part.__name__} ...", file=sys.stderr, flush=True)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(part, settings).result()


def _rates(part: dict[str, Any], pixels: int, flops: float, ceiling: float) -> dict[str, float]:
    seconds = part["seconds"]
    return {
        "mpx_per_second": pixels / seconds / 1e6,
        "ceiling_share": pixels * flops / seconds / ceiling,
    }


def _deviation(folder: Path, name: str) -> dict[str, Any]:
    """Largest and mean deviation of each map from the run over the whole field."""
    path = folder / f"{name}.npz"
    if not path.exists():
        return {}
    found: dict[str, Any] = {"largest_deviation": {}, "mean_deviation": {}}
    with np.load(path) as maps, np.load(folder / "untiled.npz") as truth:
        for key in maps.files:
            values = maps[key]
            rows, columns = values.shape
            difference = np.abs(values - truth[key][:rows, :columns])
            found["largest_deviation"][key] = float(difference.max())
            found["mean_deviation"][key] = float(difference.mean())
    return found


def _show(result: dict[str, Any]) -> None:
    machine, size = result["machine"], result["size"]
    print(f"{result['model']}, {size[0]} x {size[1]}, {machine['device']} ({machine['processor']})")
    for precision, rate in machine["ceiling_flops"].items():
        print(f"matrix product in {precision}: {rate / 1e12:.3f} TFLOP/s")
    head = ("", "time s", "cpu s", "Mpx/s", "of ceiling", "peak GB", "largest dev.", "mean dev.")
    print(("{:28s}" + "{:>13s}" * 7).format(*head))
    label = f"{result['engine']['backend']}, {result['precision']}"
    rows = [(f"engine, {label}", result["engine"])]
    if "reference" in result:
        rows.insert(0, ("reference, float32", result["reference"]))
    for label, part in rows:
        cells = [
            f"{part['seconds']:.2f}",
            f"{part['cpu_seconds']:.2f}",
            f"{part['mpx_per_second']:.4f}",
            f"{part['ceiling_share']:.1%}",
            f"{part.get('peak_gpu_bytes', part['peak_bytes']) / 1e9:.2f}",
            *(
                f"{max(part[key].values()):.2g}" if key in part else "not measured"
                for key in ("largest_deviation", "mean_deviation")
            ),
        ]
        print(f"{label:28s}" + "".join(f"{cell:>13s}" for cell in cells))
    engine = result["engine"]
    computed = engine["computed_pixels"] / (size[0] * size[1])
    print(
        f"engine: {engine['tiles']} tiles of {engine['tile_shape']}, {computed:.2f} times the "
        f"field's pixels; first run {engine['first_seconds']:.2f} s, "
        f"networks alone {engine['network_seconds']:.2f} s"
    )
    if "reference" in result:
        reference = result["reference"]
        if reference["timed"] < reference["tiles"]:
            print(
                f"reference: {reference['timed']} of {reference['tiles']} tiles were timed and "
                "scaled to the field"
            )
        print(f"ratio {result['ratio']:.1f} by the clock, {result['cpu_ratio']:.1f} in cpu time")
    total = sum(result.get("layers", {}).values())
    for kind, seconds in result.get("layers", {}).items():
        print(f"  {kind:40s}{seconds:9.3f} s {seconds / total:7.1%}")


def _processor() -> str:
    """Name of the processor and what it has for these networks."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    flags = set(facts.get("flags", "").split())
    known = [x for x in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if x in flags]
    return f"{facts.get('model name', platform.machine())}: {' '.join(known) or 'no vector flags'}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, nargs="+", default=[1080], help="rows and columns")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, mps or auto")
    parser.add_argument("--precision", default="auto", help="auto (default), float32, bfloat16")
    parser.add_argument("--threads", type=int, default=cpu_threads(), help="default: all cores")
    parser.add_argument("--model", help="an installed model or a package's folder")
    parser.add_argument("--reference-tiles", type=int, metavar="N", help="time N tiles and scale")
    parser.add_argument("--repeats", type=int, default=2, help="warm runs, the best counts")
    parser.add_argument("--no-deviation", action="store_true", help="leave out the untiled run")
    parser.add_argument("--profile", action="store_true", help="time by type of layer (CPU)")
    parser.add_argument("--data", type=Path, default=CACHE, help=f"keeps files (default {CACHE})")
    parser.add_argument("--output", type=Path, help="write the result here as JSON")
    options = parser.parse_args()
    if len(options.size) > 2:
        parser.error("--size takes one number or two")
    return options


if __name__ == "__main__":
    sys.exit(main())
