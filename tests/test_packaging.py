"""What an installed copy contains: built here as pip would build it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "napari_fluorgen"

# The directory or archive that a build backend's hook writes to comes as an argument.
BUILD = "import sys, hatchling.build as b; print(getattr(b, sys.argv[1])(sys.argv[2]))"

FIND_MANIFEST = """
import importlib.metadata, pathlib, napari_fluorgen, npe2
print(pathlib.Path(napari_fluorgen.__file__).parent)
manifest = npe2.PluginManifest.from_distribution("napari-fluorgen")
print(manifest.name)
"""


def build(hook: str, folder: Path) -> Path:
    """Call a hook of the build backend on the repository, in a process of its own."""
    run = subprocess.run(
        [sys.executable, "-c", BUILD, hook, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return folder / run.stdout.split()[-1]


def unpack(archive: Path, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as wheel:
        wheel.extractall(folder)
    return folder


def run_installed(script: str, *entries: Path) -> list[str]:
    """Run a script with these entries first on the import path; return the lines it prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, entries))}
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=entries[0],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("build_wheel", tmp_path_factory.mktemp("wheel"))


def names_below(folder: Path, prefix: str) -> set[str]:
    """Name the files below a folder as the wheel should."""
    return {
        prefix + path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.slow
def test_wheel_contains_source_manifest_models_and_samples(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    assert "napari_fluorgen/napari.yaml" in packed
    assert "napari_fluorgen/py.typed" in packed
    assert "napari_fluorgen/cellprofiler_plugin/virtualstain_example.cppipe" in packed
    for module in SOURCE.rglob("*.py"):
        assert f"napari_fluorgen/{module.relative_to(SOURCE).as_posix()}" in packed
    models = names_below(SOURCE / "models" / "packages", "napari_fluorgen/models/packages/")
    samples = names_below(ROOT / "sample_data", "napari_fluorgen/sample_data/")
    assert models
    assert samples
    assert models | samples <= packed


@pytest.mark.slow
def test_wheel_contains_nothing_else(wheel: Path) -> None:
    packed = zipfile.ZipFile(wheel).namelist()
    foreign = [n for n in packed if not n.startswith(("napari_fluorgen/", "napari_fluorgen-"))]
    assert foreign == []
    assert not [n for n in packed if n.endswith((".pyc", ".ckpt", ".pth")) or "/tests/" in n]


@pytest.mark.slow
def test_licence_is_declared_by_expression(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    lines = archive.read(metadata).decode().splitlines()
    assert "License-Expression: BSD-3-Clause" in lines
    assert "License-File: LICENSE" in lines


@pytest.mark.slow
def test_napari_finds_the_manifest_of_a_wheel(wheel: Path, tmp_path: Path) -> None:
    pytest.importorskip("npe2")
    folder, name = run_installed(FIND_MANIFEST, unpack(wheel, tmp_path / "site"))
    assert Path(folder) == tmp_path / "site" / "napari_fluorgen"
    assert name == "napari-fluorgen"


@pytest.mark.slow
def test_napari_finds_the_manifest_of_an_editable_install(tmp_path: Path) -> None:
    pytest.importorskip("npe2")
    site = unpack(build("build_editable", tmp_path), tmp_path / "site")
    (link,) = site.glob("*.pth")
    folder, name = run_installed(FIND_MANIFEST, site, Path(link.read_text().strip()))
    assert Path(folder) == SOURCE
    assert name == "napari-fluorgen"


def test_manifest_at_the_top_level_is_the_one_in_the_package() -> None:
    top = ROOT / "napari.yaml"
    if not top.is_symlink():
        pytest.skip("this checkout has no symbolic links")
    assert top.resolve() == SOURCE / "napari.yaml"
