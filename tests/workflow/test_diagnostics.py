from __future__ import annotations

import sys

import pytest

from napari_fluorgen.workflow.diagnostics import diagnose


def by_name(folder="."):
    return {check.name: check for check in diagnose(folder)}


def test_report_looks_at_everything(installed, tmp_path) -> None:
    checks = by_name(tmp_path)
    assert list(checks) == [
        "versions",
        "machine",
        "devices",
        "models",
        "napari",
        "CellProfiler",
        "disk",
    ]
    assert "tiny" in checks["models"].found
    assert "cpu" in checks["devices"].found
    assert checks["versions"].status == checks["machine"].status == checks["devices"].status == "ok"
    assert str(tmp_path) in checks["disk"].found


def test_report_never_raises(tmp_path) -> None:
    assert by_name(tmp_path / "missing")["disk"].status == "problem"


@pytest.mark.skipif(sys.platform == "win32", reason="programs have another suffix there")
def test_cellprofiler_is_found_by_setting_and_on_path(tmp_path, monkeypatch) -> None:
    program = tmp_path / "cellprofiler"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("FLUORGEN_CELLPROFILER_DIR", str(tmp_path / "none"))
    monkeypatch.delenv("FLUORGEN_CELLPROFILER", raising=False)
    found = by_name(tmp_path)["CellProfiler"]
    assert found.status == "ok"
    assert str(program) in found.found
    monkeypatch.setenv("FLUORGEN_CELLPROFILER", str(tmp_path / "gone"))
    found = by_name(tmp_path)["CellProfiler"]
    assert found.status == "missing"
    assert "gone" in found.found
    monkeypatch.delenv("FLUORGEN_CELLPROFILER")
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert "fluorgen cellprofiler install" in by_name(tmp_path)["CellProfiler"].found
