"""Measurements with CellProfiler's names, the hand-over to CellProfiler, the official score.

`measure_field` turns a stained field into tables, `write_tables` into CSV files;
`export_cellprofiler` writes a folder that CellProfiler runs; `score_fields` compares with truth.
`measure_features` runs the real CellProfiler on both and gives the feature part of the score.
"""

from napari_fluorgen.measurement.cellprofiler_find import (
    CellProfiler,
    find_cellprofiler,
    locate_cellprofiler,
    remember_cellprofiler,
    require_cellprofiler,
)
from napari_fluorgen.measurement.cellprofiler_project import CellProfilerResult, run_cellprofiler
from napari_fluorgen.measurement.cellprofiler_run import run_pipeline
from napari_fluorgen.measurement.challenge import challenge_style_pipeline, feature_names
from napari_fluorgen.measurement.export import ExportSummary, export_cellprofiler
from napari_fluorgen.measurement.feature_error import FeatureScores, feature_error
from napari_fluorgen.measurement.feature_run import (
    FeatureRun,
    MeasuredFeatures,
    measure_features,
)
from napari_fluorgen.measurement.field import (
    FieldMeasurements,
    confidence_columns,
    find_objects,
    measure_field,
)
from napari_fluorgen.measurement.objects import DropletSettings
from napari_fluorgen.measurement.score import (
    FieldScores,
    ImageScore,
    StainScore,
    best_line,
    pearson,
    pixel_error,
    score_fields,
    structural_similarity,
)
from napari_fluorgen.measurement.tables import measure_labels
from napari_fluorgen.measurement.writing import write_tables

__all__ = [
    "CellProfiler",
    "CellProfilerResult",
    "DropletSettings",
    "ExportSummary",
    "FeatureRun",
    "FeatureScores",
    "FieldMeasurements",
    "FieldScores",
    "ImageScore",
    "MeasuredFeatures",
    "StainScore",
    "best_line",
    "challenge_style_pipeline",
    "confidence_columns",
    "export_cellprofiler",
    "feature_error",
    "feature_names",
    "find_cellprofiler",
    "find_objects",
    "locate_cellprofiler",
    "measure_features",
    "measure_field",
    "measure_labels",
    "pearson",
    "pixel_error",
    "remember_cellprofiler",
    "require_cellprofiler",
    "run_cellprofiler",
    "run_pipeline",
    "score_fields",
    "structural_similarity",
    "write_tables",
]
