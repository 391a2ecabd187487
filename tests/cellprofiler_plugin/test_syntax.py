"""The module for CellProfiler keeps to what CellProfiler's environment has."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import napari_fluorgen

FOLDER = Path(napari_fluorgen.__file__).parent / "cellprofiler_plugin"
FILES = sorted(FOLDER.glob("*.py"))
ALLOWED = {"numpy", "skimage", "cellprofiler_core", "_fluorgen_worker"}


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 8))


def test_there_is_one_module_and_its_helper() -> None:
    # CellProfiler takes every other file for a module, and __init__.py would make a package
    assert [path.name for path in FILES] == ["_fluorgen_worker.py", "virtualstain.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_python_38(path: Path) -> None:
    compile(parse(path), str(path), "exec")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_imports_are_those_of_cellprofiler(path: Path) -> None:
    roots = set()
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Import):
            roots |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            roots.add((node.module or "").partition(".")[0])
    assert roots <= ALLOWED | sys.stdlib_module_names
    # not in Python 3.8's standard library
    assert not roots & {"tomllib", "zoneinfo", "graphlib"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_newer_methods_are_used(path: Path) -> None:
    names = {node.attr for node in ast.walk(parse(path)) if isinstance(node, ast.Attribute)}
    assert not names & {"removeprefix", "removesuffix", "bit_count", "is_relative_to"}
