"""Where CellProfiler is looked for."""

from __future__ import annotations

import plistlib
import shutil
import sys
from pathlib import Path

import pytest

from napari_fluorgen.errors import ExternalToolError, InputError
from napari_fluorgen.measurement import cellprofiler_find as places
from napari_fluorgen.measurement import locate_cellprofiler, remember_cellprofiler
from napari_fluorgen.measurement.cellprofiler_find import ask_version, cellprofiler_dir

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs are shell scripts")


def program(path: Path, text: str = "#!/bin/sh\necho 4.2.8.1\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_nearest_place_counts(no_cellprofiler, tmp_path, monkeypatch):
    assert locate_cellprofiler() is None
    on_path = program(tmp_path / "path" / "cellprofiler")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert locate_cellprofiler().command == (str(on_path),)
    installed = program(cellprofiler_dir() / places.VERSION / "bin" / "python")
    assert locate_cellprofiler().origin == "PATH", "an installation that is not complete"
    (installed.parents[1] / places.COMPLETE).touch()
    assert locate_cellprofiler().command == (str(installed), "-m", "cellprofiler")
    kept = program(tmp_path / "kept" / "cellprofiler")
    remember_cellprofiler(kept)
    assert (locate_cellprofiler().program, locate_cellprofiler().origin) == (str(kept), "setting")
    monkeypatch.setenv("FLUORGEN_CELLPROFILER", str(on_path))
    assert locate_cellprofiler().origin == "FLUORGEN_CELLPROFILER"
    assert locate_cellprofiler(installed).program == str(installed)
    monkeypatch.delenv("FLUORGEN_CELLPROFILER")
    remember_cellprofiler(None)
    assert locate_cellprofiler().origin == "installed by fluorgen"


def test_a_setting_that_is_gone_is_passed_over(no_cellprofiler, tmp_path):
    kept = program(tmp_path / "kept" / "cellprofiler")
    remember_cellprofiler(kept)
    kept.unlink()
    assert locate_cellprofiler() is None
    with pytest.raises(InputError, match="is no program"):
        remember_cellprofiler(kept)


def test_versions_are_read_without_starting(no_cellprofiler, tmp_path):
    there = program(tmp_path / "env" / "bin" / "cellprofiler", "#!/bin/sh\nexit 1\n")
    assert locate_cellprofiler(there).version is None
    (tmp_path / "env/lib/python3.9/site-packages/cellprofiler-4.2.5.dist-info").mkdir(parents=True)
    assert locate_cellprofiler(there).version == "4.2.5"
    link = tmp_path / "local" / "bin" / "cellprofiler"
    link.parent.mkdir(parents=True)
    link.symlink_to(there)
    assert locate_cellprofiler(link).version == "4.2.5"
    assert locate_cellprofiler(link).sentence == f"CellProfiler 4.2.5 found at {link}"


@pytest.mark.parametrize(
    ("platform", "paths", "version"),
    [
        ("darwin", ("{}/Applications/CellProfiler.app/Contents/MacOS/cp",), "4.2.8"),
        ("win32", tuple(f"{{}}/CellProfiler-4.2.{n}/CellProfiler.exe" for n in (1, 8)), "4.2.8"),
        ("win32", ("{}/Programs/CellProfiler/CellProfiler.exe",), None),
    ],
)  # fmt: skip
def test_applications(no_cellprofiler, tmp_path, monkeypatch, platform, paths, version):
    made = [program(Path(path.format(tmp_path))) for path in paths]
    if platform == "darwin":
        properties = {"CFBundleShortVersionString": version}
        (made[-1].parents[1] / "Info.plist").write_bytes(plistlib.dumps(properties))
    # On Windows it asks the system, which this one cannot answer.
    monkeypatch.setattr(shutil, "which", lambda name, **_: name if Path(name).is_file() else None)
    monkeypatch.setattr(places.sys, "platform", platform)
    monkeypatch.setattr(places.Path, "home", lambda: tmp_path)
    monkeypatch.setenv("ProgramFiles", str(tmp_path))
    found = locate_cellprofiler()
    assert (found.program, found.version, found.origin) == (str(made[-1]), version, "applications")


def test_the_version_is_asked(no_cellprofiler, tmp_path):
    assert ask_version(locate_cellprofiler(program(tmp_path / "cellprofiler"))) == "4.2.8.1"
    broken = program(tmp_path / "broken", "#!/bin/sh\necho 'ImportError: no numpy' >&2\nexit 1\n")
    with pytest.raises(ExternalToolError, match="ImportError: no numpy"):
        ask_version(locate_cellprofiler(broken))
    none = program(tmp_path / "none", "#!/nowhere/python\n")
    with pytest.raises(ExternalToolError, match="cannot be started"):
        ask_version(locate_cellprofiler(none))
