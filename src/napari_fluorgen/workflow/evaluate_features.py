"""The feature part of an evaluation, by the real CellProfiler."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from napari_fluorgen.errors import ExternalToolError, InputError
from napari_fluorgen.workflow.events import Measuring
from napari_fluorgen.workflow.field import StopCheck

if TYPE_CHECKING:
    from napari_fluorgen.measurement import FeatureRun, MeasuredFeatures
    from napari_fluorgen.workflow.evaluation import Evaluation


def add_features(
    evaluation: Evaluation,
    run: FeatureRun,
    command: tuple[str, ...],
    pixel_sizes_um: Sequence[tuple[float, float]],
    processes: int,
    progress: Callable[[Measuring], None] | None,
    should_stop: StopCheck | None,
) -> Evaluation:
    """Add the feature error, or a note that says why there is none.

    Parameters
    ----------
    evaluation : Evaluation
    run : FeatureRun
        With the fields that can be measured.
    command, processes, progress, should_stop
        As for `FeatureRun.measure`.
    pixel_sizes_um : sequence of tuple of float (y, x)
        Of the fields that say theirs, or the one that the user gave.

    Raises
    ------
    Cancelled
        When `should_stop` returned true.
    """
    from napari_fluorgen.measurement.pixel_size import pipeline_pixel_size

    notes = list(evaluation.notes)
    measured = None
    if not run.fields:
        notes.append("No field can be measured with CellProfiler: there is no feature error.")
    else:
        size, mixed = pipeline_pixel_size(pixel_sizes_um)
        if run.hangs_on_pixel_size:
            notes += mixed
            if not pixel_sizes_um:
                notes.append(
                    f"The stains do not say their pixel size: features were measured for {size} µm "
                    "a pixel."
                )
        try:
            measured = run.measure(
                command,
                pixel_size_um=size,
                processes=processes,
                progress=lambda done, total: progress and progress(Measuring(done, total)),
                should_stop=should_stop,
            )
            notes += _without_objects(measured)
        except OSError as error:
            notes.append(no_space(error))
        except (ExternalToolError, InputError) as error:
            notes.append(f"There is no feature error: {error}")
    return replace(evaluation, features=measured, notes=tuple(notes))


def no_space(error: OSError) -> str:
    """One sentence for what hinders writing where CellProfiler would work."""
    return (
        f"There is no feature error: the temporary folder {tempfile.gettempdir()} cannot be "
        f"written ({error.strerror or error}): free some space or name another folder with TMPDIR."
    )


def _without_objects(measured: MeasuredFeatures) -> list[str]:
    """Say which objects the pipeline found in no true image, so that their features are missing."""
    empty = [
        name.removeprefix("Count_")
        for name, values in measured.truth.items()
        if name.startswith("Count_") and not values.any() and "Defective" not in name
    ]
    if not empty:
        return []
    return [
        f"The pipeline {measured.pipeline} found no {', no '.join(empty)} in any true image, so "
        "that the feature error lacks them: its thresholds may not suit the brightness of these "
        "stains."
    ]
