"""The part of the module that finds, starts and asks the worker; it needs no CellProfiler."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

import napari_fluorgen

SOURCE = Path(napari_fluorgen.__file__).parent / "cellprofiler_plugin" / "_fluorgen_worker.py"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the programs are shell scripts")


@pytest.fixture
def client(monkeypatch):
    """The file as CellProfiler loads it; no fluorgen on PATH or beside it."""
    spec = importlib.util.spec_from_file_location("_fluorgen_worker", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv("FLUORGEN_COMMAND", raising=False)
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    monkeypatch.setattr(module, "beside", lambda: None)
    yield module
    module.close_workers()


def program(folder: Path, text: str, name: str = "fluorgen") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_setting_goes_before_the_variable_and_that_before_path(client, monkeypatch, tmp_path):
    on_path = program(tmp_path / "bin", "true")
    in_setting = program(tmp_path / "a b", "true")
    monkeypatch.setenv("PATH", f"{on_path.parent}:/bin")
    assert client.find_command("Automatic") == [str(on_path)]
    monkeypatch.setenv("FLUORGEN_COMMAND", f"{sys.executable} -m napari_fluorgen.cli")
    assert client.find_command("") == [sys.executable, "-m", "napari_fluorgen.cli"]
    assert client.find_command(str(in_setting)) == [str(in_setting)]
    monkeypatch.setenv("FLUORGEN_COMMAND", str(in_setting))
    assert client.find_command("Automatic") == [str(in_setting)]


def test_a_python_stands_for_the_package_in_it(client):
    assert client.find_command(sys.executable) == [sys.executable, "-m", "napari_fluorgen.cli"]


def test_a_module_in_an_environment_finds_its_program(tmp_path):
    copy = tmp_path / "env/lib/python3.11/site-packages/napari_fluorgen/cellprofiler_plugin"
    copy.mkdir(parents=True)
    (copy / SOURCE.name).write_text(SOURCE.read_text())
    spec = importlib.util.spec_from_file_location("_copy", copy / SOURCE.name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.beside() is None
    found = program(tmp_path / "env" / "bin", "true")
    assert module.beside() == str(found)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("Automatic", "fluorgen is not found: install napari-fluorgen"),
        ("/nowhere/fluorgen", "'Program of fluorgen' says /nowhere/fluorgen"),
        ("/bin/false", "/bin/false ended without an answer: run `fluorgen doctor`"),
        ("{folder}/loud", "loud ended without an answer (libfoo is missing)"),
        ("{folder}/old", "fluorgen 0.0.1 does not fit this module"),
        ("{folder}/number", "number ended without an answer"),
        ("{folder}/other", "other answers otherwise than fluorgen's worker does: correct"),
    ],
)
def test_what_does_not_work_is_said_in_one_sentence(client, tmp_path, setting, words):
    program(tmp_path, "echo libfoo is missing >&2; exit 3", "loud")
    program(tmp_path, 'read x; echo \'{"id": 1, "ok": true, "version": "0.0.1"}\'', "old")
    program(tmp_path, "read x; echo 5", "number")
    program(tmp_path, "read x; echo '{\"id\": 1}'; read x", "other")
    with pytest.raises(client.VirtualStainError) as error:
        client.worker_of(setting.format(folder=tmp_path))
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert client.WORKERS == {}


@pytest.mark.parametrize("answer", ['{"id": 1}', '{"id": 1, "ok": false, "error": "Full."}'])
def test_a_program_that_does_not_say_hello_is_ended(client, monkeypatch, tmp_path, answer):
    started = []
    popen = client.subprocess.Popen
    monkeypatch.setattr(
        client.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[-1]
    )
    other = program(tmp_path, f"read x; echo '{answer}'; read x", "other")
    with pytest.raises(client.VirtualStainError):
        client.worker_of(str(other))
    assert started[0].returncode is not None
    assert started[0].stdout.closed


def test_one_worker_serves_all_requests_and_is_started_again_when_it_died(client, tmp_path):
    worker = client.worker_of(sys.executable)
    assert client.worker_of(sys.executable) is worker
    folder = Path(worker.folder)
    assert folder.is_dir()
    with pytest.raises(client.VirtualStainError, match=r"VirtualStain: .*no 'command'"):
        worker.ask({})
    worker.process.kill()
    with pytest.raises(client.VirtualStainError, match="ended without an answer"):
        worker.ask({"command": "hello"})
    assert not folder.exists()
    second = client.worker_of(sys.executable)
    assert second is not worker
    client.close_workers()
    assert second.process.returncode == 0
    assert not Path(second.folder).exists()


def test_an_answer_that_nobody_waited_for_is_passed_over(client):
    worker = client.worker_of(sys.executable)
    worker.number += 1
    worker.process.stdin.write(b'{"command": "hello", "id": 2}\n')
    answer = worker.ask({"command": "hello"})
    assert answer["id"] == 3
    assert answer["process"] == worker.process.pid


def test_the_worker_is_free_of_cellprofilers_python(client, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/opt/cellprofiler")
    monkeypatch.setenv("PYTHONPATH", "/opt/cellprofiler/lib")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/cuda")
    kept = client.environment()
    assert not [name for name in kept if name.startswith("PYTHON")]
    assert kept["LD_LIBRARY_PATH"] == "/opt/cuda"
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert "LD_LIBRARY_PATH" not in client.environment()
    assert kept["PATH"] == os.environ["PATH"]
