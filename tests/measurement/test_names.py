from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.measurement.names import guard_text, metadata
from napari_fluorgen.stack import FieldIdentity


@pytest.mark.parametrize("text", ["00123", "12E5", "nan", "inf", "Infinity", "1_000", "-3", "#7"])
def test_names_that_read_as_numbers_get_a_letter(text):
    assert guard_text(text, "plate_") == f"plate_{text}"


@pytest.mark.parametrize("text", ["Plate 1", "D04", "E05", "AssayPlate_Greiner_#655090"])
def test_other_names_stay(text):
    assert guard_text(text, "plate_") == text


@given(st.text(min_size=1))
def test_no_guarded_name_reads_as_a_number(text):
    with pytest.raises(ValueError, match="could not convert"):
        float(guard_text(text, "plate_"))


def test_a_field_without_a_plate_is_named_by_its_file():
    row = metadata(FieldIdentity("2024 scan"))
    assert row == {
        "Metadata_Field": "field_2024 scan",
        "Metadata_Plate": "NoPlate",
        "Metadata_Site": 1,
        "Metadata_Timepoint": 1,
        "Metadata_Well": "NoWell",
    }
