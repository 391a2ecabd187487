from __future__ import annotations

import errno
import warnings

import pytest
import typer
from typer.testing import CliRunner

from napari_fluorgen.cli.guard import GuardedGroup
from napari_fluorgen.cli.output import JsonFlag
from napari_fluorgen.errors import InputError


def run(error: BaseException | None, *options: str):
    app = typer.Typer(cls=GuardedGroup, pretty_exceptions_enable=False)

    @app.command("work")
    def work(json: JsonFlag = False) -> None:
        warnings.warn("the lamp flickers", UserWarning, stacklevel=1)
        if error is not None:
            raise error

    @app.command("other")
    def other() -> None:
        pass

    return CliRunner().invoke(app, ["work", *options])


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("x.tif is\nempty."), "Error: x.tif is empty."),
        (KeyboardInterrupt(), "Error: Stopped by the user."),
        (OSError(errno.ENOSPC, "No space", "/d/x.tif"), "the disk is full"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (OSError(errno.EACCES, "Permission denied", "/d/x.yaml"), "x.yaml cannot be used"),
        (MemoryError(), "memory"),
        (ValueError("odd"), "A fault in fluorgen, ValueError: odd."),
    ],
)
def test_everything_that_goes_wrong_is_one_line_and_exit_1(error, sentence) -> None:
    result = run(error)
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert sentence in last
    assert result.stdout == ""


def test_failure_is_json_where_asked_for() -> None:
    result = run(InputError("x.tif is empty."), "--json")
    assert result.stdout == '{"status": "failed", "error": "x.tif is empty."}\n'


def test_warnings_are_notes() -> None:
    result = run(None)
    assert result.exit_code == 0
    assert result.stderr == "Note: the lamp flickers\n"


def test_exit_codes_of_commands_pass() -> None:
    assert run(typer.Exit(3)).exit_code == 3
    assert run(typer.BadParameter("no")).exit_code == 2


def test_debugging_shows_where(monkeypatch) -> None:
    monkeypatch.setenv("FLUORGEN_DEBUG", "1")
    assert isinstance(run(ValueError("odd")).exception, ValueError)


@pytest.mark.parametrize(
    ("said", "meant"), [("~/a b", "/home/me/a b"), ("~", "/home/me"), ("a~/b", "a~/b")]
)
def test_the_home_folder_is_found_where_the_shell_left_it_alone(monkeypatch, said, meant) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    app = typer.Typer(cls=GuardedGroup)
    found = []

    @app.command("work")
    def work(path: str, output: str = "") -> None:
        found.extend([path, output])

    @app.command("other")
    def other() -> None:
        pass

    CliRunner().invoke(app, ["work", said, f"--output={said}"])
    assert found == [meant, meant]
