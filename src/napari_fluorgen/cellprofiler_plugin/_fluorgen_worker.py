"""The outside process that stains for VirtualStain: find it, start it, ask it, end it.

CellProfiler takes no file for a module whose name starts with an underscore.
"""

# Runs in CellProfiler's Python 3.8 or 3.9: newer syntax must not be used here.

import atexit
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile

import numpy

PROTOCOL = 1
AUTOMATIC = "Automatic"
# What belongs to CellProfiler's own Python and would break another one.
FOREIGN = ("PYTHON", "__PYVENV_LAUNCHER__")
FROZEN = ("LD_LIBRARY_PATH", "DYLD_", "_MEIPASS")


class VirtualStainError(RuntimeError):
    """One sentence for the user."""


class Worker:
    """The process that stains, and the folder in which arrays are exchanged."""

    def __init__(self, command):
        self.command = command
        self.folder = None
        self.number = 0
        self.errors = tempfile.TemporaryFile()
        try:
            self.process = subprocess.Popen(
                [*command, "worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                env=environment(),
                cwd=tempfile.gettempdir(),
                start_new_session=True,  # Ctrl-C is for CellProfiler, which ends the worker
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise VirtualStainError(
                f"fluorgen cannot be started ({command[0]}: {error.strerror or error}): correct "
                "'Program of fluorgen'."
            )
        try:
            hello = self.ask({"command": "hello"})
        except VirtualStainError:
            self.close()
            raise
        if hello.get("protocol") != PROTOCOL:
            self.close()
            raise VirtualStainError(
                "fluorgen {} does not fit this module: take the module from the folder that "
                "`fluorgen cellprofiler plugin-path` prints.".format(hello.get("version"))
            )
        self.folder = hello["folder"]

    def ask(self, request):
        """Send a request and return its answer, or raise the sentence that came back."""
        self.number += 1
        request = dict(request, id=self.number)
        answer = None
        try:
            self.process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            self.process.stdin.flush()
            # an answer that was not waited for (Ctrl-C) has a smaller number
            while answer is None or answer.get("id") not in (None, self.number):
                line = self.process.stdout.readline()
                answer = json.loads(line.decode("utf-8", "replace"))
        except (OSError, ValueError, AttributeError):
            self.close()
            raise VirtualStainError(
                "{} ended without an answer{}: run `fluorgen doctor` to see whether it "
                "works.".format(" ".join(self.command), self.last_words())
            )
        if not answer.get("ok") and not answer.get("error"):
            raise VirtualStainError(
                "{} answers otherwise than fluorgen's worker does: correct 'Program of fluorgen' "
                "or FLUORGEN_COMMAND.".format(" ".join(self.command))
            )
        if not answer.get("ok"):
            raise VirtualStainError("VirtualStain: {}".format(answer.get("error")))
        return answer

    def last_words(self):
        self.errors.seek(0)
        lines = self.errors.read().decode("utf-8", "replace").strip().splitlines()
        return f" ({lines[-1].strip()[:200]})" if lines else ""

    def write(self, name, data):
        numpy.save(os.path.join(self.folder, name + ".npy"), data, allow_pickle=False)
        return name + ".npy"

    def read(self, name):
        return numpy.load(os.path.join(self.folder, name), allow_pickle=False)

    def close(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        if self.folder is not None:  # left behind where the worker was killed
            shutil.rmtree(self.folder, ignore_errors=True)


def environment():
    """Return the variables of this process without those that concern its own Python."""
    foreign = FOREIGN + FROZEN if getattr(sys, "frozen", False) else FOREIGN
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}


WORKERS = {}


def worker_of(program):
    """Return the running worker of a program; start one where there is none."""
    command = find_command(program)
    worker = WORKERS.get(tuple(command))
    if worker is None or worker.process.poll() is not None:
        worker = WORKERS[tuple(command)] = Worker(command)
    return worker


@atexit.register
def close_workers():
    while WORKERS:
        WORKERS.popitem()[1].close()


def find_command(program):
    """Return the command that starts fluorgen, as a list."""
    program = program.strip()
    if program in ("", AUTOMATIC):
        named = os.environ.get("FLUORGEN_COMMAND")
        if named:
            parts = [named] if os.path.isfile(named) else shlex.split(named)
            return check_command(parts, "FLUORGEN_COMMAND")
        found = beside() or shutil.which("fluorgen")
        if found is None:
            raise VirtualStainError(
                "fluorgen is not found: install napari-fluorgen, and give the path of its program "
                "fluorgen under 'Program of fluorgen' or in FLUORGEN_COMMAND."
            )
        return [found]
    return check_command([os.path.expanduser(program)], "'Program of fluorgen'")


def check_command(parts, where):
    found = shutil.which(parts[0])
    if found is None:
        raise VirtualStainError(
            f"{where} says {parts[0]}, which is no program: give the path of fluorgen."
        )
    if len(parts) == 1 and os.path.basename(found).lower().startswith("python"):
        return [found, "-m", "napari_fluorgen.cli"]
    return [found, *parts[1:]]


def beside():
    """Return the program of the environment that this file is installed in, if it is in one."""
    folder = os.path.dirname(os.path.abspath(__file__))
    while os.path.basename(folder).lower() not in ("lib", "lib64", ""):
        folder = os.path.dirname(folder)
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    return shutil.which("fluorgen", path=os.path.join(os.path.dirname(folder), scripts))
