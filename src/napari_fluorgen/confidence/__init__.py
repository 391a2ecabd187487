"""Conformal confidence: of pixels, of whole nuclei, of intensities, and whether it holds here.

`calibrate` makes the tables on fields that were not used for training, `p_value_maps` reads a
probability map through them, `prediction_regions` and `object_confidence` say what may be believed,
`looks_like_calibration` whether the tables apply to a field, and `calibrate_interval` makes the
intervals of a stain.
"""

from napari_fluorgen.confidence.calibration import Calibration, calibrate
from napari_fluorgen.confidence.fields import FieldCalibration, Verdict, looks_like_calibration
from napari_fluorgen.confidence.intervals import (
    IntervalCalibration,
    calibrate_interval,
    interval,
)
from napari_fluorgen.confidence.maps import (
    confidence_and_credibility,
    error_rates,
    p_value_maps,
    prediction_regions,
)
from napari_fluorgen.confidence.object_scores import object_scores
from napari_fluorgen.confidence.objects import DECISIONS, object_confidence
from napari_fluorgen.confidence.residual import (
    INTERVAL_STAINS,
    calibrate_by_residual,
    calibrate_intervals,
)
from napari_fluorgen.confidence.risk import THRESHOLDS, missed_share, risk_control_threshold
from napari_fluorgen.confidence.scores import CLASSES, REGIONS, nonconformity, p_values
from napari_fluorgen.confidence.selection import (
    ObjectCalibration,
    benjamini_hochberg,
    best_overlap,
    object_p_values,
    rejected_objects,
    trusted_objects,
)
from napari_fluorgen.confidence.spread import SpreadTable, fit_spread, flip_spread
from napari_fluorgen.confidence.table import nuclei_table

__all__ = [
    "CLASSES",
    "DECISIONS",
    "INTERVAL_STAINS",
    "REGIONS",
    "THRESHOLDS",
    "Calibration",
    "FieldCalibration",
    "IntervalCalibration",
    "ObjectCalibration",
    "SpreadTable",
    "Verdict",
    "benjamini_hochberg",
    "best_overlap",
    "calibrate",
    "calibrate_by_residual",
    "calibrate_interval",
    "calibrate_intervals",
    "confidence_and_credibility",
    "error_rates",
    "fit_spread",
    "flip_spread",
    "interval",
    "looks_like_calibration",
    "missed_share",
    "nonconformity",
    "nuclei_table",
    "object_confidence",
    "object_p_values",
    "object_scores",
    "p_value_maps",
    "p_values",
    "prediction_regions",
    "rejected_objects",
    "risk_control_threshold",
    "trusted_objects",
]
