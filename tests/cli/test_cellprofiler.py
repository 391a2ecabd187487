"""``fluorgen measure --engine cellprofiler`` and ``fluorgen cellprofiler``."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest


@pytest.fixture
def stained(fluorgen, installed, plate, tmp_path) -> Path:
    assert fluorgen("stain", plate.folder, "-o", tmp_path / "out", "--model", "tiny").code == 0
    return tmp_path / "out"


def test_both_engines_write_the_same_tables(fluorgen, stained, stand_in, tmp_path) -> None:
    command = ("measure", stained, "-o", tmp_path / "real", "--engine", "cellprofiler")
    ran = fluorgen(*command, "--json", "--processes", "2")
    assert ran.code == 0, ran.err
    assert ran.json["engine"] == "cellprofiler"
    assert ran.json["cellprofiler"] == str(stand_in)
    assert len(ran.json["fields"]) == len(ran.json["masks"]) == 3
    ours = fluorgen("measure", stained, "-o", tmp_path / "ours", "--json")
    for name in ("Nuclei", "Image"):
        tables = [
            list(csv.DictReader((tmp_path / place / f"{name}.csv").read_text().splitlines()))
            for place in ("real", "ours")
        ]
        assert len(tables[0]) == len(tables[1])
        for key in ("ImageNumber", "Metadata_Plate", "Metadata_Well", "Metadata_Site"):
            assert [row[key] for row in tables[0]] == [row[key] for row in tables[1]]
    assert {Path(f).name for f in ran.json["files"]} == {Path(f).name for f in ours.json["files"]}
    again = fluorgen(*command)
    assert again.code == 1
    assert "exists" in again.err
    assert fluorgen(*command, "--overwrite").code == 0


def test_failures_are_one_line(fluorgen, stained, stand_in, tmp_path, monkeypatch) -> None:
    command = ("measure", stained, "-o", tmp_path / "out2", "--engine", "cellprofiler")
    monkeypatch.setenv("STAND_IN", "killed")
    ran = fluorgen(*command, "--json")
    assert ran.code == 1
    assert ran.json["status"] == "failed"
    assert "ended from outside" in ran.json["error"]
    assert not list((tmp_path / "out2").glob("*.csv"))
    monkeypatch.delenv("STAND_IN")
    assert fluorgen(*command).code == 0
    wrong = fluorgen("measure", stained, "-o", tmp_path / "out3", "--processes", "2")
    assert wrong.code == 2


def test_without_cellprofiler(fluorgen, no_cellprofiler, tmp_path) -> None:
    for command in (("cellprofiler", "status"),):
        ran = fluorgen(*command)
        assert ran.code == 1
        assert ran.err.count("\n") == 1
        assert "fluorgen cellprofiler install" in ran.err


def test_status_and_use(fluorgen, stand_in, monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("FLUORGEN_CELLPROFILER")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert fluorgen("cellprofiler", "use", stand_in).code == 0
    ran = fluorgen("cellprofiler", "status", "--json")
    assert ran.json["version"] == "4.2.8.1"
    assert ran.json["origin"] == "setting"
    assert fluorgen("cellprofiler", "use").out == "Forgotten\n"
    assert fluorgen("cellprofiler", "status").code == 1
    old = tmp_path / "cellprofiler"
    old.write_text("#!/bin/sh\necho 3.1.9\n")
    old.chmod(0o755)
    assert "CellProfiler 3.1.9 was found" in fluorgen("cellprofiler", "status").err


def test_install_says_what_is_missing(fluorgen, no_cellprofiler) -> None:
    ran = fluorgen("cellprofiler", "install", "--json")
    assert ran.code == 1
    assert "without a C compiler" in ran.json["error"]
