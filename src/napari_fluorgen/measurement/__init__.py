"""Measurements with CellProfiler's names, the hand-over to CellProfiler, the official score.

`measure_field` turns a stained field into tables, `write_tables` into CSV files;
`export_cellprofiler` writes a folder that CellProfiler runs; `score_fields` compares with truth.
"""

from napari_fluorgen.measurement.export import ExportSummary, export_cellprofiler
from napari_fluorgen.measurement.field import (
    FieldMeasurements,
    confidence_columns,
    find_objects,
    measure_field,
)
from napari_fluorgen.measurement.objects import DropletSettings
from napari_fluorgen.measurement.score import (
    FieldScores,
    StainScore,
    pearson,
    pixel_error,
    score_fields,
    structural_similarity,
)
from napari_fluorgen.measurement.tables import measure_labels
from napari_fluorgen.measurement.writing import write_tables

__all__ = [
    "DropletSettings",
    "ExportSummary",
    "FieldMeasurements",
    "FieldScores",
    "StainScore",
    "confidence_columns",
    "export_cellprofiler",
    "find_objects",
    "measure_field",
    "measure_labels",
    "pearson",
    "pixel_error",
    "score_fields",
    "structural_similarity",
    "write_tables",
]
