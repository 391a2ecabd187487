from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_fluorgen.errors import InputError
from napari_fluorgen.measurement import measure_field


def test_objects_and_their_relations(drawn_field):
    measured = measure_field(drawn_field())
    counts = {name: labels.max() for name, labels in measured.labels.items()}
    assert counts == {"Nuclei": 5, "Cells": 5, "Cytoplasm": 5, "LipidDroplets": 18}
    image = {key: values[0] for key, values in measured.tables["Image"].items()}
    assert (image["Count_Nuclei"], image["Count_LipidDroplets"]) == (5, 18)
    assert image["Metadata_Well"] == "B02"
    cells = measured.tables["Cells"]
    # the cell in the corner keeps two of its four droplets
    np.testing.assert_array_equal(cells["Children_LipidDroplets_Count"], [4, 4, 4, 4, 2])
    np.testing.assert_array_equal(cells["Parent_Nuclei"], np.arange(1, 6))
    np.testing.assert_array_equal(measured.tables["Cytoplasm"]["Parent_Nuclei"], np.arange(1, 6))
    nuclei = measured.tables["Nuclei"]
    assert image["Mean_Nuclei_AreaShape_Area"] == pytest.approx(nuclei["AreaShape_Area"].mean())
    assert nuclei["Intensity_MeanIntensity_Hoechst"][0] == pytest.approx(9000 / 65535, rel=0.01)
    for name, table in measured.tables.items():
        sizes = {values.shape for values in table.values()}
        assert sizes == {(1,) if name == "Image" else (counts[name],)}


def test_confidence_joins_the_nuclei(drawn_field):
    nuclei = measure_field(drawn_field(), objects=("nuclei",)).tables["Nuclei"]
    np.testing.assert_allclose(nuclei["Confidence_PNucleus"], 0.8, rtol=1e-6)
    assert set(nuclei["Confidence_Decision"]) == {"accept"}
    np.testing.assert_allclose(nuclei["Intensity_MeanIntensity_Confidence"], 0.8, rtol=1e-6)


def test_without_calibration_there_is_no_confidence(drawn_field):
    tables = measure_field(drawn_field(confidence=False)).tables
    assert not [key for table in tables.values() for key in table if "Confidence" in key]


def test_only_what_is_asked_for(drawn_field):
    measured = measure_field(drawn_field(), objects=("cytoplasm",))
    assert list(measured.labels) == ["Nuclei", "Cells", "Cytoplasm"]
    assert "Children_LipidDroplets_Count" not in measured.tables["Cells"]


def test_a_field_without_objects_has_the_same_columns(drawn_field):
    empty = drawn_field(nuclei=())
    flat = {stain: np.full(empty.shape, 200, np.uint16) for stain in empty.images}
    tables = measure_field(replace(empty, images=flat)).tables
    for name, table in measure_field(drawn_field()).tables.items():
        assert set(tables[name]) == set(table)
    assert tables["Image"]["Count_Nuclei"] == 0
    assert tables["Cells"]["ObjectNumber"].shape == (0,)


def test_gapped_labels_are_renumbered_and_remembered(drawn_field):
    field = drawn_field()
    gapped = replace(field, nuclei_labels=field.nuclei_labels * 3)
    measured = measure_field(gapped, objects=("nuclei",))
    np.testing.assert_array_equal(measured.nuclei_ids, [3, 6, 9, 12, 15])
    np.testing.assert_array_equal(measured.labels["Nuclei"], field.nuclei_labels)


def test_a_missing_stain_is_named(drawn_field):
    field = drawn_field()
    images = {k: v for k, v in field.images.items() if k != "lipids"}
    with pytest.raises(InputError, match="no lipids stain"):
        measure_field(replace(field, images=images))


def test_an_image_of_another_shape_is_named(drawn_field):
    field = drawn_field()
    images = field.images | {"lipids": field.images["lipids"][:-1]}
    with pytest.raises(InputError, match="Bodipy has the shape"):
        measure_field(replace(field, images=images))


def test_unknown_objects_are_named(drawn_field):
    with pytest.raises(InputError, match="mitochondria"):
        measure_field(drawn_field(), objects=("mitochondria",))
