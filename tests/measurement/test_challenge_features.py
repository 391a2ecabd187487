from __future__ import annotations

import numpy as np
import pytest

from napari_fluorgen.measurement import feature_names
from napari_fluorgen.measurement.challenge_features import challenge_features


def test_the_99_numbers_of_drawn_objects(disc):
    shape = (160, 200)
    nuclei, cells, droplets = (np.zeros(shape, np.uint32) for _ in range(3))
    for number, x in enumerate((50, 140), 1):
        cells[disc(shape, 80, x, 40)] = number
        nuclei[disc(shape, 80, x, 10)] = number
        droplets[disc(shape, 60, x, 6)] = number
    images = {name: np.full(shape, 0.25, np.float32) for name in ("Hoechst", "CellTrackerRed")}
    images["Bodipy"] = np.where(droplets > 0, 0.5, 0.1).astype(np.float32)
    images["Defect_image_rescaled"] = np.where(droplets == 2, 0.5, 0.0).astype(np.float32)
    labels = {
        "nuclei": nuclei,
        "nuclei_no_edge": nuclei,
        "cells_no_edge": cells,
        "Lipids_no_edge": droplets,
    }
    values = challenge_features(labels, images)
    assert tuple(values) == feature_names()
    assert values["Count_cells_no_edge"] == 2
    assert values["Count_Defective_lipid_droplets"] == 1
    assert values["Mean_nuclei_no_edge_Intensity_MeanIntensity_Hoechst"] == pytest.approx(0.25)
    area = np.count_nonzero(droplets == 1)
    assert values["Mean_Lipids_no_edge_AreaShape_Area"] == area
    assert values["StDev_Lipids_no_edge_Intensity_IntegratedIntensity_Defect_image_rescaled"] == (
        pytest.approx(area / 4)
    )
    spectrum = [values[f"Granularity_{step}_Bodipy"] for step in range(1, 17)]
    assert 0 < sum(spectrum) <= 100 + 1e-4


def test_without_objects_means_are_missing(disc):
    none = np.zeros((160, 200), np.uint32)
    images = {
        name: np.full(none.shape, 0.1, np.float32)
        for name in ("Hoechst", "Bodipy", "CellTrackerRed", "Defect_image_rescaled")
    }
    names = ("nuclei", "nuclei_no_edge", "cells_no_edge", "Lipids_no_edge")
    values = challenge_features(dict.fromkeys(names, none), images)
    assert values["Count_nuclei"] == 0
    assert np.isnan(values["Mean_cells_no_edge_AreaShape_Area"])
