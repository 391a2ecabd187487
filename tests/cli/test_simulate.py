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


@pytest.mark.parametrize("name", ["a/b", "a\\b", "", ".hidden", "a:b", "a" * 200])
def test_a_name_that_no_file_can_have_is_said_of_the_plate(tmp_path, name):
    done = _run("-o", tmp_path / "plate", "--fields", 1, "--size", 64, "--plate", name)
    if name:
        assert done.exit_code == 1
        assert f"'{name}' cannot name a plate" in " ".join(done.stderr.split())
        assert not list(tmp_path.iterdir())
    else:  # as if it were not given
        assert next((tmp_path / "plate").glob("*.tif")).name.startswith("Simulated_20x")


def test_overwriting_a_simulated_plate_keeps_what_others_put_into_it(tmp_path):
    folder = tmp_path / "plate"
    command = ("-o", folder, "--fields", 1, "--size", 64)
    assert _run(*command).exit_code == 0
    assert _run(*command, "--seed", 7, "--overwrite").exit_code == 0
    assert {path.name[:20] for path in folder.glob("*.tif")} == {"Simulated_20x_seed7_"}
    (folder / "stained").mkdir()
    for name in ("stained/run.json", "my_notes.txt"):
        (folder / name).write_text("years of work")
        kept = _run(*command, "--overwrite")
        assert kept.exit_code == 1
        assert name in kept.stderr
        assert (folder / name).read_text() == "years of work"


def test_the_help_speaks_of_optics_not_of_networks():
    told = _run("--help").output
    assert "optics" in told
    assert "networks" not in told
