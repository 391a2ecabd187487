"""Settings of CellProfiler's modules."""

from __future__ import annotations

from napari_fluorgen.measurement.cppipe import threshold


def test_the_threshold_is_the_one_asked_for():
    settings = threshold(1.0, 1.3488, method="Otsu")
    methods = [value for text, value in settings if text == "Thresholding method"]
    assert methods
    assert set(methods) == {"Otsu"}
