"""Conformal confidence of the nuclei: calibration, p-value maps, regions, objects.

`calibrate` makes the table on fields that were not used for training, `p_value_maps` reads a
probability map through it, `prediction_regions` and `object_confidence` say what may be believed.
"""

from napari_fluorgen.confidence.calibration import Calibration, calibrate
from napari_fluorgen.confidence.maps import (
    confidence_and_credibility,
    error_rates,
    p_value_maps,
    prediction_regions,
)
from napari_fluorgen.confidence.objects import DECISIONS, object_confidence
from napari_fluorgen.confidence.scores import CLASSES, REGIONS, nonconformity, p_values

__all__ = [
    "CLASSES",
    "DECISIONS",
    "REGIONS",
    "Calibration",
    "calibrate",
    "confidence_and_credibility",
    "error_rates",
    "nonconformity",
    "object_confidence",
    "p_value_maps",
    "p_values",
    "prediction_regions",
]
