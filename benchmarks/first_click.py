"""Time the first and the second click on Stain, each time in a new process.

    python benchmarks/first_click.py [--repeats 3] [--threads 2] [--output first_click.json]

What the Stain dock does after napari's start: the field is open already (its reading is timed
apart), the first click loads torch and OpenVINO, the model and its compiled networks, stains,
finds nuclei and computes the confidence maps; the second click finds all of that warm. The first
process also fills the cache of compiled networks on disk, as the first start after installing
does; it is shown apart. --fresh-cache leaves the user's own cache alone and starts with none.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from fields import write_json

# Timed inside the new process: napari has started Python and numpy long before a click.
PROBE = """
import json, sys, time
import numpy, napari_fluorgen
from napari_fluorgen.workflow.sample import sample_folder
model, repeats = sys.argv[1], int(sys.argv[2])
began = time.perf_counter()
plate = next(folder for folder in sample_folder().iterdir() if folder.is_dir())
stack = next(iter(napari_fluorgen.read_plate(plate)))
opening = time.perf_counter() - began
clicks, cpu, stages = [], [], []
for _ in range(1 + repeats):
    began, began_cpu = time.perf_counter(), time.process_time()
    events = []
    loaded = napari_fluorgen.load_model(model)
    def note(event):
        label = getattr(event, "name", None) or type(event).__name__
        events.append((str(label), time.perf_counter() - began))
    napari_fluorgen.stain(stack, loaded, progress=note)
    clicks.append(time.perf_counter() - began)
    cpu.append(time.process_time() - began_cpu)
    stages.append(events)
shape = list(stack.shape)
print(json.dumps({"opening_s": opening, "clicks_s": clicks, "cpu_s": cpu, "stages": stages,
                  "shape": shape}))
"""


def measure_once(model: str, repeats: int, environment: dict[str, str]) -> dict:
    """Click in a new process; return what the probe prints."""
    command = [sys.executable, "-c", PROBE, model, str(repeats)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(run.stdout.splitlines()[-1])


def main() -> int:
    """Print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="adipocyte-20x", help="default adipocyte-20x")
    parser.add_argument("--repeats", type=int, default=3, help="processes, the median counts")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument(
        "--fresh-cache", action="store_true", help="start without compiled networks"
    )
    parser.add_argument("--output", type=Path, help="write the result here as JSON")
    options = parser.parse_args()

    environment = dict(os.environ)
    if options.threads:
        environment |= dict.fromkeys(("FLUORGEN_THREADS", "OMP_NUM_THREADS"), str(options.threads))
    with tempfile.TemporaryDirectory() as cache:
        if options.fresh_cache:
            environment["XDG_CACHE_HOME"] = cache
        installed = measure_once(options.model, 1, environment)
        runs = [measure_once(options.model, 2, environment) for _ in range(options.repeats)]
    result = {
        "model": options.model,
        "field": runs[0]["shape"],
        "after_installing_s": installed["clicks_s"][0],
        "opening_s": statistics.median(run["opening_s"] for run in runs),
        "first_click_s": statistics.median(run["clicks_s"][0] for run in runs),
        "second_click_s": statistics.median(run["clicks_s"][1] for run in runs),
        "first_click_cpu_s": statistics.median(run["cpu_s"][0] for run in runs),
        "second_click_cpu_s": statistics.median(run["cpu_s"][1] for run in runs),
        "runs": runs,
        "threads": options.threads,
        "fresh_cache": options.fresh_cache,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    print(f"{options.model} on a field of {result['field']}")
    for name in ("after_installing", "opening", "first_click", "second_click"):
        processor = result.get(f"{name}_cpu_s")
        suffix = "" if processor is None else f"  ({processor:.2f} s of processor time)"
        print(f"  {name.replace('_', ' '):18s}{result[f'{name}_s']:7.2f} s{suffix}")
    for title, index in (("first", 0), ("second", 1)):
        steps = ", ".join(f"{name} {seconds:.2f}" for name, seconds in runs[-1]["stages"][index])
        print(f"  {title} click, seconds at each event: {steps}")
    write_json(options.output, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
