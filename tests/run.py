"""Run the tests under whatever display this machine has.

    python tests/run.py [arguments of pytest]

A screen is used where there is one, else a virtual one (xvfb), else Qt's offscreen platform. What
cannot run is skipped with the reason: tests that open a viewer where OpenGL is missing, and all of
tests/widgets where Qt or napari cannot start, as on a bare server without their libraries.
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
VIEWER_FIXTURES = {"make_napari_viewer", "make_napari_viewer_proxy"}
SCREEN = "-screen 0 1600x1000x24"

# Prints the major version of OpenGL, 0 where there is none; fails where Qt or napari cannot start.
PROBE = """
import napari.utils
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
from qtpy.QtWidgets import QApplication

application = QApplication([])
surface, context = QOffscreenSurface(), QOpenGLContext()
surface.create()
works = context.create() and context.makeCurrent(surface)
print(context.format().majorVersion() if works else 0)
"""


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
        folder = SkippedFolder.from_parent(parent, name=path.name, path=path)
        folder.reason = f"napari does not start here: {self.reason}"
        return folder


class WithoutOpenGL:
    """Pytest plugin that skips the tests that open a napari viewer."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        skip = pytest.mark.skip(reason="napari's canvas needs OpenGL 2 and a screen, or xvfb")
        for item in items:
            if VIEWER_FIXTURES & set(getattr(item, "fixturenames", ())):
                item.add_marker(skip)


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


def run(arguments: list[str]) -> int:
    """Try Qt in another process, since it aborts where its platform is missing; run pytest."""
    trial = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True)
    if trial.returncode:
        lines = [line for line in trial.stderr.splitlines() if line.strip()]
        reason = lines[-1] if lines else f"exit status {trial.returncode}"
        without = ["-p", "no:pytest-qt", "-p", "no:napari"]  # they import what cannot be loaded
        return pytest.main([*without, *arguments], plugins=[WithoutQt(reason)])
    opengl = int(trial.stdout.split()[-1])
    return pytest.main(arguments, plugins=[] if opengl >= 2 else [WithoutOpenGL()])


if __name__ == "__main__":
    enter_virtual_screen(sys.argv[1:])
    os.chdir(ROOT)
    sys.exit(run(sys.argv[1:]))
