"""What a command says: people read stderr, programs read the last line of stdout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from napari_fluorgen.workflow.events import FieldFailed

JSON_KEY = "napari_fluorgen.json"


def _remember(ctx: typer.Context, value: bool) -> bool:
    ctx.meta[JSON_KEY] = value
    return value


JsonFlag = Annotated[
    bool,
    typer.Option(
        "--json",
        callback=_remember,
        is_eager=True,
        help="Print a machine-readable summary as the last line.",
    ),
]


def console() -> Any:
    """Return a rich console on stderr, where progress and messages go."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def say(sentence: str) -> None:
    """Tell something on stderr."""
    console().print(sentence)


def warn(sentence: str) -> None:
    """Tell what the user should know before believing the result."""
    console().print(f"Note: {sentence}", style="yellow")


def fail(sentence: str, *, as_json: bool) -> None:
    """Tell why the command failed, on one line."""
    line = " ".join(sentence.split())
    console().print(f"Error: {line}", style="bold red")
    if as_json:
        finish({"status": "failed", "error": line})


def left_out(failed: Sequence[FieldFailed], others: int) -> dict[str, Any]:
    """Tell which fields could not be read; return what the summary for programs says of them."""
    if not failed:
        return {"status": "done"}
    for field in failed:
        warn(f"{field.identity.name} failed: {field.reason}")
    sentence = (
        f"{len(failed)} of {len(failed) + others} fields could not be read and are left out; stain "
        "them again."
    )
    fail(sentence, as_json=False)
    names = {field.identity.name: field.reason for field in failed}
    return {"status": "failed", "error": sentence, "failed": names}


def result(text: str) -> None:
    """Print a result for people on stdout."""
    typer.echo(text)


def finish(summary: dict[str, Any]) -> None:
    """Print the summary for programs: one line of JSON on stdout."""
    typer.echo(json.dumps(summary, allow_nan=False, default=str))
