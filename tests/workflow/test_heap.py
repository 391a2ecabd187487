from __future__ import annotations

import os
import subprocess
import sys

import pytest

FRAYED = """
import sys
from pathlib import Path
from napari_fluorgen.workflow.heap import return_freed_arrays

def resident_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith("VmRSS")) / 1024

if sys.argv[1] == "told":
    return_freed_arrays()
large = bytearray(30_000_000)
del large  # from here on, arrays of less than 30 MB come from the heap
tiles = [bytearray(b"1") * 4_000_000 for _ in range(50)]
kept = bytearray(b"1") * 4_000_000  # above them in the heap
before = resident_mb()
del tiles
print(before - resident_mb())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc's heap is told")
def test_freed_arrays_go_back_to_the_system():
    def given_back(how: str) -> float:
        command = [sys.executable, "-c", FRAYED, how]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return float(done.stdout)

    if given_back("untold") > 150:
        pytest.skip("this C library gives freed arrays back by itself")
    assert given_back("told") > 150
