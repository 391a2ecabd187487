"""Run the tests under whatever display this machine has.

    python tests/run.py [arguments of pytest]

A screen is used where there is one, else a virtual one (xvfb), else Qt's offscreen platform. Where
Qt or napari cannot start at all, as on a bare server without OpenGL or fonts, only tests/widgets is
skipped, with the reason.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WIDGET_TESTS = ROOT / "tests" / "widgets"
SCREEN = "-screen 0 1600x1000x24"


class SkippedFolder(pytest.Collector):
    """A folder of tests that cannot be imported here."""

    reason = ""

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        pytest.skip(self.reason)


class WithoutQt:
    """Pytest plugin that skips the widget tests before their imports fail."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def pytest_collect_directory(
        self, path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        if path != WIDGET_TESTS:
            return None
        folder = SkippedFolder.from_parent(parent, name=path.name)
        folder.reason = f"napari does not start here: {self.reason}"
        return folder


def enter_virtual_screen(arguments: list[str]) -> None:
    """Start over under xvfb on Linux without a screen; return where that cannot or need not be."""
    if not sys.platform.startswith("linux"):
        return
    if {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"} & os.environ.keys():
        return
    if shutil.which("xvfb-run") and shutil.which("xauth"):
        command = ["xvfb-run", "-a", "-s", SCREEN, sys.executable, __file__, *arguments]
        os.execvp(command[0], command)
    os.environ["QT_QPA_PLATFORM"] = "offscreen"


def why_qt_fails() -> str | None:
    """Start a Qt application in another process, since Qt aborts where its platform is missing."""
    script = "import napari.utils; from qtpy.QtWidgets import QApplication; QApplication([])"
    trial = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    if trial.returncode == 0:
        return None
    lines = [line for line in trial.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {trial.returncode}"


def main(arguments: list[str]) -> int:
    """Run pytest; its exit status is the result."""
    enter_virtual_screen(arguments)
    os.chdir(ROOT)
    reason = why_qt_fails()
    if reason is None:
        return pytest.main(arguments)
    without = ["-p", "no:pytest-qt", "-p", "no:napari"]  # both import what cannot be loaded here
    return pytest.main([*without, *arguments], plugins=[WithoutQt(reason)])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
