"""Ctrl-C: the run ends within a tile, what is finished stays, nothing is half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile

from napari_fluorgen.io import results
from napari_fluorgen.io.run_record import LOCK_FILE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals differ there")


def test_ctrl_c_ends_the_run_cleanly(installed, tmp_path) -> None:
    rng = np.random.default_rng(0)
    for number in range(2):
        planes = rng.integers(2000, 4000, (7, 1500, 1500), np.uint16)
        tifffile.imwrite(tmp_path / f"large{number}.tif", planes, photometric="minisblack")
    out = tmp_path / "out"
    command = [sys.executable, "-u", "-m", "napari_fluorgen.cli", "stain"]
    command += [str(tmp_path / "large0.tif"), str(tmp_path / "large1.tif")]
    command += ["-o", str(out), "--model", "tiny", "--tile", "96", "--json"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as run:
        for line in run.stderr:
            if line.startswith("Staining on"):
                break
        time.sleep(0.2)
        run.send_signal(signal.SIGINT)
        printed, said = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("Error: Stopped: ")
    assert "--resume" in said
    assert '"status": "cancelled"' in printed.splitlines()[-1]
    written = results.list_fields(out) if out.exists() else []
    assert len(written) < 2
    leftovers = {path.name for path in out.rglob(".*")} if out.exists() else set()
    assert leftovers <= {LOCK_FILE}


def test_second_ctrl_c_interrupts_at_once() -> None:
    from napari_fluorgen.cli.guard import stop_on_interrupt

    with stop_on_interrupt() as stopped:
        assert not stopped()
        signal.raise_signal(signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_handlers_are_given_back() -> None:
    from napari_fluorgen.cli.guard import stop_on_interrupt

    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with stop_on_interrupt():
        pass
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
