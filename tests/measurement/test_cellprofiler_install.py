"""Setting up CellProfiler, with a python that pretends to fetch packages."""

from __future__ import annotations

import os
import sys

import pytest

from napari_fluorgen.errors import Cancelled, ExternalToolError, OutputError
from napari_fluorgen.measurement import cellprofiler_install, locate_cellprofiler
from napari_fluorgen.measurement.cellprofiler_find import cellprofiler_dir
from napari_fluorgen.measurement.cellprofiler_install import (
    InstallStep,
    _count_pins,
    install_cellprofiler,
)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the pretended python is a shell script")

# -c: tells its version; -m venv FOLDER: copies itself; -m pip: see PRETEND; -m cellprofiler
PYTHON = """#!/bin/sh
if [ "$1" = "-c" ]; then echo "${PRETEND_VERSION:-3.9}"; exit; fi
case "$2" in
    venv) mkdir -p "$3/bin"; cp "$0" "$3/bin/python";;
    cellprofiler) echo "${PRETEND_CELLPROFILER:-4.2.8.1}";;
    pip)
        case "$*" in *javabridge*) cat "$PIP_CONSTRAINT"; test -f "$JAVA_HOME/include/jni.h";; esac
        echo "Collecting numpy==1.23.5"
        case "$PRETEND" in
            offline) echo "ERROR: No matching distribution found for numpy"; exit 1;;
            full) echo "ERROR: [Errno 28] No space left on device"; exit 1;;
            broken) echo "javabridge.c:1: fatal error: nothing works"; exit 1;;
            sleeps) exec sleep 60;;
        esac;;
esac
"""


@pytest.fixture
def python(tmp_path, monkeypatch):
    """A pretended Python 3.9, a compiler and a JDK on an else empty PATH, and room on the disk."""
    monkeypatch.setattr(cellprofiler_install, "_LEAST_FREE_BYTES", 0)
    program = tmp_path / "bin" / "python3.9"
    program.parent.mkdir()
    program.write_text(PYTHON)
    program.chmod(0o755)
    compiler = program.with_name("cc")
    compiler.write_text("#!/bin/sh\n")
    compiler.chmod(0o755)
    headers = tmp_path / "jdk" / "include"
    headers.mkdir(parents=True)
    (headers / "jni.h").touch()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "no pyenv"))
    monkeypatch.setenv("FLUORGEN_CELLPROFILER_DIR", str(tmp_path / "kept here"))
    monkeypatch.delenv("FLUORGEN_CELLPROFILER", raising=False)
    return program


def install(**options):
    steps, names = install_cellprofiler(**options), []
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value, names
        assert isinstance(step, InstallStep)
        assert step.done <= step.total or not step.total
        names.append(step.name)


def test_what_is_installed_is_found(python):
    made, names = install()
    assert list(dict.fromkeys(names)) == [
        "looking for Python 3.9",
        "making the environment",
        "fetching packages",
        "compiling python-javabridge",
        "starting CellProfiler",
    ]
    assert made.version == "4.2.8.1"
    found = locate_cellprofiler()
    assert found.command == made.command
    assert found.origin == "installed by fluorgen"
    assert "numpy==1.26.4" in (cellprofiler_dir() / "install.log").read_text()
    with pytest.raises(OutputError, match=r"installed in .* already"):
        install()
    install(overwrite=True)


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("offline", "the network does not answer.*check it and its proxy"),
        ("full", "the disk is full.*free some space"),
        ("broken", r"nothing works.*install\.log"),
    ],
)
def test_failures_are_one_sentence_and_leave_the_log_alone(python, monkeypatch, way, words):
    monkeypatch.setenv("PRETEND", way)
    with pytest.raises(ExternalToolError, match=words) as caught:
        install()
    assert "\n" not in str(caught.value)
    assert [path.name for path in cellprofiler_dir().iterdir()] == ["install.log"]
    assert locate_cellprofiler() is None


def test_a_disk_without_room_is_told_before_anything_is_made(python, monkeypatch):
    monkeypatch.setattr(cellprofiler_install, "_LEAST_FREE_BYTES", 10**18)
    with pytest.raises(OutputError, match=r"less than 2 GB left.*free some space"):
        install()
    assert not list(cellprofiler_dir().iterdir())


def test_a_program_that_does_not_start_is_no_installation(python, monkeypatch):
    monkeypatch.setenv("PRETEND_CELLPROFILER", "Segmentation fault")
    with pytest.raises(ExternalToolError, match="does not tell the version"):
        install()
    monkeypatch.setenv("PRETEND_CELLPROFILER", "4.2.1")
    with pytest.raises(ExternalToolError, match=r"has CellProfiler 4\.2\.1, 4\.2\.8\.1 was"):
        install()
    assert locate_cellprofiler() is None


def test_stopping_leaves_nothing(python, monkeypatch):
    monkeypatch.setenv("PRETEND", "sleeps")
    log = cellprofiler_dir() / "install.log"
    with pytest.raises(Cancelled, match="nothing of it is left"):
        install(should_stop=lambda: "Collecting" in log.read_text())
    assert [path.name for path in cellprofiler_dir().iterdir()] == ["install.log"]


def test_missing_tools_are_named_with_how_to_get_them(python, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(ExternalToolError, match=r"without a C compiler .*build-essential"):
        install()
    assert not cellprofiler_dir().exists() or not list(cellprofiler_dir().iterdir())


def test_a_python_that_is_named_must_be_3_9(python, tmp_path):
    with pytest.raises(ExternalToolError, match=r"is no Python 3\.9"):
        install(python=sys.executable)
    with pytest.raises(ExternalToolError, match=r"is no Python 3\.9"):
        install(python=tmp_path / "gone")


def test_without_python_uv_is_asked(python, monkeypatch):
    monkeypatch.setenv("PRETEND_VERSION", "3.8")
    uv = python.with_name("uv")
    uv.write_text("#!/bin/sh\necho 'error: dns error: no such host' >&2\nexit 2\n")
    uv.chmod(0o755)
    with pytest.raises(
        ExternalToolError, match=r"fetching Python 3\.9 failed .*name it with --python"
    ):
        install()
    uv.write_text(
        '#!/bin/sh\nat="$UV_PYTHON_INSTALL_DIR/cpython-3.9.25-linux/bin"\nmkdir -p "$at"\n'
        f'cp {python} "$at/python3.9"\n'
    )
    made, names = install()
    assert "fetching Python 3.9" in names
    assert made.version == "4.2.8.1"


def test_folders_of_the_user_are_left_alone(python, monkeypatch):
    monkeypatch.setenv("PRETEND_VERSION", "3.8")
    uv = python.with_name("uv")
    uv.write_text("#!/bin/sh\nexit 2\n")
    uv.chmod(0o755)
    for name in ("uv", "python"):
        (cellprofiler_dir() / name).mkdir(parents=True)
        (cellprofiler_dir() / name / "mine.txt").write_text("mine")
    with pytest.raises(ExternalToolError):
        install()
    left = sorted(path.name for path in cellprofiler_dir().rglob("*"))
    assert left == ["install.log", "mine.txt", "mine.txt", "python", "uv"]


def test_pins_are_exact():
    assert _count_pins() > 40
