from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fluorgen.errors import InputError
from napari_fluorgen.measurement import measure_field


@pytest.fixture
def judged(drawn_field):
    """Five nuclei, labels 3 to 15: the second rejected, the third rejected by a person."""
    field = drawn_field()
    return replace(
        field,
        nuclei_labels=field.nuclei_labels * 3,
        nuclei={
            "label": np.array([3, 6, 9, 12, 15], np.uint32),
            "probability_mean": np.full(5, 0.9),
            "p_value": np.array([0.9, 0.01, 0.8, 0.7, np.nan]),
            "confidence": np.linspace(0.5, 0.9, 5),
            "decision": np.array(["accept", "reject", "accept", "accept", "review"]),
            "reviewed": np.array(["", "", "reject", "", "accept"]),
        },
    )


def test_the_table_of_nuclei_carries_decisions_after_review(judged):
    nuclei = measure_field(judged, objects=("nuclei",)).tables["Nuclei"]
    decisions = ["accept", "reject", "reject", "accept", "accept"]
    assert nuclei["Fluorgen_Decision"].tolist() == decisions
    np.testing.assert_array_equal(nuclei["Fluorgen_PValue"], judged.nuclei["p_value"])
    np.testing.assert_array_equal(nuclei["Fluorgen_Confidence"], judged.nuclei["confidence"])
    assert "Confidence_Decision" not in nuclei


def test_only_trusted_nuclei_and_their_cells_are_measured(judged):
    every, trusted = measure_field(judged), measure_field(judged, trusted_only=True)
    np.testing.assert_array_equal(trusted.nuclei_ids, [3, 12, 15])
    for name in ("Nuclei", "Cells", "Cytoplasm"):
        assert trusted.labels[name].max() == 3
        np.testing.assert_array_equal(
            trusted.tables[name]["AreaShape_Area"],
            every.tables[name]["AreaShape_Area"][[0, 3, 4]],
        )
    np.testing.assert_array_equal(trusted.labels["LipidDroplets"], every.labels["LipidDroplets"])
    assert set(trusted.tables["Nuclei"]["Fluorgen_Decision"]) == {"accept"}
    assert trusted.tables["Cells"]["Children_LipidDroplets_Count"].tolist() == [4, 4, 2]
    assert trusted.tables["Image"]["Count_Cells"] == 3


def test_only_certain_pixels_are_measured(judged):
    uncertain = np.zeros(judged.shape, bool)
    uncertain[:, :60] = True  # left half of the first nucleus, and more
    uncertain[judged.nuclei_labels == 6] = True
    p_values = {name: np.where(uncertain, 0.5, image) for name, image in judged.p_values.items()}
    every = measure_field(judged)
    certain = measure_field(replace(judged, p_values=p_values), certain_only=True)
    np.testing.assert_array_equal(certain.nuclei_ids, [3, 9, 12, 15])
    for labels in certain.labels.values():
        assert not labels[uncertain].any()
    left = np.count_nonzero(~uncertain & (judged.nuclei_labels == 3))
    assert certain.tables["Nuclei"]["AreaShape_Area"][0] == left
    assert (
        certain.tables["Image"]["Count_LipidDroplets"]
        < every.tables["Image"]["Count_LipidDroplets"]
    )
    assert certain.labels["LipidDroplets"].max() == certain.tables["Image"]["Count_LipidDroplets"]


def test_both_at_once(judged):
    both = measure_field(judged, trusted_only=True, certain_only=True)
    np.testing.assert_array_equal(both.nuclei_ids, [3, 12, 15])


def test_a_table_of_other_nuclei_is_not_taken(judged):
    other = replace(judged, nuclei={**judged.nuclei, "label": np.arange(1, 6, dtype=np.uint32)})
    assert "Fluorgen_Decision" not in measure_field(other, objects=("nuclei",)).tables["Nuclei"]


@pytest.mark.parametrize(
    ("option", "words"), [("trusted_only", "no decisions"), ("certain_only", "no p-values")]
)
def test_without_calibration_the_reason_is_given(drawn_field, option, words):
    with pytest.raises(InputError, match=words):
        measure_field(drawn_field(confidence=False), **{option: True})
