"""Run the tests that need the real CellProfiler, which is installed where there is none.

    python tests/run_cellprofiler.py [arguments of pytest]

The installation is kept in FLUORGEN_CELLPROFILER_DIR for the next run. Where it is impossible, for
want of a network, a Python 3.9, a compiler or a JDK, the tests are skipped with the reason.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from napari_fluorgen.errors import FluorgenError
from napari_fluorgen.measurement.cellprofiler_find import CellProfiler, locate_cellprofiler
from napari_fluorgen.measurement.cellprofiler_install import install_cellprofiler
from napari_fluorgen.workflow import drain

ROOT = Path(__file__).resolve().parents[1]


def find_or_install() -> CellProfiler:
    found = locate_cellprofiler()
    if found is not None:
        return found
    said: list[str] = []

    def tell(step) -> None:
        if step.name not in said:
            said.append(step.name)
            print(f"CellProfiler: {step.name}", flush=True)

    return drain(install_cellprofiler(), tell)


def main(arguments: list[str]) -> int:
    try:
        found = find_or_install()
    except FluorgenError as error:
        print(f"SKIPPED: the tests with the real CellProfiler did not run. {error}", flush=True)
        return 0
    print(f"{found.sentence} ({found.origin})", flush=True)
    os.environ["FLUORGEN_CELLPROFILER"] = found.program
    os.chdir(ROOT)
    return pytest.main(["-m", "cellprofiler", *(arguments or ["tests"])])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
