from __future__ import annotations

from pathlib import Path

import pytest

from napari_fluorgen.errors import ConfigError, InputError
from napari_fluorgen.widgets.train import report
from napari_fluorgen.workflow.fine_tuning_request import (
    FineTuneRequest,
    FineTuneResult,
    FineTuneScores,
)

BEFORE = FineTuneScores(
    {"nuclei": 0.7, "lipids": 0.95}, {"nuclei": 1.2, "lipids": 0.3}, {0.5: 0.66, 0.7: 0.4}
)
AFTER = FineTuneScores(
    {"nuclei": 0.9, "lipids": 0.95}, {"nuclei": 0.8, "lipids": 0.31}, {0.5: 0.8, 0.7: float("nan")}
)


def result(**changes):
    given = {
        "name": "mine",
        "path": Path("/models/mine"),
        "installed": True,
        "before": BEFORE,
        "after": AFTER,
        "fields": {"training": ("a", "b"), "validation": ("c",), "calibration": ("d",)},
        "stains": ("nuclei", "lipids"),
        "steps": {"nuclei": 10, "lipids": 10},
        "minutes": 9.8,
        "stopped": False,
        "notes": (),
    }
    return FineTuneResult(**(given | changes))


def test_figures_say_what_got_better():
    rows = {row.title: row for row in report.figures(BEFORE, AFTER)}
    assert rows["Nuclei: correlation"].before == "0.700"
    assert rows["Nuclei: correlation"].change == 1
    assert rows["Nuclei: error"].change == 1, "a smaller error is better"
    assert rows["Lipids: correlation"].change == 0
    assert rows["Lipids: error"].change == -1
    assert rows["Nuclei: F1 at IoU 0.5"].change == 1
    assert "Cytoplasm: correlation" not in rows


def test_what_is_undefined_is_no_number_and_no_change():
    rows = {row.title: row for row in report.figures(BEFORE, AFTER)}
    assert rows["Nuclei: F1 at IoU 0.7"].after == "–"
    assert rows["Nuclei: F1 at IoU 0.7"].change == 0
    only_after = report.figures(FineTuneScores({}, {}), AFTER)
    assert {row.before for row in only_after} == {"–"}


def test_done_texts():
    assert report.done_text(result()) == (
        "Learned for 10 min. The new model is 'mine', now in the list of the Virtual stain dock."
    )
    stopped = report.done_text(result(stopped=True, minutes=0.5, installed=False))
    assert stopped.startswith("Stopped after 30 s. The best so far is 'mine', in /models/mine")
    assert report.held_out_text(result().fields).startswith("Measured on 1 held-out part ")


def test_what_runs_is_said():
    request = FineTuneRequest.build(name="mine", init="a", minutes=10, install=True)
    assert report.running_text(request).endswith("starting from a: about 10 min.")
    request = FineTuneRequest.build(name="mine", steps=5, install=True)
    assert report.running_text(request).endswith(": 5 steps a stain.")


def test_names():
    assert report.free_name("adipocyte-20x", ()) == "adipocyte-20x-tuned"
    assert report.free_name("a-tuned", {"a-tuned"}) == "a-tuned-2"
    assert len(report.free_name("m" * 64, ())) <= 64, "else it could not be a model's name"
    assert report.check_name(" mine ", {"other"}) == "mine"
    for name in ("", "  ", "other"):
        with pytest.raises(ConfigError, match="under 'Name'"):
            report.check_name(name, {"other"})


def test_a_missing_package_is_one_sentence_with_the_command(monkeypatch):
    assert report.missing_package() == ""
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    assert "pip install 'napari-fluorgen[train]'" in report.missing_package()
    said = report.explained(ModuleNotFoundError("No module named 'onnx'", name="onnx"))
    assert isinstance(said, ConfigError)
    assert "needs onnx" in str(said)
    other = InputError("x")
    assert report.explained(other) is other
