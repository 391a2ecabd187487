"""Stained fields against true stains: the official pixel error, correlation, nuclei found."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import FieldIdentity, StainedField
from napari_fluorgen.workflow.events import FieldStarted
from napari_fluorgen.workflow.measuring import stained_fields

if TYPE_CHECKING:
    from napari_fluorgen.measurement import FieldScores
    from napari_fluorgen.segmentation import MatchScores

IOU = 0.5


@dataclass(frozen=True)
class TrueField:
    """What is known of a field: stains in camera counts, and labels of its nuclei or None."""

    name: str
    images: Mapping[str, Any]
    nuclei_labels: NDArray | None = None


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
    """

    stains: FieldScores
    nuclei: MatchScores | None
    fields: tuple[str, ...]
    missing: tuple[str, ...]

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
        }


def read_truths(folder: str | Path) -> dict[str, TrueField]:
    """Find the true stains below a folder, by field name; images are read when they are used.

    Labels are taken from ``labels/*_nuclei.tif`` where `fluorgen simulate` or a user put them.

    Raises
    ------
    InputError
        When no field of the folder has a true stain.
    """
    from napari_fluorgen.io import find_fields

    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: name one with true stains (C01, C02, C03).")
    truths = {}
    for source in find_fields([folder]).fields:
        stack = source.open()
        if stack.truth:
            name = stack.identity.name
            truths[name] = TrueField(name, stack.truth, _true_labels(folder, stack.identity))
    if not truths:
        raise InputError(
            f"No field in {folder} has a true stain: name a folder with the channels C01, C02, C03."
        )
    return truths


def evaluate_fields(
    predicted: Iterable[StainedField], truths: Mapping[str, TrueField]
) -> Evaluation:
    """Compare stained fields with true ones of the same names.

    Raises
    ------
    InputError
        When no names agree, or images differ in shape.
    """
    from napari_fluorgen.measurement import score_fields
    from napari_fluorgen.segmentation import match_instances, pool_scores

    pairs, matches, names, missing = [], [], [], []
    for field in predicted:
        truth = truths.get(field.identity.name)
        if truth is None:
            missing.append(field.identity.name)
            continue
        names.append(truth.name)
        pairs.append((field.images, {k: np.asarray(v) for k, v in truth.images.items()}))
        if truth.nuclei_labels is not None:
            matches.append(match_instances(truth.nuclei_labels, field.nuclei_labels, iou=IOU))
    if not pairs:
        raise InputError(
            f"None of the {len(missing)} predicted fields has a true stain of the same name: the "
            f"first prediction is '{missing[0] if missing else ''}', the first truth is "
            f"'{next(iter(truths), '')}'."
        )
    return Evaluation(
        score_fields(pairs),
        pool_scores(matches) if matches else None,
        tuple(names),
        tuple(missing),
    )


def evaluate_folders(
    predicted: str | Path,
    truth: str | Path,
    output: str | Path,
    *,
    overwrite: bool = False,
    progress: Callable[[FieldStarted], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> tuple[Evaluation, list[Path]]:
    """Evaluate a folder of `fluorgen stain` and write ``scores.csv`` and ``scores.json``."""
    truths = read_truths(truth)
    fields = stained_fields(predicted, progress=progress, should_stop=should_stop)
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


def _true_labels(folder: Path, identity: FieldIdentity) -> NDArray | None:
    import tifffile

    for path in sorted(folder.rglob(f"labels/*{identity.name}*_nuclei.tif")):
        return np.asarray(tifffile.imread(path))
    return None


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
