"""Scores of stained fields against true stains, as values and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_fluorgen.measurement import FieldScores, MeasuredFeatures
    from napari_fluorgen.segmentation import MatchScores

IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Thresholds at which nuclei are matched."""


@dataclass(frozen=True)
class Evaluation:
    """Scores over a set of fields.

    Attributes
    ----------
    stains : FieldScores
        Official pixel error, correlation and structural similarity, by stain and field.
    fields : tuple of str
        Names of the fields compared.
    missing : tuple of str
        Predicted fields without a truth: they are not in the scores.
    unpredicted : tuple of str
        True fields without a prediction: they are not in the scores.
    curve : tuple of MatchScores
        Nuclei of all fields matched at each of `IOUS`; empty where no field has true labels.
    nuclei_by_field : dict of str to tuple of MatchScores
        The same for each field that has true labels.
    features : MeasuredFeatures or None
        What CellProfiler measured on both sets, with the feature error.
    notes : tuple of str
        What the user should know before believing the scores.
    """

    stains: FieldScores
    fields: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unpredicted: tuple[str, ...] = ()
    curve: tuple[MatchScores, ...] = ()
    nuclei_by_field: Mapping[str, tuple[MatchScores, ...]] = field(default_factory=dict)
    features: MeasuredFeatures | None = None
    notes: tuple[str, ...] = ()

    @property
    def nuclei(self) -> MatchScores | None:
        """Nuclei matched at IoU 0.5, pooled; None where no field has true labels."""
        return self.curve[0] if self.curve else None

    @property
    def feature_error(self) -> float | None:
        """The feature part of the official score, where it was measured."""
        error = self.features.scores.error if self.features else math.nan
        return error if math.isfinite(error) else None

    @property
    def score(self) -> float | None:
        """The official score of a magnification: mean of pixel and feature error."""
        if self.feature_error is None:
            return None
        return (self.stains.pixel_error + self.feature_error) / 2

    def to_record(self) -> dict[str, Any]:
        """Return the scores as JSON-ready values; what is undefined is None."""
        record = {
            "score": self.score,
            "pixel_error": self.stains.pixel_error,
            "feature_error": self.feature_error,
            "stains": {
                name: {key: value for key, value in asdict(score).items() if key != "images"}
                for name, score in self.stains.stains.items()
            },
            "nuclei": self.nuclei and _match_record(self.nuclei),
            "nuclei_over_iou": [_match_record(match) for match in self.curve],
            "by_field": [self._field_record(index) for index in range(len(self.fields))],
            "features": self._feature_record(),
            "fields": list(self.fields),
            "missing": list(self.missing),
            "unpredicted": list(self.unpredicted),
            "notes": list(self.notes),
        }
        return _finite(record)

    def _field_record(self, index: int) -> dict[str, Any]:
        stains = {
            name: {key: value for key, value in asdict(image).items() if key != "field"}
            for name, score in self.stains.stains.items()
            for image in score.images
            if image.field == index
        }
        name = self.fields[index]
        matches = self.nuclei_by_field.get(name, ())
        return {
            "field": name,
            "stains": stains,
            "nuclei_over_iou": [_match_record(match) for match in matches],
        }

    def _feature_record(self) -> dict[str, Any] | None:
        if self.features is None:
            return None
        return {
            "pipeline": self.features.pipeline,
            "fields": list(self.features.fields),
            **asdict(self.features.scores),
        }


def _match_record(match: MatchScores) -> dict[str, Any]:
    names = ("iou", "tp", "fp", "fn", "precision", "recall", "f1")
    return {name: getattr(match, name) for name in names}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
