"""Stained fields through the real CellProfiler to tables and masks."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_fluorgen.stack import StainedField
from napari_fluorgen.workflow.events import Measuring, Stage
from napari_fluorgen.workflow.field import StopCheck

if TYPE_CHECKING:
    from napari_fluorgen.measurement import CellProfilerResult, FieldMeasurements

PROJECT = "cellprofiler"
"""Folder of the project beside the tables."""

_KINDS = {"cells": "Cells", "cytoplasm": "Cytoplasm", "droplets": "LipidDroplets"}


def measure_with_cellprofiler(
    fields: Iterable[StainedField],
    output: str | Path,
    *,
    program: str | Path | None = None,
    pipeline: str | Path | None = None,
    processes: int | None = None,
    overwrite: bool = False,
    should_stop: StopCheck | None = None,
) -> Generator[Stage | Measuring, None, CellProfilerResult]:
    """Export fields, run CellProfiler on them and gather its tables and masks.

    The project stays in the folder ``cellprofiler`` of `output`, to be opened in CellProfiler's
    window. What is finished when CellProfiler fails or is stopped is kept, and taken up by the
    next call.

    Parameters
    ----------
    fields : iterable of StainedField
        Drained one by one.
    output : path-like
        Folder of ``Image.csv``, ``Nuclei.csv`` ... as the built-in engine names them.
    program : path-like, optional
        As for `locate_cellprofiler`.
    pipeline : path-like, optional
        A pipeline of one's own, which begins with LoadData.
    processes : int
        CellProfiler programs at a time, each takes about 1 GB; default: half the cores, up to 4.
    overwrite : bool
        Whether tables of an earlier measurement may be replaced.
    should_stop : callable, optional
        Asked several times a second.

    Yields
    ------
    Stage, then Measuring

    Raises
    ------
    ExternalToolError
        CellProfiler is missing, failed, or did not measure every image.
    InputError, OutputError, Cancelled
        As `export_cellprofiler` and `run_cellprofiler` raise them.
    """
    from napari_fluorgen.measurement import export_cellprofiler, require_cellprofiler
    from napari_fluorgen.measurement.cellprofiler_parts import default_processes
    from napari_fluorgen.measurement.cellprofiler_project import (
        cellprofiler_steps,
        check_outputs,
        own_pipeline,
    )

    output = Path(output)
    # asked before the export, which takes minutes for a plate
    require_cellprofiler(program)
    # read before the export, which may replace the file
    own = None if pipeline is None else own_pipeline(pipeline)
    check_outputs(output, overwrite)
    yield Stage("exporting for CellProfiler")
    project = output / PROJECT
    # without tables beside it, a project is what an unfinished measurement left
    exported = export_cellprofiler(fields, project, overwrite=True)
    yield Stage("starting CellProfiler")
    steps = cellprofiler_steps(
        project,
        output,
        executable=program,
        own=own,
        processes=processes or default_processes(),
        overwrite=overwrite,
        should_stop=should_stop,
    )
    while True:
        try:
            done, total = next(steps)
        except StopIteration as end:
            notes = exported.notes if own is None else ()
            return replace(end.value, notes=(*notes, *end.value.notes))
        yield Measuring(done, total)


def read_back(
    field: StainedField, result: CellProfilerResult, objects: Collection[str] = tuple(_KINDS)
) -> FieldMeasurements:
    """Return what CellProfiler measured on one field as the built-in engine returns it.

    Parameters
    ----------
    field : StainedField
        The field that was measured, and no other.
    result : CellProfilerResult
    objects : collection of str
        Kinds of object to bring back, of ``"nuclei"``, ``"cells"``, ``"cytoplasm"``,
        ``"droplets"``; nuclei always come along.
    """
    import numpy as np
    import tifffile

    from napari_fluorgen.measurement import FieldMeasurements
    from napari_fluorgen.measurement.cellprofiler_gather import read_table
    from napari_fluorgen.measurement.names import sequential

    labels, originals = sequential(field.nuclei_labels)
    images = {"Nuclei": labels}
    found = next(iter(result.masks.values()), {})
    for kind, name in _KINDS.items():
        if kind in objects and name in found:
            images[name] = tifffile.imread(found[name]).astype(np.uint32)
    tables = {
        name: read_table(path)
        for name, path in result.tables.items()
        if name == "Image" or name in images
    }
    return FieldMeasurements(field.identity, tables, images, originals)
