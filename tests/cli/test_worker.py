"""`fluorgen worker` as a process: what it says, and when it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "napari_fluorgen.cli", "worker"]


def test_requests_are_answered_until_there_are_no_more(installed):
    lines = [{"command": "hello", "id": 1}, {"command": "check", "settings": {"model": "tiny"}}]
    asked = "".join(json.dumps(line) + "\n" for line in lines) + "nonsense\n"
    run = subprocess.run(COMMAND, input=asked, capture_output=True, text=True, timeout=120)
    hello, checked, refused = map(json.loads, run.stdout.splitlines())
    assert run.returncode == 0, run.stderr
    assert hello["id"] == 1
    assert checked["model"] == "tiny"
    assert not refused["ok"]
    assert not Path(hello["folder"]).exists()


def test_what_libraries_print_does_not_reach_the_answers():
    script = (
        "import sys; from napari_fluorgen.cli import worker\n"
        "from napari_fluorgen.workflow.worker import Worker\n"
        "def hello(self, request):\n"
        "    print('from Python', flush=True)\n"
        "    import os; os.write(1, b'from below\\n')\n"
        "    return {}\n"
        "Worker._hello = hello\n"
        "worker.worker()"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        input='{"command": "hello"}\n',
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert json.loads(run.stdout) == {"id": None, "ok": True}
    assert "from Python" in run.stderr
    assert "from below" in run.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps the number of a dead parent")
def test_the_worker_ends_with_its_parent_though_stdin_stays_open():
    # this test keeps the writing end of the worker's stdin, the parent between them is killed
    reading, writing = os.pipe()
    script = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen({COMMAND!r}, stdin=int(sys.argv[1]), pass_fds=[int(sys.argv[1])])\n"
        "time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(reading)], stdout=subprocess.PIPE, pass_fds=[reading]
    )
    try:
        os.close(reading)
        os.write(writing, b'{"command": "hello"}\n')
        hello = json.loads(parent.stdout.readline())
        parent.kill()
        # the pipe of the answers closes when the worker, its last holder, has ended
        started = time.monotonic()
        assert parent.stdout.read() == b""
        assert time.monotonic() - started < 60
        assert not Path(hello["folder"]).exists()
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
        os.close(writing)


def test_plugin_path_prints_the_folder_alone_on_stdout(fluorgen):
    ran = fluorgen("cellprofiler", "plugin-path")
    folder = Path(ran.out.strip())
    assert (folder / "virtualstain.py").is_file()
    assert "Plugins directory" in ran.err
    record = fluorgen("cellprofiler", "plugin-path", "--json").json
    assert record["folder"] == str(folder)
    assert Path(record["program"]).exists()
