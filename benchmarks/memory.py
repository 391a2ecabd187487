"""Peak memory of staining from zarr to zarr, by the size of the field.

Each size runs in a process of its own, whose peak resident memory the system reports. The input
is simulated: a few chunks of round cells, repeated over the field. The networks are small and
random, so that the largest field ends in minutes; what they hold for a tile is what the engine's
budget allows, as with any network.

    python benchmarks/memory.py --sizes 4096 16384 32768 --out memory.json
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from process import peak_bytes

PLANES, CHUNK, VARIANTS = 7, 1024, 4
PIXEL_UM = 0.325
NAME = "memory"


def planes_of(variant: int) -> np.ndarray:
    """Seven planes (Z, Y, X) of one chunk: cells that turn from dark to bright through focus."""
    rng = np.random.default_rng(variant)
    cells = np.zeros((CHUNK, CHUNK), np.float32)
    near = np.arange(-40, 41)
    for _ in range(260):
        y, x = rng.integers(0, CHUNK, 2)
        radius = rng.uniform(7, 13)
        spot = np.exp(-(near[:, None] ** 2 + near[None, :] ** 2) / (2 * radius**2))
        rows, columns = (y + near) % CHUNK, (x + near) % CHUNK
        cells[np.ix_(rows, columns)] += spot
    noise = rng.normal(0, 8, cells.shape)
    levels = [3000 * (1 + 0.06 * (z - 3) * cells) + np.roll(noise, z) for z in range(PLANES)]
    return np.clip(levels, 1, 65535).astype(np.uint16)


def make_input(path: Path, size: int) -> None:
    """Write an OME-Zarr of `size` x `size` pixels, chunk by chunk; equal chunks share a file."""
    import zarr

    root = zarr.create_group(path, zarr_format=3)
    chunks = (1, CHUNK, CHUNK)
    array = root.create_array("0", shape=(PLANES, size, size), chunks=chunks, dtype="uint16")
    steps = -(-size // CHUNK)
    first: dict[tuple[int, int], Path] = {}
    for y in range(steps):
        for x in range(steps):
            variant = (3 * y + x) % VARIANTS
            for z in range(PLANES):
                target = path / "0" / "c" / str(z) / str(y) / str(x)
                if (variant, z) in first:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.link(first[variant, z], target)
            if (variant, 0) not in first:
                window = (slice(y * CHUNK, (y + 1) * CHUNK), slice(x * CHUNK, (x + 1) * CHUNK))
                block = planes_of(variant)[:, : size - window[0].start, : size - window[1].start]
                array[(slice(None), *window)] = block
                for z in range(PLANES):
                    first[variant, z] = path / "0" / "c" / str(z) / str(y) / str(x)
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"]
    scale = [{"type": "scale", "scale": [2.0, PIXEL_UM, PIXEL_UM]}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}
    root.attrs["ome"] = {"version": "0.5", "multiscales": [image]}


def make_model(folder: Path) -> None:
    """Save a package of small random networks that find about as many nuclei as there are cells."""
    import torch

    from napari_fluorgen.models import Architecture, ModelSpec, save_package
    from napari_fluorgen.networks import build_network
    from napari_fluorgen.staining import estimate_background

    small = {"first_filters": 4, "blocks": 2, "layers": 1, "growth_rate": 4}
    dense = Architecture(kind="dense-unet", **small)
    counts = {"minimum": 100, "maximum": 4100}
    spec = ModelSpec(
        name=NAME,
        pixel_size_um=PIXEL_UM,
        z_um=(-6, -4, -2, 0, 2, 4, 6),
        input={"kind": "background", "gain": 2.5},
        outputs={"nuclei": counts, "lipids": counts, "cytoplasm": counts},
        overlap_px=16,
        architectures={
            "nuclei": Architecture(kind="nuclei", **small),
            "lipids": dense,
            "cytoplasm": dense,
        },
        simulated=True,
    )
    torch.manual_seed(0)
    networks = {stain: build_network(spec.architectures[stain]).eval() for stain in spec.stains}
    counts_of = planes_of(0).astype(np.float32)
    whole = slice(0, CHUNK), slice(0, CHUNK)
    scaled = estimate_background(counts_of, PIXEL_UM).divide(counts_of, *whole)
    sample = torch.from_numpy((scaled - 1) * 2.5)[None]
    fit(networks["nuclei"], sample[:, :, :512, :512], counts_of[-1, :512, :512] > 3200)
    rng = np.random.default_rng(0)
    scores = {
        name: np.sort(rng.random(2000, dtype=np.float32)) for name in ("nucleus", "background")
    }
    save_package(
        folder,
        spec,
        networks,
        calibration={**scores, "meta": {"fields": 2}},
        test_input=sample.numpy()[:, :, :64, :64],
        card="Random networks for the measurement of memory.\n",
    )


def fit(network: Any, sample: Any, cells: np.ndarray) -> None:
    """Teach the nuclei network in seconds to find the cells, so that there are nuclei to label."""
    import torch

    target = torch.from_numpy(cells.astype(np.int64))[None]
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-2)
    network.train()
    for step in range(120):
        y, x = 128 * (step % 3), 128 * (step // 3 % 3)
        area = (..., slice(y, y + 256), slice(x, x + 256))
        loss = torch.nn.functional.cross_entropy(network(sample[area]).logits, target[area])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    network.eval()


def run_child(source: Path, target: Path, model: Path) -> None:
    """Stain `source` and print what it took as JSON."""
    from napari_fluorgen.io import find_fields, read_stack
    from napari_fluorgen.models import load_model
    from napari_fluorgen.workflow import StainRequest, drain, estimate_field, stain_batch

    request = StainRequest.build(model=str(model), device="cpu", focus="as-is")
    package = load_model(model)
    foreseen = estimate_field(read_stack(source), request, model=package, held=False)
    stages: list[tuple[str, float, int]] = []

    def watch(event: object) -> None:
        name = getattr(event, "name", type(event).__name__)
        if not stages or stages[-1][0] != name:
            stages.append((name, time.perf_counter(), peak_bytes()))

    began, used = time.perf_counter(), time.process_time()
    batch = stain_batch(find_fields([source]), request, target, format="ome-zarr", model=package)
    summary = drain(batch, watch)
    seconds = time.perf_counter() - began
    if not summary.done:
        raise SystemExit(f"not stained: {dict(summary.reasons)}")
    print(
        json.dumps(
            {
                "peak_bytes": peak_bytes(),
                "seconds": seconds,
                "cpu_seconds": time.process_time() - used,
                "foreseen_bytes": foreseen.bytes,
                "foreseen_seconds": foreseen.seconds,
                "tiles": foreseen.tiles,
                "stages": [(name, at - began, peak) for name, at, peak in stages],
            }
        )
    )


def measure(size: int, model: Path, work: Path) -> dict:
    """Stain a field of `size` x `size` pixels in a process of its own."""
    source, target = work / f"field-{size}.ome.zarr", work / f"out-{size}"
    make_input(source, size)
    command = [sys.executable, __file__, "--child", str(source), str(target), str(model)]
    try:
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        written = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        return {"size": size, "written_bytes": written, **json.loads(done.stdout.splitlines()[-1])}
    finally:
        shutil.rmtree(source, ignore_errors=True)
        shutil.rmtree(target, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[4096, 16384, 32768])
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--work", type=Path, help="folder on a disk with 40 GB free")
    parser.add_argument("--child", type=Path, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_child(*options.child)
        return
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        work = Path(folder)
        make_model(work / NAME)
        rows = []
        print("  size  peak MiB  foreseen   time s  foreseen    CPU s  Mpx/s")
        for size in options.sizes:
            row = measure(size, work / NAME, work)
            rows.append(row)
            print(
                f"{size:>6} {row['peak_bytes'] / 2**20:>9.0f}"
                f" {row['foreseen_bytes'] / 2**20:>9.0f} {row['seconds']:>8.1f}"
                f" {row['foreseen_seconds']:>9.1f} {row['cpu_seconds']:>8.1f}"
                f" {size * size / 1e6 / row['seconds']:>6.2f}",
                flush=True,
            )
    peaks = [row["peak_bytes"] for row in rows]
    spread = max(peaks) / min(peaks) - 1
    print(f"largest peak {max(peaks) / 2**30:.2f} GiB, spread {100 * spread:.1f} %")
    if options.out:
        options.out.write_text(json.dumps({"rows": rows, "spread": spread}, indent=1) + "\n")


if __name__ == "__main__":
    main()
