"""The 99 numbers of the Adipocyte Cell Challenge, measured without CellProfiler."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.measurement.challenge import MEASURED_IMAGES, feature_names
from napari_fluorgen.measurement.granularity import measure_granularity
from napari_fluorgen.measurement.intensity import measure_intensity
from napari_fluorgen.measurement.shape import measure_shape

DEFECT = "Intensity_IntegratedIntensity_Defect_image_rescaled"


def challenge_features(
    labels: Mapping[str, NDArray], images: Mapping[str, NDArray], *, defect: float = 10.0
) -> dict[str, float]:
    """Measure the 99 numbers of one image on objects that are given.

    Parameters
    ----------
    labels : mapping of str to ndarray, shape (Y, X), integer
        ``"nuclei"``, ``"nuclei_no_edge"``, ``"cells_no_edge"``, ``"Lipids_no_edge"``, each
        numbered from 1.
    images : mapping of str to ndarray, shape (Y, X), float32
        ``"Hoechst"``, ``"Bodipy"``, ``"CellTrackerRed"`` scaled to [0, 1], and
        ``"Defect_image_rescaled"``, the image of dark holes in droplets.
    defect : float
        Least sum of the defect image over a droplet that counts as defective.

    Returns
    -------
    dict of str to float
        In the order of `feature_names`; NaN where a mean has no object.
    """
    values: dict[str, float] = {
        f"Count_{name}": float(mask.max(initial=0)) for name, mask in labels.items()
    }
    values |= measure_granularity(images["Bodipy"], "Bodipy")[0]
    for name, chosen in MEASURED_IMAGES.items():
        mask = labels[name]
        count = int(mask.max(initial=0))
        table = measure_shape(mask, count)
        table |= measure_intensity(mask, {image: images[image] for image in chosen}, count)
        for feature, column in table.items():
            finite = column[np.isfinite(column)]
            values[f"Mean_{name}_{feature}"] = float(finite.mean()) if finite.size else np.nan
            values[f"StDev_{name}_{feature}"] = float(finite.std()) if finite.size else np.nan
        if name == "Lipids_no_edge":
            values["Count_Defective_lipid_droplets"] = float((table[DEFECT] >= defect).sum())
    return {name: values[name] for name in feature_names()}
