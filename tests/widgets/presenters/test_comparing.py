from __future__ import annotations

import numpy as np
import pytest

from napari_fluorgen.segmentation import MatchScores
from napari_fluorgen.widgets.presenters import comparing
from napari_fluorgen.workflow.comparison import Comparison, StainComparison


def score(error=0.24, matched=0.23):
    return StainComparison(error, matched, 0.934, (1.0, 0.0), np.zeros((2, 2), np.float32))


def test_the_report_gives_figures_by_stain_and_nuclei():
    matches = (MatchScores(31, 2, 3, 0.5), MatchScores(28, 5, 6, 0.7))
    text = comparing.report(Comparison({"nuclei": score()}, matches, outlined=False))
    assert "Nuclei: error 0.24, r 0.93" in text
    assert "31 of 34 true nuclei found, 2 false." in text
    assert "F1 0.93 at IoU 0.5, 0.84 at IoU 0.7" in text
    assert comparing.doubts(Comparison({"nuclei": score()}, matches, outlined=False)) == ""


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Comparison({"lipids": score(0.9, 0.3)}, (), outlined=False), "the error is: lipids 0.30"),
        (Comparison({"lipids": score(np.nan, np.nan)}, (), outlined=False), "not defined"),
        (Comparison({}, (MatchScores(1, 0, 0),), outlined=True), "outlined automatically"),
    ],
)
def test_doubts_are_told(found, said):
    assert said in comparing.doubts(found)


def test_an_undefined_error_is_a_dash():
    found = Comparison({"lipids": score(np.nan, np.nan)}, (), outlined=False)
    assert "Lipids: error –, r 0.93" in comparing.report(found)
