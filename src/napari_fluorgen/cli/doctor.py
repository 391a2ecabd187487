"""``fluorgen doctor``: what is installed, which devices work, what is missing."""

from __future__ import annotations

import typer

from napari_fluorgen.cli import output

_MARKS = {"ok": "ok", "missing": "--", "problem": "!!"}


def doctor(json: output.JsonFlag = False) -> None:
    """Report versions, devices, models, napari, CellProfiler, disk and threads."""
    from dataclasses import asdict

    from napari_fluorgen.workflow.diagnostics import diagnose

    checks = diagnose()
    problems = [check for check in checks if check.status == "problem"]
    for check in () if json else checks:
        output.result(f"[{_MARKS[check.status]}] {check.name:13s} {check.found}")
    sentence = (
        f"{problems[0].name} needs attention: {problems[0].found.rstrip('.')}." if problems else ""
    )
    if sentence:
        output.fail(sentence, as_json=False)
    if json:
        record = {
            "command": "doctor",
            "status": "failed" if problems else "done",
            "checks": [asdict(check) for check in checks],
        }
        output.finish(record | ({"error": sentence} if sentence else {}))
    if problems:
        raise typer.Exit(1)
