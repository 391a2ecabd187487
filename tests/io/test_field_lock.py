from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import filelock
import pytest

from napari_fluorgen.errors import OutputError
from napari_fluorgen.io.field_lock import field_lock, lock_file
from napari_fluorgen.stack import FieldIdentity

FIELD = FieldIdentity("well: D04")
HOLDER = """
import sys
from napari_fluorgen.io.field_lock import field_lock
from napari_fluorgen.stack import FieldIdentity
with field_lock(sys.argv[1], FieldIdentity(sys.argv[2])):
    print("held", flush=True)
    input()
"""


def test_a_field_of_another_program_is_refused_until_that_ends_or_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "out"), FIELD.name]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(OutputError, match=r"'well: D04' is being stained into .*out by another"),
            field_lock(tmp_path / "out", FIELD),
        ):
            pass
        with field_lock(tmp_path / "out", FieldIdentity("another")):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with field_lock(tmp_path / "out", FIELD):
        pass
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_is_left_but_what_was_written(tmp_path):
    with field_lock(tmp_path / "a" / "b", FIELD):
        assert lock_file(tmp_path / "a" / "b", FIELD).exists()
    assert list(tmp_path.iterdir()) == []
    with field_lock(tmp_path / "a" / "b", FIELD):
        (tmp_path / "a" / "result.tif").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "result.tif"]


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no file that is open")
def test_who_waits_for_a_file_that_is_removed_holds_nothing(tmp_path, monkeypatch):
    acquire, calls = filelock.FileLock.acquire, []

    def removed(lock, *arguments, **options):
        held = acquire(lock, *arguments, **options)
        if not calls:  # as if its holder ended between the opening and the locking
            Path(lock.lock_file).unlink()
        calls.append(lock)
        return held

    monkeypatch.setattr(filelock.FileLock, "acquire", removed)
    with field_lock(tmp_path, FIELD):
        assert len(calls) == 2
        with pytest.raises(OutputError), field_lock(tmp_path, FIELD):
            pass


def test_another_thread_may_end_what_one_began(tmp_path):
    holding = field_lock(tmp_path, FIELD)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(holding.__enter__).result()
    with pytest.raises(OutputError), field_lock(tmp_path, FIELD):
        pass
    holding.__exit__(None, None, None)
    with field_lock(tmp_path, FIELD):
        pass


def refuse_to_lock(*_arguments, **_options):
    raise NotImplementedError


def without_flock(*_arguments):
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


@pytest.mark.filterwarnings("ignore:flock not supported")
@pytest.mark.skipif(os.name == "nt", reason="the disks of Windows know locks")
@pytest.mark.parametrize("name", ["filelock.FileLock.acquire", "fcntl.flock"])
def test_disks_that_know_no_locks_are_written(tmp_path, monkeypatch, name):
    refuse = without_flock if name == "fcntl.flock" else refuse_to_lock
    monkeypatch.setattr(name, refuse)
    # also one at a time, and where a killed program has left its file
    lock_file(tmp_path, FIELD).touch()
    with field_lock(tmp_path, FIELD), field_lock(tmp_path, FIELD):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["n" * 300, "n" * 247])
def test_a_name_too_long_is_left_to_who_writes_the_result(tmp_path, name):
    with field_lock(tmp_path / "out", FieldIdentity(name)):
        pass
    assert list(tmp_path.iterdir()) == []
