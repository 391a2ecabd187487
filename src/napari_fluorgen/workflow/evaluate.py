"""Stained fields against true stains: the official score, correlation, nuclei found."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fluorgen.errors import Cancelled, InputError
from napari_fluorgen.stack import STAINS
from napari_fluorgen.workflow.measuring import stained_fields
from napari_fluorgen.workflow.stain_files import (
    StainFiles,
    StainImages,
    find_stains,
    outline_nuclei,
)

if TYPE_CHECKING:
    from napari_fluorgen.measurement import FeatureRun, FieldScores, MeasuredFeatures
    from napari_fluorgen.segmentation import MatchScores

IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Thresholds at which nuclei are matched."""


Progress = Callable[[Any], None]
StopCheck = Callable[[], bool]


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


def evaluate_fields(
    predicted: Iterable[StainImages],
    truths: Mapping[str, StainFiles],
    *,
    gather: Callable[[StainImages, StainImages], None] | None = None,
    pixel_size_um: float | None = None,
) -> Evaluation:
    """Compare predictions with the truths of the same names.

    Parameters
    ----------
    predicted : iterable of StainImages
        Drained one by one.
    truths : mapping of str to StainFiles
        Read when needed.
    gather : callable, optional
        Gets each prediction with its truth.
    pixel_size_um : float, optional
        Where the predictions do not say it: to label nuclei in true stains without labels.

    Raises
    ------
    InputError
        When no names agree, a file is damaged, or images differ in shape.
    """
    from napari_fluorgen.measurement import score_fields
    from napari_fluorgen.segmentation import pool_scores, score_thresholds

    names: list[str] = []
    missing: list[str] = []
    matches: dict[str, tuple[MatchScores, ...]] = {}
    lacking: dict[str, list[str]] = {}
    segmented: list[str] = []

    def pairs() -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        for found in predicted:
            if found.name not in truths:
                missing.append(found.name)
                continue
            truth = truths[found.name].read()
            _check_shapes(found, truth)
            names.append(found.name)
            for stain in STAINS:
                for side, images in (("true", truth.images), ("predicted", found.images)):
                    if stain not in images:
                        lacking.setdefault(f"{side} {stain} stain", []).append(found.name)
            if found.nuclei_labels is not None:
                labelled = truth.nuclei_labels is not None
                size = (pixel_size_um, pixel_size_um) if pixel_size_um else found.pixel_size_um
                truth = outline_nuclei(truth, size)
                if not labelled and truth.nuclei_labels is not None:
                    segmented.append(found.name)
            if truth.nuclei_labels is not None and found.nuclei_labels is not None:
                scores = score_thresholds(truth.nuclei_labels, found.nuclei_labels, IOUS)
                matches[found.name] = scores
            if gather is not None:
                gather(found, truth)
            yield found.images, truth.images

    try:
        stains = score_fields(pairs(), ssim=True)
    except InputError as error:
        if names or not missing:
            raise
        raise InputError(
            f"None of the {len(missing)} predicted fields has a true stain of the same name: the "
            f"first prediction is '{next(iter(missing), '')}', the first truth is "
            f"'{next(iter(truths), '')}'."
        ) from error
    curve = [pool_scores(scores) for scores in zip(*matches.values(), strict=True)]
    notes = [
        f"{len(fields)} of {len(names)} fields have no {what}, the first is {fields[0]}."
        for what, fields in lacking.items()
    ]
    if segmented:
        notes.append(
            f"{len(segmented)} of {len(names)} fields have no labels of their true nuclei: the "
            "nuclei were segmented in the true nuclear stain, whose errors count as the model's."
        )
    if 0 < len(matches) < len(names):
        notes.append(
            f"Nuclei are matched in {len(matches)} of {len(names)} fields: others have no true or "
            "no predicted nuclei to compare."
        )
    return Evaluation(
        stains,
        tuple(names),
        tuple(missing),
        tuple(name for name in truths if name not in names),
        tuple(curve),
        matches,
        notes=tuple(notes),
    )


def _check_shapes(found: StainImages, truth: StainImages) -> None:
    for what in (*STAINS, "nuclei labels"):
        one, other = (
            images.nuclei_labels if what == "nuclei labels" else images.images.get(what)
            for images in (found, truth)
        )
        if one is not None and other is not None and one.shape != other.shape:
            raise InputError(
                f"Field {found.name}: the predicted {what} have the shape {one.shape}, the true "
                f"ones {other.shape}: compare images of the same field and size."
            )


def read_predictions(
    folder: str | Path,
    *,
    progress: Progress | None = None,
    should_stop: StopCheck | None = None,
) -> Iterator[StainImages]:
    """Read what `fluorgen stain` wrote, or stains of another program with the same file names.

    Raises
    ------
    InputError
        When the folder holds no stains.
    Cancelled
        When `should_stop` returned true.
    """
    from napari_fluorgen.io import results

    if results.list_fields(folder):
        for stained in stained_fields(folder, progress=progress, should_stop=should_stop):
            yield StainImages(
                stained.identity.name, stained.images, stained.nuclei_labels, stained.pixel_size_um
            )
        return
    for files in find_stains(folder).values():
        if should_stop is not None and should_stop():
            raise Cancelled("The comparison was stopped; nothing was written.")
        yield files.read()


def evaluate_folders(
    predicted: str | Path,
    truth: str | Path,
    output: str | Path,
    *,
    features: bool = False,
    cellprofiler: str | Path | None = None,
    pipeline: str | Path | None = None,
    pixel_size_um: float | None = None,
    processes: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    should_stop: StopCheck | None = None,
) -> tuple[Evaluation, list[Path]]:
    """Compare a folder of stains with one of true stains and write the scores.

    Parameters
    ----------
    predicted, truth, output : path-like
        Folders; fields are paired by name.
    features : bool
        Also measure both sets with the real CellProfiler, where it is found, for the feature
        part of the official score.
    cellprofiler, pipeline
        As for `measurement.measure_features`.
    processes : int, optional
        CellProfiler programs at a time; half the cores, up to 4, where it is not given.
    pixel_size_um : float, optional
        Where the predictions do not say it; 0.325 where nothing does.
    overwrite : bool
        Whether existing scores may be replaced.
    progress : callable, optional
        Called with `FieldStarted` and `Measuring`.
    should_stop : callable, optional
        Asked before each field and while CellProfiler runs.

    Returns
    -------
    evaluation : Evaluation
    files : list of Path
        ``scores.csv``, ``scores.json``, ``scores.html`` and, with features, ``features.csv``.

    Raises
    ------
    InputError, OutputError, Cancelled
        Nothing is written then.
    ExternalToolError
        When `cellprofiler` or ``FLUORGEN_CELLPROFILER`` names no program. A failure of
        CellProfiler itself is told in `Evaluation.notes`: the other scores are written.
    """
    from napari_fluorgen.measurement import FeatureRun, find_cellprofiler
    from napari_fluorgen.measurement.cellprofiler_parts import default_processes
    from napari_fluorgen.workflow.evaluate_features import add_features
    from napari_fluorgen.workflow.evaluate_files import check_scores, write_scores

    check_scores(output, overwrite=overwrite)
    command = find_cellprofiler(cellprofiler) if features or cellprofiler else None
    truths = find_stains(truth)
    fields = read_predictions(predicted, progress=progress, should_stop=should_stop)
    with ExitStack() as stack:
        run: FeatureRun | None = None
        if command is not None:
            folder = tempfile.TemporaryDirectory(prefix="fluorgen-features-")
            run = FeatureRun(Path(stack.enter_context(folder)), pipeline)
        sizes: list[tuple[float, float]] = []
        unfit: list[str] = []

        def gather(found: StainImages, true: StainImages) -> None:
            if found.pixel_size_um:
                sizes.append(found.pixel_size_um)
            if run is not None:
                try:
                    run.add(found.name, found.images, true.images)
                except InputError as error:
                    unfit.append(f"Left out of the feature error: {error}")

        evaluation = evaluate_fields(fields, truths, gather=gather, pixel_size_um=pixel_size_um)
        evaluation = replace(evaluation, notes=(*evaluation.notes, *unfit))
        size = (pixel_size_um, pixel_size_um) if pixel_size_um else next(iter(sizes), None)
        if run is not None and command is not None:
            evaluation = add_features(
                evaluation,
                run,
                command,
                size,
                processes or default_processes(),
                progress,
                should_stop,
            )
        elif features:
            note = (
                "CellProfiler was not found (`fluorgen cellprofiler install` sets it up): no "
                "feature error and no official score."
            )
            evaluation = replace(evaluation, notes=(*evaluation.notes, note))
    return evaluation, write_scores(
        evaluation, output, folders=(predicted, truth), pixel_size_um=size, overwrite=overwrite
    )
