from __future__ import annotations

import sys
from pathlib import Path

import pytest

from napari_fluorgen.cli import demo as demo_module
from napari_fluorgen.errors import ExternalToolError
from napari_fluorgen.workflow import demo as workflow_demo


def test_demo_leaves_results_and_a_picture(
    fluorgen, installed, plate, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(workflow_demo, "sample_folder", lambda: plate.folder)
    ran = fluorgen("demo", "-o", tmp_path / "demo", "--model", "tiny")
    assert ran.code == 0, ran.err
    assert "simulated" in ran.out
    assert len(list((tmp_path / "demo").glob("*.png"))) == 3
    for name in ("stained/run.json", "tables/Nuclei.csv", "scores/scores.json"):
        assert (tmp_path / "demo" / name).is_file()
    again = fluorgen("demo", "-o", tmp_path / "demo", "--model", "tiny")
    assert again.code == 1
    assert "--overwrite" in again.err
    ran = fluorgen("demo", "-o", tmp_path / "demo", "--model", "tiny", "--overwrite", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["simulated"] is True
    assert all(Path(picture).is_file() for picture in ran.json["pictures"])
    assert ran.json["objects"]["Nuclei"] > 0


def test_view_without_napari_is_said_before_any_work(
    fluorgen, installed, tmp_path, monkeypatch
) -> None:
    # Python finds no spec for a module that is None in sys.modules and has none.
    monkeypatch.setattr(demo_module.importlib.util, "find_spec", lambda name: None)
    ran = fluorgen("demo", "-o", tmp_path / "demo", "--view")
    assert ran.code == 1
    assert "napari-fluorgen[all]" in ran.err
    assert not (tmp_path / "demo").exists()


def test_napari_that_does_not_start_is_one_sentence(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(ExternalToolError, match="napari ended with status 1"):
        demo_module.open_napari(tmp_path)
