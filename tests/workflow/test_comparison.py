from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import FieldIdentity, StainedField
from napari_fluorgen.workflow.comparison import compare_field
from napari_fluorgen.workflow.stain_files import StainImages


@pytest.fixture
def field():
    """Two bright squares of nuclei, lipids and cytoplasm of noise."""
    rng = np.random.default_rng(0)
    labels = np.zeros((64, 80), np.uint32)
    labels[10:30, 10:30] = 1
    labels[35:55, 45:65] = 2
    images = {
        stain: rng.integers(200, 400, labels.shape).astype(np.uint16)
        for stain in ("nuclei", "lipids", "cytoplasm")
    }
    images["nuclei"] += (3000 * (labels > 0)).astype(np.uint16)
    probability = np.where(labels > 0, 0.9, 0.1).astype(np.float32)
    return StainedField(FieldIdentity("a"), (0.325, 0.325), images, probability, labels)


def test_a_field_against_itself_is_perfect(field):
    found = compare_field(field, StainImages("a", field.images, field.nuclei_labels))
    assert list(found.stains) == ["nuclei", "lipids", "cytoplasm"]
    assert not found.outlined
    assert [score.f1 for score in found.nuclei] == [1, 1]
    for score in found.stains.values():
        assert score.error == 0
        assert score.pearson == pytest.approx(1)
        assert score.line == pytest.approx((1, 0), abs=1e-2)
        assert np.abs(score.difference).max() < 0.1


def test_the_map_shows_what_is_left_after_gain_and_offset(field):
    truth = 3.0 * field.images["lipids"] + 50
    truth[5, 7] -= 1000
    score = compare_field(field, StainImages("a", {"lipids": truth})).stains["lipids"]
    assert score.line[0] == pytest.approx(3, rel=0.05)
    assert score.error > 0.6
    assert score.matched_error < 0.02
    assert np.unravel_index(score.difference.argmax(), truth.shape) == (5, 7)
    assert score.difference[5, 7] == pytest.approx(1000, rel=0.05), "too bright there"


def test_nuclei_are_outlined_in_the_stain_where_nobody_did(field):
    found = compare_field(field, StainImages("a", {"nuclei": field.images["nuclei"]}))
    assert found.outlined
    assert found.nuclei[0].f1 == 1
    only = np.where(field.nuclei_labels == 2, 2, 0)
    found = compare_field(field, StainImages("a", {}, only))
    assert (found.nuclei[0].tp, found.nuclei[0].fp, found.stains) == (1, 1, {})


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({"min_area_um2": 30, "max_area_um2": 60}, 2),  # nuclei have 42 µm²
        ({"min_area_um2": 60, "max_area_um2": 200}, 0),
        ({"min_area_um2": 15, "max_area_um2": 30}, 0),
    ],
)
def test_true_nuclei_are_outlined_within_the_limits_of_the_model(field, limits, found):
    field = replace(field, provenance={"model": {"nuclei": limits}})
    score = compare_field(field, StainImages("a", {"nuclei": field.images["nuclei"]})).nuclei[0]
    assert (score.tp, score.fn) == (found, 0)


def test_a_truth_of_zeros_has_no_error_but_a_correlation(field):
    truth = np.where(field.nuclei_labels > 0, 200, 0).astype(np.uint8)
    score = compare_field(field, StainImages("a", {"nuclei": truth})).stains["nuclei"]
    assert np.isnan(score.error)
    assert score.pearson > 0.9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": {}}, "no true stain"),
        ({"images": {"lipids": np.ones((3, 3))}}, "the shape"),
        ({"images": {"lipids": np.full((64, 80), np.nan)}}, "NaN"),
        ({"images": {}, "nuclei_labels": np.ones((3, 3), np.uint8)}, "the shape"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence(field, change, said):
    truth = replace(StainImages("a", field.images), **change)
    with pytest.raises(InputError, match=said) as caught:
        compare_field(field, truth)
    assert "\n" not in str(caught.value)
