"""Time and memory as shown before the start, against what a run takes.

    python benchmarks/estimate.py [--model adipocyte-20x] [--sizes 512 1080 2160] [--threads 2]

Stains simulated noise of each size twice in a process of its own, first with nothing known of this
machine (an empty cache folder), then with what the first run left, and prints what
`fluorgen.workflow.estimate_field` foresaw and what happened. Peak memory is that of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
from process import peak_bytes


def run(model: str, precision: str, size: int) -> None:
    """Stain twice and print a line of JSON for each run."""
    from napari_fluorgen.models import load_model
    from napari_fluorgen.stack import BrightfieldStack, FieldIdentity
    from napari_fluorgen.workflow import StainRequest, drain, estimate_field, stain_field

    package = load_model(model)
    counts = np.random.default_rng(0).normal(3000, 100, (package.spec.planes, size, size))
    pixel = package.spec.pixel_size_um
    stack = BrightfieldStack(
        counts.astype(np.uint16), FieldIdentity("noise"), (pixel, pixel), package.spec.z_um
    )
    request = StainRequest.build(model=model, precision=precision)
    for _ in range(2):
        foreseen = estimate_field(stack, request, model=package)
        began = time.perf_counter()
        drain(stain_field(stack, request, model=package))
        took = time.perf_counter() - began
        print(json.dumps([foreseen.seconds, took, foreseen.bytes, peak_bytes()]), flush=True)


def main() -> None:
    """Run each size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="adipocyte-20x", help="name or folder")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1080, 2160])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run(options.model, options.precision, options.child)
        return
    print("| pixels | run | foreseen s | took s | ratio | foreseen MB | peak MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for size in options.sizes:
        with tempfile.TemporaryDirectory() as cache:
            threads = {"OMP_NUM_THREADS": "1", "FLUORGEN_THREADS": str(options.threads)}
            command = [sys.executable, __file__, *sys.argv[1:], "--child", str(size)]
            done = subprocess.run(
                command,
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | threads | {"XDG_CACHE_HOME": cache},
            )
        for number, line in enumerate(done.stdout.splitlines(), 1):
            seconds, took, memory, peak = json.loads(line)
            print(
                f"| {size}² | {number} | {seconds:.1f} | {took:.1f} | {seconds / took:.2f} "
                f"| {memory / 1e6:.0f} | {peak / 1e6:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
