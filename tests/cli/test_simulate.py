import json

import pytest
from typer.testing import CliRunner

from napari_fluorgen.cli.app import app
from napari_fluorgen.io import read_plate


def _run(*arguments):
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)])


def test_simulated_fields_are_a_plate_and_called_simulated(tmp_path):
    folder = tmp_path / "plate"
    done = _run("-o", folder, "--fields", 1, "--size", 64, "--seed", 5, "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["simulated"] is True
    plate = read_plate(folder)
    assert len(plate) == 1
    assert "Simulated" in plate.name

    again = _run("-o", folder, "--fields", 1, "--size", 64)
    assert again.exit_code == 1
    assert "exists" in again.stderr

    (tmp_path / "thesis.txt").write_text("years of work")
    other = _run("-o", tmp_path, "--fields", 1, "--size", 64, "--overwrite")
    assert other.exit_code == 1
    assert "other files" in other.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plate", "thesis.txt"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [(("--magnification", "10x"), "No simulation preset"), (("--fields", "999"), "A plate holds")],
)
def test_what_cannot_be_simulated_is_said_in_a_sentence(tmp_path, arguments, sentence):
    done = _run("-o", tmp_path / "plate", *arguments)
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
