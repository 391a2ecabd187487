"""What is known of nuclei, their outlines and colours; no display is needed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_fluorgen.widgets.presenters import review
from napari_fluorgen.widgets.presenters.confidence import REGIONS
from napari_fluorgen.widgets.presenters.outlines import find_outlines

# Machado, Oliveira and Fernandes 2009, severity 1: what is seen of linear red, green and blue.
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
               [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
               [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
               [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def seen(color, matrix):
    color = np.asarray(color[:3])
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    light = np.clip(np.asarray(matrix) @ linear, 0, 1)
    return rgb2lab(np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("kind", BLINDNESS)
def test_colours_are_told_apart_with_any_colour_blindness(kind):
    outlines = [color for code, color in review.outline_colors().items() if code]
    for colors in (outlines, [one.color for one in REGIONS if one.color[3]]):
        labs = [seen(color, BLINDNESS[kind]) for color in colors]
        for i, first in enumerate(labs):
            for second in labs[:i]:
                assert deltaE_ciede2000(first, second) > 10


def make_layer(**columns):
    return SimpleNamespace(features=pd.DataFrame(columns), metadata={"fluorgen": {}})


@pytest.fixture
def layer():
    return make_layer(
        index=[1, 2, 3, 5],
        decision=["accept", "review", "reject", "review"],
        reviewed=["", "", "", ""],
        p_value=[0.01, 0.3, 0.9, 0.4],
        confidence=[0.9, 0.5, 0.1, 0.6],
        probability_mean=[0.9, 0.8, 0.7, 0.6],
        area=[10, 20, 30, 50],
    )


LABELS = np.array([1, 2, 3, 5])


@given(hnp.arrays(np.uint32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12),
                  elements=st.sampled_from([0, 1, 2, 7, 4_000_000_000])))  # fmt: skip
def test_outlines_lie_on_their_nuclei(image):
    found = find_outlines(image, 1)
    assert list(found.labels) == [x for x in np.unique(image) if x]
    np.testing.assert_array_equal(image.ravel()[found.pixels], found.labels[found.rows])
    assert set(found.rows) == set(range(found.labels.size)), "each nucleus has an outline"
    for label, center, size in zip(found.labels, found.centers, found.sizes, strict=True):
        y, x = np.nonzero(image == label)
        np.testing.assert_array_equal(center, [(y.min() + y.max()) / 2, (x.min() + x.max()) / 2])
        assert size == max(np.ptp(y), np.ptp(x)) + 1


def test_outlines_leave_the_inside_clear():
    image = np.zeros((30, 30), np.uint32)
    image[5:25, 5:25] = 4
    drawn = np.zeros(image.shape, bool)
    drawn.ravel()[find_outlines(image, 3).pixels] = True
    assert drawn[5:8, 5:25].all()
    assert not drawn[8:22, 8:22].any()
    rim = np.zeros(image.shape, bool)
    rim.ravel()[find_outlines(image, 3).halo] = True
    assert rim.sum() == 4 * 20
    assert not image[rim].any()


def test_a_person_overrules_the_model(layer):
    review.set_review(layer, 3, "accept")
    nuclei = review.judged(layer, LABELS)
    assert list(nuclei.final) == ["accept", "review", "accept", "review"]
    assert list(nuclei.codes) == [1, 2, 1, 2]
    assert nuclei.counts() == {"accept": 2, "review": 2, "reject": 0}
    assert layer.features["area"].tolist() == [10, 20, 30, 50]
    review.set_review(layer, 3, "")
    assert list(review.judged(layer, LABELS).reviewed) == ["", "", "", ""]


def test_decisions_survive_a_table_that_lost_them(layer):
    review.set_review(layer, 2, "reject")
    layer.features = pd.DataFrame({"index": [1, 2], "area": [1, 2]})
    assert list(review.judged(layer, np.array([1, 2])).reviewed) == ["", "reject"]


def test_tables_without_any_decision_ask_for_review():
    nuclei = review.judged(make_layer(), np.array([4, 9]))
    assert list(nuclei.final) == ["review", "review"]
    assert "nothing is promised" in review.summary_text(nuclei, fdr=0.1, holds=True)


def test_walk_forwards_to_what_waits_and_backwards_to_what_was_judged(layer):
    nuclei = review.judged(layer, LABELS)
    assert review.neighbour(nuclei, None, 1) == 2
    assert review.neighbour(nuclei, 2, 1) == 5
    assert review.neighbour(nuclei, 5, 1) == 2, "round and round"
    review.set_review(layer, 2, "accept")
    nuclei = review.judged(layer, LABELS)
    assert review.neighbour(nuclei, None, 1) == 5
    assert review.neighbour(nuclei, 5, -1) == 2
    review.set_review(layer, 5, "accept")
    assert review.neighbour(review.judged(layer, LABELS), 5, 1) is None


def test_summary_promises_only_what_holds(layer):
    nuclei = review.judged(layer, LABELS)
    text = review.summary_text(nuclei, fdr=0.05, holds=True)
    assert text == (
        "4 nuclei: 1 trusted, 2 to review, 1 rejected; of the trusted at most 5 % are wrong on "
        "average."
    )
    assert "at most" not in review.summary_text(nuclei, fdr=0.05, holds=False)
    review.set_review(layer, 2, "accept")
    text = review.summary_text(review.judged(layer, LABELS), fdr=0.05, holds=True)
    assert "2 trusted" in text
    assert "of the 1 that the model trusted at most 5 % are wrong" in text
    assert "nothing is promised" in review.summary_text(
        review.judged(layer, np.array([2])), fdr=0.05, holds=True
    )
    none = review.judged(layer, np.zeros(0, np.int64))
    assert review.summary_text(none, fdr=0.05, holds=True) == "No nuclei in this result."
    assert review.current_text(none, None) == ""


def test_a_nucleus_is_described_in_words(layer):
    said = review.current_text(review.judged(layer, LABELS), 2)
    assert said == "Nucleus 2 · to review · looks better than 70 % of wrong nuclei · 1 of 2"
    review.set_review(layer, 2, "accept")
    layer.features["p_value"] = np.nan
    said = review.current_text(review.judged(layer, LABELS), 2)
    assert said.startswith("Nucleus 2 · trusted by you · background is ruled out by 50 %")


def test_only_nuclei_of_the_files_are_saved(layer):
    review.set_review(layer, 1, "reject")
    review.set_review(layer, 8, "accept")  # painted by hand
    reviewed, new = review.reviews_to_save(layer, np.array([1, 2, 8]))
    assert reviewed == {1: "reject", 2: ""}
    assert new == 1
    assert "painted by hand" in review.saved_text(1, new, "folder")
    assert review.judged(layer, np.array([8])).final == ["accept"]


@pytest.mark.parametrize(("record", "fdr"), [({"request": {"fdr": 0.2}}, 0.2), ({}, 0.1)])
def test_tolerated_share_is_that_of_the_request(record, fdr):
    assert review.fdr_of(record) == fdr
