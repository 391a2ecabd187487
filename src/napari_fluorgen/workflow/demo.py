"""The whole path on the sample data, for a first look."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fluorgen.errors import Cancelled, InputError, OutputError
from napari_fluorgen.io.atomic import check_output_folder
from napari_fluorgen.workflow.batch import stain_batch
from napari_fluorgen.workflow.events import Stage
from napari_fluorgen.workflow.field import StopCheck
from napari_fluorgen.workflow.request import StainRequest
from napari_fluorgen.workflow.sample import sample_folder

if TYPE_CHECKING:
    from napari_fluorgen.measurement import ExportSummary
    from napari_fluorgen.models import Model
    from napari_fluorgen.workflow.batch import BatchSummary
    from napari_fluorgen.workflow.evaluation import Evaluation
    from napari_fluorgen.workflow.measuring import MeasureSummary


@dataclass(frozen=True)
class DemoResult:
    """What the demo left.

    Attributes
    ----------
    folder : Path
        Holds ``stained``, ``tables``, ``cellprofiler``, ``scores`` and the pictures.
    stained : BatchSummary
    measured : MeasureSummary
    exported : ExportSummary
    evaluation : Evaluation
        Against the true stains of the sample, which are simulated.
    pictures : tuple of Path
        One a field.
    """

    folder: Path
    stained: BatchSummary
    measured: MeasureSummary
    exported: ExportSummary
    evaluation: Evaluation
    pictures: tuple[Path, ...]


def run_demo(
    folder: str | Path,
    request: StainRequest | None = None,
    *,
    sample: str | Path | None = None,
    model: Model | None = None,
    overwrite: bool = False,
    should_stop: StopCheck | None = None,
) -> Generator[Any, None, DemoResult]:
    """Stain, measure, export, score and picture the sample plate.

    Parameters
    ----------
    folder : path
        Of the results.
    request : StainRequest, optional
        Default settings otherwise.
    sample : path, optional
        Another plate with true stains, simulated as well.
    model : Model, optional
        A loaded model.
    overwrite : bool
        Replace an earlier demo.
    should_stop : callable, optional
        Asked between tiles and steps.

    Yields
    ------
    The events of `stain_batch`, then a Stage a step.

    Raises
    ------
    FluorgenError
        As the steps raise it.
    """
    from napari_fluorgen.io import find_fields, results
    from napari_fluorgen.workflow.evaluate import evaluate_folders
    from napari_fluorgen.workflow.measuring import export_folder, measure_folder
    from napari_fluorgen.workflow.picture import save_picture

    folder = Path(folder)
    request = request or StainRequest.build()
    sample = Path(sample) if sample is not None else sample_folder()
    check_output_folder(folder)
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise OutputError(
            f"{folder} is not empty: use --overwrite to replace an earlier demo, or another folder."
        )
    found = find_fields([sample])
    stained = yield from stain_batch(
        found,
        request,
        folder / "stained",
        overwrite=overwrite,
        model=model,
        should_stop=should_stop,
    )
    if stained.cancelled:
        raise Cancelled(f"The demo was stopped; the finished fields are in {stained.folder}.")
    if stained.failed:
        raise InputError(stained.reasons[stained.failed[0]])
    yield Stage("measuring")
    measured = measure_folder(
        stained.folder, folder / "tables", overwrite=overwrite, should_stop=should_stop
    )
    yield Stage("exporting for CellProfiler")
    exported = export_folder(
        stained.folder, folder / "cellprofiler", overwrite=overwrite, should_stop=should_stop
    )
    yield Stage("comparing with the true stains")
    evaluation, _ = evaluate_folders(
        stained.folder, sample, folder / "scores", overwrite=overwrite, should_stop=should_stop
    )
    pictures = []
    for source in found.fields:
        yield Stage("drawing")
        name = source.identity.name
        pictures.append(
            save_picture(
                source.open(),
                results.read_field(stained.folder, name),
                folder / f"{name}.png",
                significance=request.significance,
                truth_caption="true stains (simulated)",
                overwrite=overwrite,
            )
        )
    return DemoResult(folder, stained, measured, exported, evaluation, tuple(pictures))
