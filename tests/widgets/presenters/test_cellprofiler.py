from __future__ import annotations

from napari_fluorgen.measurement.cellprofiler_find import CellProfiler
from napari_fluorgen.measurement.cellprofiler_install import InstallStep
from napari_fluorgen.widgets.presenters.cellprofiler import event_text, found_text
from napari_fluorgen.workflow.events import Measuring, Stage


def test_where_it_was_found():
    found = CellProfiler(("/opt/cp/bin/cellprofiler",), "4.2.8.1", "PATH")
    assert found_text(found) == "CellProfiler 4.2.8.1 found at /opt/cp/bin/cellprofiler"
    assert "not found" in found_text(None)
    assert found_text(CellProfiler(("C:/cp.exe",), None, "PATH")).startswith("CellProfiler found")


def test_what_it_does():
    assert event_text(Stage("exporting")) == ("Exporting …", 0, 0)
    assert event_text(Measuring(0, 1)) == ("CellProfiler measures the image …", 0, 1)
    assert event_text(Measuring(2, 8)) == ("CellProfiler measures 2 of 8 images …", 2, 8)
    step = InstallStep("fetching packages", 3, 50)
    assert event_text(step) == ("Fetching packages (3 of 50) …", 3, 50)
