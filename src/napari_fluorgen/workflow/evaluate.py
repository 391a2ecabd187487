"""Stained fields against true stains: the official pixel error, correlation, nuclei found."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fluorgen.errors import Cancelled, InputError
from napari_fluorgen.workflow.events import FieldStarted
from napari_fluorgen.workflow.measuring import stained_fields
from napari_fluorgen.workflow.stain_files import StainFiles, StainImages, find_stains

if TYPE_CHECKING:
    from napari_fluorgen.measurement import FieldScores
    from napari_fluorgen.segmentation import MatchScores

IOU = 0.5


@dataclass(frozen=True)
class Evaluation:
    """Scores over a set of fields.

    Attributes
    ----------
    stains : FieldScores
        Official pixel error and correlation by stain.
    nuclei : MatchScores or None
        Nuclei matched at IoU 0.5, pooled; None where no field has true labels.
    fields : tuple of str
        Names of the fields compared.
    missing : tuple of str
        Predicted fields without a truth.
    unpredicted : tuple of str
        True fields without a prediction: they are not in the scores.
    """

    stains: FieldScores
    nuclei: MatchScores | None
    fields: tuple[str, ...]
    missing: tuple[str, ...]
    unpredicted: tuple[str, ...]

    def to_record(self) -> dict[str, Any]:
        """Return the scores as JSON-ready values; what is undefined is None."""
        nuclei = self.nuclei and {
            "iou": self.nuclei.iou,
            "tp": self.nuclei.tp,
            "fp": self.nuclei.fp,
            "fn": self.nuclei.fn,
            "precision": self.nuclei.precision,
            "recall": self.nuclei.recall,
            "f1": self.nuclei.f1,
        }
        return {
            "pixel_error": self.stains.pixel_error,
            "stains": {
                name: {key: _finite(value) for key, value in asdict(score).items()}
                for name, score in self.stains.stains.items()
            },
            "nuclei": nuclei,
            "fields": list(self.fields),
            "missing": list(self.missing),
            "unpredicted": list(self.unpredicted),
        }


def evaluate_fields(
    predicted: Iterable[StainImages], truths: Mapping[str, StainFiles]
) -> Evaluation:
    """Compare predictions with the truths of the same names.

    Raises
    ------
    InputError
        When no names agree, a file is damaged, or images differ in shape.
    """
    from napari_fluorgen.measurement import score_fields
    from napari_fluorgen.segmentation import match_instances, pool_scores

    pairs, matches, names, missing = [], [], [], []
    for field in predicted:
        if field.name not in truths:
            missing.append(field.name)
            continue
        truth = truths[field.name].read()
        names.append(truth.name)
        pairs.append((field.images, truth.images))
        if truth.nuclei_labels is not None and field.nuclei_labels is not None:
            matches.append(match_instances(truth.nuclei_labels, field.nuclei_labels, iou=IOU))
    if not pairs:
        raise InputError(
            f"None of the {len(missing)} predicted fields has a true stain of the same name: the "
            f"first prediction is '{next(iter(missing), '')}', the first truth is "
            f"'{next(iter(truths), '')}'."
        )
    return Evaluation(
        score_fields(pairs),
        pool_scores(matches) if matches else None,
        tuple(names),
        tuple(missing),
        tuple(name for name in truths if name not in names),
    )


def read_predictions(
    folder: str | Path,
    *,
    progress: Callable[[FieldStarted], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
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
        for field in stained_fields(folder, progress=progress, should_stop=should_stop):
            yield StainImages(field.identity.name, field.images, field.nuclei_labels)
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
    overwrite: bool = False,
    progress: Callable[[FieldStarted], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[Evaluation, list[Path]]:
    """Compare a folder of stains with one of true stains; write ``scores.csv`` and ``.json``.

    Parameters and errors are those of `find_stains`, `read_predictions` and `write_scores`.
    """
    truths = find_stains(truth)
    fields = read_predictions(predicted, progress=progress, should_stop=should_stop)
    evaluation = evaluate_fields(fields, truths)
    return evaluation, write_scores(evaluation, output, overwrite=overwrite)


def write_scores(
    evaluation: Evaluation, folder: str | Path, *, overwrite: bool = False
) -> list[Path]:
    """Write ``scores.csv`` (a row a stain) and ``scores.json``.

    Raises
    ------
    OutputError
        When a file exists and `overwrite` is false, or the folder cannot be written.
    """
    from napari_fluorgen.io.atomic import atomic_path

    folder = Path(folder)
    table, record = folder / "scores.csv", folder / "scores.json"
    with (
        atomic_path(table, overwrite=overwrite) as first,
        atomic_path(record, overwrite=overwrite) as second,
    ):
        with first.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(("stain", *(score_columns := _columns(evaluation))))
            for name, score in evaluation.to_record()["stains"].items():
                writer.writerow((name, *(score[column] for column in score_columns)))
        second.write_text(json.dumps(evaluation.to_record(), indent=2) + "\n", encoding="utf-8")
    return [table, record]


def _columns(evaluation: Evaluation) -> list[str]:
    first = next(iter(evaluation.to_record()["stains"].values()))
    return [name for name, value in first.items() if value is not None or name == "pearson"]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
