"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real data beside the repository (or ``FLUORGEN_SHARED``); skips where absent."""
    folder = Path(os.environ.get("FLUORGEN_SHARED") or REPOSITORY.parent / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(f"no shared data at {folder} (set FLUORGEN_SHARED to its folder)")
    return folder


@pytest.fixture(scope="session")
def sample_folder() -> Path:
    """The sample plate of the repository."""
    return REPOSITORY / "sample_data"


@pytest.fixture(scope="session")
def cellprofiler() -> list[str]:
    """The real CellProfiler as a command; skips where none is named."""
    program = os.environ.get("FLUORGEN_CELLPROFILER")
    if not program:
        pytest.skip("FLUORGEN_CELLPROFILER does not name a CellProfiler program or its python")
    if Path(program).name.startswith("python"):
        return [program, "-m", "cellprofiler"]
    return [program]


@pytest.fixture
def no_cellprofiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the CellProfiler that this machine may have."""
    monkeypatch.delenv("FLUORGEN_CELLPROFILER", raising=False)
    monkeypatch.setenv("FLUORGEN_CELLPROFILER_DIR", str(tmp_path / "no CellProfiler"))
    monkeypatch.setenv("PATH", str(tmp_path / "no programs"))


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Find a program that stands in for CellProfiler; STAND_IN chooses how it fails."""
    if os.name == "nt":
        pytest.skip("the stand-in is a shell script")
    program = tmp_path / "programs" / "cellprofiler"
    program.parent.mkdir()
    script = REPOSITORY / "tests" / "stand_in_cellprofiler.py"
    command = shlex.join([sys.executable, str(script)])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("FLUORGEN_CELLPROFILER", str(program))
    monkeypatch.setenv("FLUORGEN_CELLPROFILER_DIR", str(tmp_path / "cellprofiler-data"))
    return program
