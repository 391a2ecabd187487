"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
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
