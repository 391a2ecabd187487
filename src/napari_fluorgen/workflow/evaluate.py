"""Stained fields against true stains: the official score, correlation, nuclei found."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fluorgen.errors import Cancelled, InputError
from napari_fluorgen.stack import STAINS
from napari_fluorgen.workflow.evaluation import IOUS, Evaluation
from napari_fluorgen.workflow.measuring import stained_fields
from napari_fluorgen.workflow.stain_files import (
    StainFiles,
    StainImages,
    find_stains,
    outline_nuclei,
)

if TYPE_CHECKING:
    from napari_fluorgen.measurement import FeatureRun
    from napari_fluorgen.segmentation import MatchScores
    from napari_fluorgen.workflow.field import StopCheck

Progress = Callable[[Any], None]


@dataclass
class _Comparison:
    """Pairs predictions with truths and remembers what the scores do not tell."""

    truths: Mapping[str, StainFiles]
    pixel_size_um: float | None
    names: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    matches: dict[str, tuple[MatchScores, ...]] = field(default_factory=dict)
    lacking: dict[str, list[str]] = field(default_factory=dict)
    segmented: list[str] = field(default_factory=list)

    def pairs(self, predicted: Iterable[StainImages]) -> Iterator[tuple[StainImages, StainImages]]:
        """Yield each prediction that has a truth with it."""
        for found in predicted:
            if found.name not in self.truths:
                self.missing.append(found.name)
                continue
            truth = self.truths[found.name].read()
            _check_shapes(found, truth)
            self.names.append(found.name)
            self._note_lacking(found, truth)
            yield found, self._match_nuclei(found, truth)

    def _note_lacking(self, found: StainImages, truth: StainImages) -> None:
        for side, images in (("true", truth.images), ("predicted", found.images)):
            for stain in STAINS:
                if stain not in images:
                    self.lacking.setdefault(f"{side} {stain} stain", []).append(found.name)

    def _match_nuclei(self, found: StainImages, truth: StainImages) -> StainImages:
        """Match nuclei; return the truth, outlined in its nuclear stain where it has no labels."""
        from napari_fluorgen.segmentation import score_thresholds

        if found.nuclei_labels is None:
            return truth
        labelled = truth.nuclei_labels is not None
        size = (self.pixel_size_um,) * 2 if self.pixel_size_um else found.pixel_size_um
        truth = outline_nuclei(truth, size, found.nuclei_settings)
        if truth.nuclei_labels is None:
            return truth
        if not labelled:
            self.segmented.append(found.name)
        self.matches[found.name] = score_thresholds(truth.nuclei_labels, found.nuclei_labels, IOUS)
        return truth

    def notes(self) -> tuple[str, ...]:
        """Return what the user should know before believing the scores."""
        total = len(self.names)
        notes = [
            f"{len(fields)} of {total} fields have no {what}, the first is {fields[0]}."
            for what, fields in self.lacking.items()
        ]
        if self.segmented:
            notes.append(
                f"{len(self.segmented)} of {total} fields have no labels of their true nuclei: the "
                "nuclei were segmented in the true nuclear stain, whose errors count as the "
                "model's."
            )
        if 0 < len(self.matches) < total:
            notes.append(
                f"Nuclei are matched in {len(self.matches)} of {total} fields: others have no true "
                "or no predicted nuclei to compare."
            )
        return tuple(notes)


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
    from napari_fluorgen.segmentation import pool_scores

    if pixel_size_um is not None and not pixel_size_um > 0:
        raise InputError(f"The pixel size is {pixel_size_um:g} µm; expected a number above 0.")
    comparison = _Comparison(truths, pixel_size_um)

    def images() -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        for found, truth in comparison.pairs(predicted):
            if gather is not None:
                gather(found, truth)
            yield found.images, truth.images

    names, missing, matches = comparison.names, comparison.missing, comparison.matches
    try:
        stains = score_fields(images(), ssim=True)
    except InputError as error:
        if names or not missing:
            raise
        raise InputError(
            f"None of the {len(missing)} predicted fields has a true stain of the same name: the "
            f"first prediction is '{missing[0]}', the first truth is '{next(iter(truths), '')}'."
        ) from error
    return Evaluation(
        stains,
        tuple(names),
        tuple(missing),
        tuple(name for name in truths if name not in names),
        tuple(pool_scores(scores) for scores in zip(*matches.values(), strict=True)),
        matches,
        notes=comparison.notes(),
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
    notes: list[str] | None = None,
    progress: Progress | None = None,
    should_stop: StopCheck | None = None,
) -> Iterator[StainImages]:
    """Read what `fluorgen stain` wrote, or stains of another program with the same file names.

    `notes` gains what `find_stains` leaves out.

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
            yield StainImages.of_field(stained)
        return
    for files in find_stains(folder, notes).values():
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
    from napari_fluorgen.workflow.evaluate_features import add_features, no_space
    from napari_fluorgen.workflow.evaluate_files import check_scores, write_scores

    check_scores(output, overwrite=overwrite)
    command = find_cellprofiler(cellprofiler) if features or cellprofiler else None
    left_out: list[str] = []
    truths = find_stains(truth, left_out)
    fields = read_predictions(predicted, notes=left_out, progress=progress, should_stop=should_stop)
    with ExitStack() as stack:
        run: FeatureRun | None = None
        sizes: list[tuple[float, float]] = []
        unfit: list[str] = []
        full: list[str] = []
        if command is not None:
            try:
                folder = tempfile.TemporaryDirectory(
                    prefix="fluorgen-features-", ignore_cleanup_errors=True
                )
                run = FeatureRun(Path(stack.enter_context(folder)), pipeline)
            except OSError as error:
                full.append(no_space(error))

        def gather(found: StainImages, true: StainImages) -> None:
            if found.pixel_size_um:
                sizes.append(found.pixel_size_um)
            if run is not None and not full:
                try:
                    run.add(found.name, found.images, true.images)
                except InputError as error:
                    unfit.append(f"Left out of the feature error: {error}")
                except OSError as error:  # fields that fitted would not speak for the others
                    full.append(no_space(error))

        evaluation = evaluate_fields(fields, truths, gather=gather, pixel_size_um=pixel_size_um)
        evaluation = replace(
            evaluation, notes=(*dict.fromkeys(left_out), *evaluation.notes, *unfit, *full)
        )
        given = (pixel_size_um, pixel_size_um) if pixel_size_um else None
        if run is not None and command is not None and not full:
            evaluation = add_features(
                evaluation,
                run,
                command,
                [given] if given else sizes,
                processes or default_processes(),
                progress,
                should_stop,
            )
        elif features and command is None:
            note = (
                "CellProfiler was not found (`fluorgen cellprofiler install` sets it up): no "
                "feature error and no official score."
            )
            evaluation = replace(evaluation, notes=(*evaluation.notes, note))
    return evaluation, write_scores(
        evaluation, output, folders=(predicted, truth), pixel_size_um=given, overwrite=overwrite
    )
