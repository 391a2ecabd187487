"""The model and the stacks of tests/workflow, and a command line to run them with."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

_path = Path(__file__).parents[1] / "workflow" / "conftest.py"
_spec = importlib.util.spec_from_file_location("workflow_fixtures", _path)
_fixtures = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _fixtures
_spec.loader.exec_module(_fixtures)

tiny_models = _fixtures.tiny_models
installed = _fixtures.installed
stack_file = _fixtures.stack_file
plate = _fixtures.plate


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.out.splitlines()[-1])


@pytest.fixture
def fluorgen() -> Callable[..., Ran]:
    """Run a command and return its exit code and what it printed."""
    from napari_fluorgen.cli.app import app

    def run(*arguments: object) -> Ran:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run
