"""Time `import napari_fluorgen` in fresh processes.

    python benchmarks/import_time.py [--repeats 7] [--output import_time.json]

napari imports every plugin when it starts and the command line imports the package for `--help`:
neither may wait for torch. The script fails when torch or napari is loaded by the import.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from pathlib import Path

# Timed inside the new process, so that the start of Python itself does not count.
PROBE = """
import json, sys, time
start = time.perf_counter()
import napari_fluorgen
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "modules": sorted(sys.modules)}))
"""
FORBIDDEN = ("torch", "napari")


def measure_once() -> tuple[float, list[str]]:
    """Import the package in a new process; return the seconds and the names of all modules."""
    run = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    record = json.loads(run.stdout)
    return record["seconds"], record["modules"]


def main() -> int:
    """Print a table, write JSON, and return 1 where a forbidden module was loaded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="processes to start (default 7)")
    parser.add_argument("--output", type=Path, help="write the result here as JSON")
    options = parser.parse_args()

    measure_once()  # the first import compiles bytecode and fills the disk cache
    runs = [measure_once() for _ in range(options.repeats)]
    seconds = [run[0] for run in runs]
    modules = runs[0][1]
    loaded = [name for name in FORBIDDEN if name in modules]
    result = {
        "median_s": statistics.median(seconds),
        "minimum_s": min(seconds),
        "maximum_s": max(seconds),
        "repeats": options.repeats,
        "modules": len(modules),
        "forbidden_loaded": loaded,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }

    print("import napari_fluorgen")
    for name in ("median_s", "minimum_s", "maximum_s"):
        print(f"  {name.removesuffix('_s'):8s} {result[name]:.3f} s")
    print(f"  {'modules':8s} {len(modules)}")
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if loaded:
        print(f"loaded by the import, but must not be: {', '.join(loaded)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
