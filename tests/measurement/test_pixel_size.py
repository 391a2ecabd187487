"""One pipeline knows one pixel size: where fields differ, the user is told."""

from __future__ import annotations

import pytest

from napari_fluorgen.measurement.pixel_size import pipeline_pixel_size


@pytest.mark.parametrize(
    ("sizes", "size"),
    [
        ([], 0.325),
        ([None, None], 0.325),
        ([None, (0.65, 0.65)], 0.65),
        ([(0.1625, 0.1625), (0.163, 0.163)], 0.1625),
    ],
)
def test_fields_of_one_pixel_size_need_no_words(sizes, size):
    assert pipeline_pixel_size(sizes) == (pytest.approx(size), [])


def test_the_first_field_decides_and_the_others_are_told():
    size, (note,) = pipeline_pixel_size([(0.325, 0.325), (0.65, 0.65), None, (0.1625, 0.1625)])
    assert size == pytest.approx(0.325)
    assert "pixels of 0.1625 to 0.65 µm" in note
    assert "suit 0.325 µm" in note
