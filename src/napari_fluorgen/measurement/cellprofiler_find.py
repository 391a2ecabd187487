"""Find the real CellProfiler, an outside program, on this machine."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_fluorgen.errors import ExternalToolError, InputError
from napari_fluorgen.io.atomic import atomic_path

ENVIRONMENT_VARIABLE = "FLUORGEN_CELLPROFILER"
"""Names the program ``cellprofiler`` or the python that it is installed in."""

FOLDER_VARIABLE = "FLUORGEN_CELLPROFILER_DIR"
"""Names the folder of the environment that ``fluorgen cellprofiler install`` makes."""

VERSION = "4.2.8.1"
"""The CellProfiler that everything is tested with, and that is installed."""

COMPLETE = "fluorgen-complete"
"""Marks an environment of ours whose installation came to its end."""

_SETTING = "program.txt"
_VERSION_S = 120
_NUMBER = re.compile(r"\d+(?:\.\d+)+")


@dataclass(frozen=True)
class CellProfiler:
    """A CellProfiler that was found.

    Attributes
    ----------
    command : tuple of str
        What starts it.
    version : str or None
        None where it does not tell without being started.
    origin : str
        Where it was found, in words.
    """

    command: tuple[str, ...]
    version: str | None
    origin: str

    @property
    def program(self) -> str:
        """The program's path."""
        return self.command[0]

    @property
    def sentence(self) -> str:
        """What was found, for the user."""
        return f"CellProfiler{f' {self.version}' if self.version else ''} found at {self.program}"


def locate_cellprofiler(program: str | Path | None = None) -> CellProfiler | None:
    """Look for CellProfiler: the first of the places below that has it.

    `program`; ``FLUORGEN_CELLPROFILER``; what `remember_cellprofiler` keeps; the environment
    that `install_cellprofiler` made; PATH; the application folders of Windows and macOS.

    Parameters
    ----------
    program : path-like, optional
        The program, or the python it is installed in.

    Returns
    -------
    CellProfiler or None
        None where there is none.

    Raises
    ------
    ExternalToolError
        When what `program` or ``FLUORGEN_CELLPROFILER`` names does not exist.
    """
    named = program or os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        command = command_of(named)
        if command is None:
            where = "" if program else f"{ENVIRONMENT_VARIABLE} says "
            raise ExternalToolError(
                f"{where}{named} is no program: give the path of CellProfiler 4.2, for example "
                "/opt/cellprofiler/bin/cellprofiler."
            )
        return _found(command, "as named" if program else ENVIRONMENT_VARIABLE)
    for candidate, origin in _usual_places():
        command = command_of(candidate)
        if command is not None:
            return _found(command, origin)
    return None


def find_cellprofiler(program: str | Path | None = None) -> tuple[str, ...] | None:
    """Return the command that starts CellProfiler, or None where there is none.

    Parameters and errors are those of `locate_cellprofiler`.
    """
    found = locate_cellprofiler(program)
    return found.command if found else None


def require_cellprofiler(program: str | Path | None = None) -> CellProfiler:
    """Return the CellProfiler that `locate_cellprofiler` finds.

    Raises
    ------
    ExternalToolError
        There is none; says how to get one.
    """
    found = locate_cellprofiler(program)
    if found is None:
        raise ExternalToolError(
            "CellProfiler was not found: install it with `fluorgen cellprofiler install`, or name "
            f"its program with {ENVIRONMENT_VARIABLE}."
        )
    return found


def command_of(program: str | Path) -> tuple[str, ...] | None:
    """Return what starts a program, which may be the python that CellProfiler is installed in."""
    found = shutil.which(str(Path(program).expanduser()))
    if found is None:
        return None
    # not resolved: the python of an environment is a link, and finds its packages by the link
    if Path(found).stem.lower().startswith("python"):
        return (found, "-m", "cellprofiler")
    return (found,)


def remember_cellprofiler(program: str | Path | None) -> None:
    """Keep the path of CellProfiler for this user; None forgets it.

    Raises
    ------
    InputError
        `program` is no program.
    OutputError
        The setting cannot be written.
    """
    path = cellprofiler_dir() / _SETTING
    if program is None:
        path.unlink(missing_ok=True)
        return
    command = command_of(program)
    if command is None:
        raise InputError(
            f"{program} is no program: choose the file that starts CellProfiler 4.2, or its python."
        )
    with atomic_path(path, overwrite=True) as temporary:
        temporary.write_text(str(Path(command[0]).absolute()), encoding="utf-8")


def cellprofiler_dir() -> Path:
    """Folder of what is kept about CellProfiler: FLUORGEN_CELLPROFILER_DIR or the user's data."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).expanduser().absolute()
    from platformdirs import user_data_path

    return user_data_path("napari-fluorgen", appauthor=False) / "cellprofiler"


def environment_folder() -> Path:
    """Folder of the environment that `install_cellprofiler` makes."""
    return cellprofiler_dir() / VERSION


def python_of(environment: Path) -> Path:
    """Return the python of a virtual environment."""
    if sys.platform == "win32":
        return environment / "Scripts" / "python.exe"
    return environment / "bin" / "python"


def _usual_places() -> Iterator[tuple[str | Path, str]]:
    setting = cellprofiler_dir() / _SETTING
    if setting.is_file():
        yield setting.read_text(encoding="utf-8").strip(), "setting"
    if (environment_folder() / COMPLETE).is_file():
        yield python_of(environment_folder()), "installed by fluorgen"
    yield "cellprofiler", "PATH"
    for path in _applications():
        yield path, "applications"


def _applications() -> Iterator[Path]:
    """Programs in the usual application folders, the newest version first."""
    names = ("ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA")
    roots = [Path(os.environ[name]) for name in names if os.environ.get(name)]
    places: dict[str, tuple[list[Path], str]] = {
        "darwin": (
            [Path("/Applications"), Path.home() / "Applications"],
            "CellProfiler*.app/Contents/MacOS/cp",
        ),
        "win32": (
            [folder for root in roots for folder in (root, root / "Programs")],
            "CellProfiler*/CellProfiler.exe",
        ),
    }
    folders, pattern = places.get(sys.platform, ([], "*"))
    for folder in folders:
        yield from sorted(folder.glob(pattern), key=_version_in_name, reverse=True)


def _version_in_name(path: Path) -> tuple[int, ...]:
    found = _NUMBER.search(str(path))
    return tuple(map(int, found[0].split("."))) if found else ()


def _found(command: tuple[str, ...], origin: str) -> CellProfiler:
    return CellProfiler(command, _version(Path(command[0])), origin)


def _version(program: Path) -> str | None:
    """Read the version from what lies beside the program, without starting it."""
    # a link to the program stands elsewhere (pipx); a python that is a link stands in its place
    for place in dict.fromkeys((program.parent.parent, program.resolve().parent.parent)):
        for pattern in ("lib/python*/site-packages", "Lib/site-packages"):
            for packages in place.glob(pattern):
                for record in packages.glob("cellprofiler-*.dist-info"):
                    return record.name.removesuffix(".dist-info").removeprefix("cellprofiler-")
        properties = place / "Info.plist"
        if properties.is_file():
            try:
                return str(plistlib.loads(properties.read_bytes())["CFBundleShortVersionString"])
            except (KeyError, ValueError, plistlib.InvalidFileException):
                return None
    found = _NUMBER.search(program.parent.name)
    return found[0] if found else None


def ask_version(found: CellProfiler) -> str:
    """Start CellProfiler and return the version that it prints, in seconds to a minute.

    Raises
    ------
    ExternalToolError
        It does not start, or is no CellProfiler.
    """
    try:
        done = subprocess.run(
            [*found.command, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=_VERSION_S,
            env=clean_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExternalToolError(
            f"CellProfiler cannot be started ({found.program}: "
            f"{getattr(error, 'strerror', None) or 'no answer'}): check {ENVIRONMENT_VARIABLE}."
        ) from error
    numbers = _NUMBER.findall(done.stdout)
    if not numbers:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise ExternalToolError(
            f"{found.program} does not tell the version of CellProfiler "
            f"({lines[-1][:200] if lines else 'it printed nothing'}): name another program with "
            f"{ENVIRONMENT_VARIABLE}, or install one with `fluorgen cellprofiler install`."
        )
    return numbers[-1]


# What belongs to the environment that runs us and would break the one of CellProfiler.
_FOREIGN = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def clean_environment() -> dict[str, str]:
    """Return the variables for a process of CellProfiler."""
    kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    # several processes share the cores, and texture takes 70 times longer with many BLAS threads
    return kept | {"PYTHONUTF8": "1"} | dict.fromkeys(_THREADS, "1")
