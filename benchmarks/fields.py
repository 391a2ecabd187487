"""Simulated fields for the benchmarks: made once by a few processes, then read from a folder.

A file a field, named by its seed; the folder is named by what the fields were drawn from and by
the simulation's own source, so that a changed preset or simulation never mixes with older fields
and an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_fluorgen.io.atomic import atomic_path
from napari_fluorgen.simulation import field as simulation
from napari_fluorgen.simulation.presets import Preset
from napari_fluorgen.stack import STAINS, BrightfieldStack, FieldIdentity

CACHE = Path("runs/benchmarks")
SHAPES = {"20x": (512, 512), "40x": (768, 768), "60x": (768, 768)}
"""Rows and columns of a field by magnification, in pixels, where none are asked for."""
SEED = 9000
"""First seed of the fields that no model has seen: training stays below, validation too."""


@dataclass(frozen=True)
class TrueField:
    """A simulated stack with all that is known about it.

    Attributes
    ----------
    stack : BrightfieldStack
        With the true stains.
    labels : ndarray, shape (Y, X), uint32
        True nuclei.
    defects : ndarray, shape (Y, X), uint16
        Pixels of droplets that lack dye; one label a defective droplet.
    seed : int
        What the field was drawn with.
    """

    stack: BrightfieldStack
    labels: np.ndarray
    defects: np.ndarray
    seed: int

    @property
    def truth(self) -> dict[str, np.ndarray]:
        """True stains in counts, by name."""
        return {name: np.asarray(image) for name, image in self.stack.truth.items()}


def simulate(
    preset: Preset,
    seeds: Sequence[int],
    shape: tuple[int, int],
    cache: Path,
    *,
    workers: int = 2,
) -> list[Path]:
    """Make the fields of `shape` that the cache lacks and return the files of all, in order.

    Each process computes with one thread: a field of a seed is then the same everywhere.
    """
    folder = cache / f"{preset.magnification}-{'x'.join(map(str, shape))}-{_digest(preset)}"
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{seed}.npz" for seed in seeds]
    missing = [(seed, file) for seed, file in zip(seeds, files, strict=True) if not file.exists()]
    if missing:
        start = time.perf_counter()
        print(f"simulating {len(missing)} fields into {folder}", file=sys.stderr, flush=True)
        jobs = [(preset, seed, shape, file) for seed, file in missing]
        with ProcessPoolExecutor(
            min(workers, len(jobs)), multiprocessing.get_context("spawn")
        ) as pool:
            list(pool.map(_simulate_one, jobs))
        seconds = time.perf_counter() - start
        print(f"simulated in {seconds:.0f} s", file=sys.stderr, flush=True)
    return files


def read(file: Path) -> TrueField:
    """Read one field of the cache."""
    with np.load(file) as stored:
        record = {name: stored[name] for name in stored.files}
    seed, pixel = int(file.stem), float(record["pixel_size_um"])
    stack = BrightfieldStack(
        record["brightfield"],
        FieldIdentity(f"simulated-{seed}"),
        (pixel, pixel),
        tuple(float(z) for z in record["z_um"]),
        truth={name: record[name] for name in STAINS},
    )
    labels = record["labels"].astype(np.uint32)
    return TrueField(stack, labels, record["defects"], seed)


def read_all(files: Sequence[Path]) -> Iterator[TrueField]:
    """Read fields one after another."""
    for file in files:
        yield read(file)


def _simulate_one(job: tuple[Preset, int, tuple[int, int], Path]) -> None:
    import torch

    preset, seed, shape, file = job
    torch.set_num_threads(1)
    field = simulation.simulate_field(preset, seed, shape)
    arrays = {
        "brightfield": field.brightfield,
        "z_um": np.asarray(field.z_um, np.float64),
        "pixel_size_um": np.float64(field.pixel_size_um),
        "labels": field.nuclei_labels,
        "defects": field.defects,
        **field.stains,
    }
    with atomic_path(file, overwrite=True) as temporary, temporary.open("wb") as stream:
        np.savez(stream, **arrays)


def _digest(preset: Preset) -> str:
    """Short digest of a preset and of the source that draws from it."""
    found = hashlib.sha256(repr(preset).encode())
    for path in sorted(Path(inspect.getfile(simulation)).parent.glob("*.py")):
        if path.stem not in ("plate", "__init__"):  # they only store what was drawn
            found.update(path.read_bytes())
    return found.hexdigest()[:10]


def add_options(parser: argparse.ArgumentParser, *, fields: int) -> None:
    """Add the options that the benchmarks on simulated fields share."""
    parser.add_argument("--fields", type=int, default=fields, help=f"default {fields}")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the first (default {SEED})")
    parser.add_argument(
        "--side",
        type=_shape,
        help="rows and columns in pixels, 1080 or 2160x2560 (default 512 at 20x, else 768)",
    )
    parser.add_argument(
        "--data", type=Path, default=CACHE, help=f"keeps simulated fields (default {CACHE})"
    )
    parser.add_argument("--workers", type=int, default=2, help="processes that simulate")
    parser.add_argument("--threads", type=int, default=2, help="threads that compute")
    parser.add_argument("--output", type=Path, help="write the result here as JSON")


def _shape(text: str) -> tuple[int, int]:
    """Rows and columns from "1080" or "2160x2560"."""
    rows, _, columns = text.partition("x")
    return int(rows), int(columns or rows)


def bound_threads(count: int) -> None:
    """Let numerical libraries use so many threads at most."""
    import torch

    os.environ["OMP_NUM_THREADS"] = str(count)
    torch.set_num_threads(count)


def write_json(path: Path | None, result: Any) -> None:
    """Write a result, where asked for, in one piece."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
