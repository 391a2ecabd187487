"""Turn what goes wrong into one sentence on stderr and an exit code, for every command."""

from __future__ import annotations

import errno
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from napari_fluorgen.cli import output
from napari_fluorgen.errors import FluorgenError

DEBUG = "FLUORGEN_DEBUG"


class GuardedGroup(TyperGroup):
    """A group of commands that never shows a traceback unless ``FLUORGEN_DEBUG`` is set."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take ``~`` for the home folder where the shell did not, as in ``--output=~/stained``."""
        return super().parse_args(ctx, [_at_home(text) for text in args])

    def invoke(self, ctx: Any) -> Any:
        """Run the command; exit with 1 and one sentence where it fails."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except KeyboardInterrupt:
            sentence = "Stopped by the user."
        except FluorgenError as error:
            sentence = str(error)
        except OSError as error:
            sentence = _sentence_of(error)
        except MemoryError:
            sentence = "The memory of this machine is used up: use a smaller --tile or other data."
        except Exception as error:
            if isinstance(error, typer.Exit | typer.Abort) or hasattr(error, "exit_code"):
                raise
            if os.environ.get(DEBUG):
                raise
            sentence = (
                f"A fault in fluorgen, {type(error).__name__}: {error}. "
                f"Set {DEBUG}=1 to see where, and please report it."
            )
        output.fail(sentence, as_json=bool(ctx.meta.get(output.JSON_KEY)))
        raise typer.Exit(1)


def _at_home(text: str) -> str:
    option, equals, value = text.partition("=") if text.startswith("--") else ("", "", text)
    home = value == "~" or value.startswith("~/")
    return option + equals + (str(Path(value).expanduser()) if home else value)


@contextmanager
def stop_on_interrupt(after: str = "tile") -> Iterator[Callable[[], bool]]:
    """Yield a check that turns true at Ctrl-C, so that work ends with its tile, step or field.

    A second Ctrl-C interrupts at once. Files are renamed only when complete, so that neither
    leaves one half-written.
    """
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        output.say(f"Stopping after this {after}; press Ctrl-C again to stop at once.")

    if threading.current_thread() is not threading.main_thread():
        yield stop.is_set
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _sentence_of(error: OSError) -> str:
    from napari_fluorgen.io.atomic import output_error

    if error.filename is None:
        return f"The system refused: {error.strerror or error}."
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return str(output_error(error.filename, error))
    # It may have been read as well as written.
    return (
        f"{error.filename} cannot be used ({error.strerror or error}): check that it is there and "
        "that you have the permission."
    )


def _show_warning(message: Warning | str, *where: Any, **more: Any) -> None:
    output.warn(str(message))
