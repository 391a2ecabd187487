"""Nuclei probability to instances, and how well instances match the truth."""

from napari_fluorgen.segmentation.fluorescence import segment_fluorescence
from napari_fluorgen.segmentation.labels import object_probability, relabel_sequential
from napari_fluorgen.segmentation.matching import (
    MatchScores,
    iou_matrix,
    match_instances,
    pool_scores,
    score_thresholds,
)
from napari_fluorgen.segmentation.nuclei import segment_nuclei

__all__ = [
    "MatchScores",
    "iou_matrix",
    "match_instances",
    "object_probability",
    "pool_scores",
    "relabel_sequential",
    "score_thresholds",
    "segment_fluorescence",
    "segment_nuclei",
]
