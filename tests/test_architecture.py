"""The rules of docs/architecture.md that a program can check."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import napari_fluorgen

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(napari_fluorgen.__file__).parent
SOURCE_LINES = 400

# Everything but the widgets must import on a headless node; what is optional there may be absent.
IMPORT_WITHOUT_QT = """
import importlib, pkgutil, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"napari", "qtpy", "magicgui", "superqt", "vispy"}:
            raise AssertionError(f"{name} is imported outside the widgets")

sys.meta_path.insert(0, Blocked())
import napari_fluorgen
for module in pkgutil.walk_packages(napari_fluorgen.__path__, "napari_fluorgen."):
    if module.name.startswith("napari_fluorgen.widgets") or module.name.endswith("__main__"):
        continue
    importlib.import_module(module.name)
"""


def run_python(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


def test_layers_point_downwards() -> None:
    # A process of its own: it sets up logging anew, after which other tests would see no records.
    run = run_python(f"""
import sys
from importlinter.cli import lint_imports
sys.exit(lint_imports(config_filename={str(ROOT / "pyproject.toml")!r}, no_cache=True))
""")
    assert run.returncode == 0, run.stdout + run.stderr


def test_import_loads_neither_torch_nor_napari() -> None:
    run = run_python("import sys, napari_fluorgen; print(*sys.modules)")
    assert run.returncode == 0, run.stderr
    assert not {"torch", "napari", "qtpy", "openvino"} & set(run.stdout.split())


def test_everything_but_the_widgets_imports_without_qt() -> None:
    run = run_python(IMPORT_WITHOUT_QT)
    assert run.returncode == 0, run.stderr


def test_no_source_file_is_too_long_to_read() -> None:
    lengths = {
        path.relative_to(PACKAGE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: n for name, n in lengths.items() if n > SOURCE_LINES} == {}


def imported_roots(source: str) -> Iterator[str]:
    """Name the top-level packages that a source text imports, anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_import_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    required = [
        *project["dependencies"],
        *(line for name in ("all", "cluster", "measure", "train") for line in extras[name]),
    ]
    declared = {normalised(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in required}
    providers = importlib.metadata.packages_distributions()
    undeclared = set()
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name == "cellprofiler_plugin":
            continue  # runs in CellProfiler's environment: tests/cellprofiler_plugin
        for root in imported_roots(path.read_text(encoding="utf-8")):
            if root in sys.stdlib_module_names or root == "napari_fluorgen":
                continue
            if not declared & {normalised(name) for name in providers.get(root, [root])}:
                undeclared.add((path.relative_to(PACKAGE).as_posix(), root))
    assert undeclared == set()
