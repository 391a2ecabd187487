"""The top-level names: quick to import, complete, and free of what a server does not have."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

import napari_fluorgen

HEAVY = ("torch", "napari", "qtpy", "openvino", "llvmlite", "numpy", "pydantic", "skimage")

BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"napari", "qtpy", "magicgui"}:
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Blocked())
import napari_fluorgen as fluorgen
"""


def run_python(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_nothing_heavy_is_loaded_by_the_import() -> None:
    loaded = run_python("import sys, napari_fluorgen; print(*sys.modules)").split()
    assert not set(HEAVY) & set(loaded)


def test_the_import_takes_under_a_fifth_of_a_second() -> None:
    # The shortest of five: other work on the machine can only make an import look slower.
    script = (
        "import time; began = time.perf_counter(); import napari_fluorgen; "
        "print(time.perf_counter() - began)"
    )
    assert min(float(run_python(script)) for _ in range(5)) < 0.2


def test_every_public_name_loads_without_napari_and_qt() -> None:
    names = run_python(BLOCKED + "for name in fluorgen.__all__: print(getattr(fluorgen, name))")
    assert len(names.splitlines()) == len(napari_fluorgen.__all__)


def test_public_names_are_what_their_modules_hold() -> None:
    from napari_fluorgen import errors, stack

    assert napari_fluorgen.InputError is errors.InputError
    assert napari_fluorgen.BrightfieldStack is stack.BrightfieldStack
    assert napari_fluorgen.models.__name__ == "napari_fluorgen.models"
    assert set(napari_fluorgen.__all__) <= set(dir(napari_fluorgen))


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'stian'"):
        _ = napari_fluorgen.stian


def test_version_is_that_of_the_distribution() -> None:
    assert napari_fluorgen.__version__ == importlib.metadata.version("napari-fluorgen")
