"""What the system tells of the process that a benchmark runs in."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_bytes() -> int:
    """Peak resident memory of this process."""
    if sys.platform == "linux":  # where getrusage starts at the peak of the parent process
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
