"""Set up the real CellProfiler in an environment of its own.

CellProfiler 4.2.8.1 pins packages of 2021 that no environment with napari can hold, so that it
gets a Python 3.9 of its own, with the versions it was tested with here. Its window (wxPython) is
left out. One package, python-javabridge, is compiled, which takes a C compiler and a JDK.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from napari_fluorgen.errors import ExternalToolError, OutputError
from napari_fluorgen.io.atomic import atomic_path, ensure_folder
from napari_fluorgen.measurement.cellprofiler_find import (
    COMPLETE,
    VERSION,
    CellProfiler,
    ask_version,
    clean_environment,
    environment_folder,
    python_of,
)
from napari_fluorgen.measurement.processes import follow, started

PYTHON = "3.9"
_BRIDGE = "python-javabridge==4.0.5"
_BRIDGE_NEEDS = "cython<3\nnumpy==1.26.4\nsetuptools<65\n"
_PINS = Path(__file__).with_name("cellprofiler_pins.txt")
_LEAST_FREE_BYTES = 2_000_000_000
_BY_HAND = (
    "or install CellProfiler 4.2 from cellprofiler.org and name its program with "
    "FLUORGEN_CELLPROFILER"
)
_REQUIREMENT = re.compile(r"^(?:Collecting|Processing|Requirement already)", re.MULTILINE)
_OFFLINE = re.compile(
    "NameResolutionError|NewConnectionError|ConnectTimeoutError|ProxyError|Network is unreachable"
    "|Temporary failure in name resolution|No matching distribution|dns error|SSLError"
)
_FULL = re.compile("No space left on device|Disk quota exceeded")


@dataclass(frozen=True)
class InstallStep:
    """What the installation does now; `done` of `total` packages are fetched."""

    name: str
    done: int = 0
    total: int = 0


def install_cellprofiler(
    *,
    python: str | Path | None = None,
    overwrite: bool = False,
    should_stop: Callable[[], bool] | None = None,
) -> Generator[InstallStep, None, CellProfiler]:
    """Make the environment that `locate_cellprofiler` finds; takes 0.8 GB and some minutes.

    Parameters
    ----------
    python : path-like, optional
        A Python 3.9; without it one is looked for, and else fetched with uv.
    overwrite : bool
        Whether an environment that stands may be made anew.
    should_stop : callable, optional
        Asked several times a second.

    Yields
    ------
    InstallStep

    Returns
    -------
    CellProfiler

    Raises
    ------
    ExternalToolError
        A Python 3.9, a compiler, a JDK or the network is missing, or the result does not start.
        The log stays beside the folder; nothing else does.
    OutputError
        An environment stands already, or the disk is full.
    Cancelled
        When `should_stop` returned true.
    """
    folder = environment_folder()
    if (folder / COMPLETE).is_file() and not overwrite:
        raise OutputError(
            f"CellProfiler is installed in {folder} already: ask for overwriting to install it "
            "anew."
        )
    building = _compilers()
    ensure_folder(folder.parent)
    if shutil.disk_usage(folder.parent).free < _LEAST_FREE_BYTES:
        raise OutputError(
            f"The disk of {folder.parent} has less than 2 GB left, which CellProfiler needs while "
            "it is installed: free some space or name another folder with "
            "FLUORGEN_CELLPROFILER_DIR."
        )
    log = folder.with_name("install.log")
    log.write_bytes(b"")
    installer = _Installer(log, should_stop)
    yield InstallStep("looking for Python 3.9")
    base = yield from _python(python, folder.parent, installer)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield InstallStep("making the environment")
        yield from installer.run([base, "-m", "venv", folder], "making the environment")
        options = ("--no-input", "--progress-bar=off", "--disable-pip-version-check", "--no-deps")
        pip = (python_of(folder), "-m", "pip", "install", *options)
        yield from installer.run([*pip, "-r", _PINS], "fetching packages", total=_count_pins())
        needs = folder / "build.txt"
        needs.write_text(_BRIDGE_NEEDS, encoding="utf-8")
        building |= {"PIP_CONSTRAINT": str(needs), "PIP_BUILD_CONSTRAINT": str(needs)}
        yield InstallStep("compiling python-javabridge")
        yield from installer.run([*pip, _BRIDGE], "compiling python-javabridge", more=building)
        yield InstallStep("starting CellProfiler")
        made = CellProfiler((str(python_of(folder)), "-m", "cellprofiler"), VERSION, "installed")
        found = ask_version(made)
        if found != VERSION:
            raise ExternalToolError(
                f"The environment in {folder} has CellProfiler {found}, {VERSION} was installed: "
                f"see {log}."
            )
        with atomic_path(folder / COMPLETE, overwrite=True) as marker:
            marker.write_text(VERSION, encoding="utf-8")
    finally:
        if not (folder / COMPLETE).is_file():
            shutil.rmtree(folder, ignore_errors=True)
    return made


def _count_pins() -> int:
    lines = _PINS.read_text(encoding="utf-8").splitlines()
    return sum(not line.startswith("#") for line in lines)


@dataclass(frozen=True)
class _Installer:
    log: Path
    should_stop: Callable[[], bool] | None

    def run(
        self,
        arguments: Sequence[str | Path],
        name: str,
        *,
        total: int = 0,
        more: Mapping[str, str] | None = None,
    ) -> Iterator[InstallStep]:
        """Run a program to its end; raises one sentence where it fails."""
        done, text = 0, ""
        try:
            with started(arguments, self.log, clean_environment() | dict(more or {})) as running:
                for added in follow(
                    running,
                    self.should_stop,
                    stopped="The installation of CellProfiler was stopped; nothing of it is left.",
                ):
                    text += added
                    if total:
                        done = min(len(_REQUIREMENT.findall(text)), total)
                        yield InstallStep(name, done, total)
        except OSError as error:
            raise ExternalToolError(
                f"{arguments[0]} cannot be started ({error.strerror or error}): name another "
                f"Python {PYTHON}, {_BY_HAND}."
            ) from error
        if running.process.returncode:
            raise self._failed(name, text)

    def _failed(self, name: str, text: str) -> ExternalToolError:
        if _FULL.search(text):
            reason, advice = "the disk is full", "free some space"
        elif _OFFLINE.search(text):
            reason = "the network does not answer"
            advice = "check it and its proxy"
            if PYTHON in name:
                advice += f", install Python {PYTHON} by hand and name it with --python"
        else:
            lines = [line.strip() for line in text.splitlines() if "rror" in line]
            reason = lines[0][:200] if lines else "no reason was given"
            advice = f"see {self.log}"
        return ExternalToolError(
            f"CellProfiler could not be installed, {name} failed ({reason}): {advice}, {_BY_HAND}."
        )


def _compilers() -> dict[str, str]:
    """Return the variables that compiling needs; raise where a compiler or JDK is missing."""
    missing = []
    if sys.platform != "win32" and not any(map(shutil.which, ("cc", "gcc", "clang"))):
        missing.append("a C compiler (Debian: build-essential)")
    java = _java_home()
    if java is None:
        missing.append("a Java development kit (Debian: openjdk-17-jdk-headless)")
    if java is None or missing:
        raise ExternalToolError(
            f"CellProfiler cannot be installed without {' and '.join(missing)}: install that, "
            f"{_BY_HAND}."
        )
    return {"JAVA_HOME": str(java)}


def _java_home() -> Path | None:
    """Return the folder of a JDK: with the compiler and the headers, not only the run time."""
    candidates = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    compiler = shutil.which("javac")
    if compiler:
        candidates.append(Path(compiler).resolve().parents[1])
    for folder, pattern in (
        ("/usr/lib/jvm", "*"),
        ("/Library/Java/JavaVirtualMachines", "*/Contents/Home"),
    ):
        candidates += sorted(Path(folder).glob(pattern), reverse=True)
    return next((place for place in candidates if (place / "include" / "jni.h").is_file()), None)


def _python(
    named: str | Path | None, folder: Path, installer: _Installer
) -> Generator[InstallStep, None, str]:
    """Return a Python 3.9: the named one, one of this machine, or one that uv fetches."""
    for candidate in [named] if named else _pythons():
        found = shutil.which(str(Path(candidate).expanduser()))
        if found and _asked(found) == PYTHON:
            return found
    if named:
        raise ExternalToolError(f"{named} is no Python {PYTHON}: name one, {_BY_HAND}.")
    return (yield from _fetch_python(folder, installer))


def _fetch_python(folder: Path, installer: _Installer) -> Generator[InstallStep, None, str]:
    """Fetch a Python with uv, which is fetched as well where there is none."""
    name = f"fetching Python {PYTHON}"
    yield InstallStep(name)
    # `folder` may be one of the user's: nothing is deleted there that was not made here
    tool, place = Path(mkdtemp(prefix=".uv-", dir=folder)), folder / "fluorgen-python"
    stood = place.exists()
    found: list[Path] = []
    try:
        uv = shutil.which("uv")
        if uv is None:
            fetch = [sys.executable, "-m", "pip", "install", "--no-input", "--upgrade"]
            yield from installer.run([*fetch, "--target", tool, "uv"], name)
            uv = str(tool / "bin" / "uv")
        more = {"UV_PYTHON_INSTALL_DIR": str(place), "UV_PYTHON_PREFERENCE": "managed"}
        yield from installer.run([uv, "python", "install", PYTHON], name, more=more)
        pattern = "python.exe" if sys.platform == "win32" else "bin/python3.9"
        found = sorted(place.glob(f"cpython-{PYTHON}*/{pattern}"))
    finally:
        shutil.rmtree(tool, ignore_errors=True)
        if not found and not stood:
            shutil.rmtree(place, ignore_errors=True)
    if not found:
        raise ExternalToolError(
            f"Python {PYTHON} could not be fetched: install one and name it with --python, "
            f"{_BY_HAND}."
        )
    return str(found[-1])


def _pythons() -> Iterator[str | Path]:
    yield f"python{PYTHON}"
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    yield from sorted(root.glob(f"{PYTHON}.*/bin/python"), reverse=True)
    if sys.platform == "win32":
        places = (os.environ.get("LOCALAPPDATA", ""), "Programs", "Python", "Python39")
        yield Path(*places) / "python.exe"


def _asked(python: str) -> str:
    """Return the version that a python says it is, as 3.9; empty where it does not start."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [python, "-c", code],
            capture_output=True,
            text=True,
            env=clean_environment(),
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
