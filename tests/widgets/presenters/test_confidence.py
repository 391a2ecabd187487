from __future__ import annotations

import numpy as np
import pandas as pd

from napari_fluorgen.confidence import REGIONS as CODES
from napari_fluorgen.confidence import object_confidence, prediction_regions
from napari_fluorgen.widgets.presenters import confidence as words


def test_the_legend_names_every_region_of_the_map():
    assert sorted(region.code for region in words.REGIONS) == sorted(range(len(CODES)))
    assert set(words.label_colors()) == {None, 0, 1, 2, 3}


def test_colours_differ_in_lightness_too():
    def lightness(color):
        return 0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2]

    drawn = [lightness(r.color) for r in words.REGIONS if r.color[3] > 0]
    assert len(drawn) == 3


def test_shares_add_up(result):
    regions = prediction_regions(result.p_values, 0.05)
    shares = words.region_shares(regions)
    assert sum(shares.values()) == 1
    assert shares[3] == np.mean(result.nuclei_labels == 2)
    assert words.share_text(0.0001) == "< 0.1 %"
    assert words.share_text(0) == "0 %"
    assert words.share_text(0.25) == "25.0 %"


def test_nuclei_are_counted_by_decision(result):
    table = object_confidence(result.nuclei_labels, result.p_values, significance=0.05)
    counts = words.count_decisions(table["decision"])
    assert counts == {"accept": 2, "review": 1, "reject": 0}
    assert words.count_text(counts) == "3 nuclei: 2 mostly certain, 1 to review, 0 rejected."
    assert words.count_text(words.count_decisions([])) == "No nuclei in this result."


def test_the_promise_is_about_pixels_and_averages():
    promise = words.significance_text(0.05)
    for word in ("5 %", "true nucleus pixels", "on average", "calibration fields", "not for whole"):
        assert word in promise


def test_slider_positions():
    assert words.SIGNIFICANCES[words.to_slider(0.05, words.SIGNIFICANCES)] == 0.05
    assert words.SIGNIFICANCES[0] == 0.01
    assert words.SIGNIFICANCES[-1] == 0.5


def test_features_of_both_docks_stand_side_by_side():
    features = pd.DataFrame({"index": [1, 2, 3], "Area": [10.0, 20.0, 30.0]})
    merged = words.merge_features(features, {"label": np.array([1, 3]), "p": np.array([0.1, 0.2])})
    assert list(merged["index"]) == [1, 3]
    assert list(merged["Area"]) == [10.0, 30.0]
    assert list(merged["p"]) == [0.1, 0.2]
    assert "index" in words.merge_features(pd.DataFrame(), {"label": np.array([1])})


def test_nuclei_that_a_table_leaves_out_stay_without_values():
    features = pd.DataFrame({"index": [1, 2, 3], "decision": ["a", "b", "c"], "Area": [1, 2, 3]})
    table = {"label": np.array([1, 3]), "Area": np.array([10, 30])}
    merged = words.merge_features(features, table, some=True)
    assert list(merged["index"]) == [1, 2, 3]
    assert list(merged["decision"]) == ["a", "b", "c"]
    np.testing.assert_array_equal(merged["Area"], [10, np.nan, 30])
