"""Scores as files: a table a field and stain, a record for programs, a page for people."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_fluorgen.io.atomic import atomic_path, check_replaceable

if TYPE_CHECKING:
    from napari_fluorgen.workflow.evaluation import Evaluation

TABLE, RECORD, PAGE, FEATURES = "scores.csv", "scores.json", "scores.html", "features.csv"
_SCORES = ("pixel_error", "mean_absolute_error", "pearson", "ssim")
ALL_FIELDS = "all fields"


def check_scores(folder: str | Path, *, overwrite: bool = False) -> None:
    """Refuse before the work what `write_scores` would refuse after it.

    Raises
    ------
    OutputError
        A file exists and `overwrite` is false.
    """
    for name in (TABLE, RECORD, PAGE, FEATURES):
        check_replaceable(Path(folder) / name, overwrite)


def write_scores(
    evaluation: Evaluation,
    folder: str | Path,
    *,
    folders: tuple[str | Path, str | Path] | None = None,
    pixel_size_um: tuple[float, float] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write ``scores.csv``, ``scores.json`` and, where they exist, page and features.

    Parameters
    ----------
    evaluation : Evaluation
    folder : path-like
        Made where it is missing.
    folders : tuple of path-like, optional
        Predicted and true stains, for the pictures of ``scores.html``; without it no page.
    pixel_size_um : tuple of float (y, x), optional
        For the pictures' scale.
    overwrite : bool
        Whether existing files may be replaced.

    Returns
    -------
    list of Path

    Raises
    ------
    OutputError
        When a file exists and `overwrite` is false, or the folder cannot be written.
    """
    folder = Path(folder)
    texts = {
        TABLE: _csv(_rows(evaluation)),
        RECORD: json.dumps(evaluation.to_record(), indent=2, allow_nan=False) + "\n",
    }
    if folders is not None:
        from napari_fluorgen.workflow.evaluate_page import page_text
        from napari_fluorgen.workflow.evaluate_pictures import PictureSource

        texts[PAGE] = page_text(evaluation, PictureSource(*folders, pixel_size_um))
    if evaluation.features is not None:
        texts[FEATURES] = _csv(_feature_rows(evaluation))
    with ExitStack() as stack:
        for name, text in texts.items():
            path = stack.enter_context(atomic_path(folder / name, overwrite=overwrite))
            path.write_text(text, encoding="utf-8", newline="")
    return [folder / name for name in texts]


def _csv(rows: Iterator[dict[str, Any]]) -> str:
    from io import StringIO

    listed = list(rows)
    names = list(dict.fromkeys(name for row in listed for name in row))
    stream = StringIO()
    writer = csv.DictWriter(stream, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(listed)
    return stream.getvalue()


def _rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """Rows of the whole set, then of each field, a stain each; nuclei also count the objects."""
    record = evaluation.to_record()
    whole = {
        "field": ALL_FIELDS,
        "stains": record["stains"],
        "nuclei_over_iou": record["nuclei_over_iou"],
    }
    for entry in (whole, *record["by_field"]):
        for stain, scores in entry["stains"].items():
            row = {"field": entry["field"], "stain": stain}
            row |= {name: scores[name] for name in _SCORES}
            if stain == "nuclei" and entry["nuclei_over_iou"]:
                first = entry["nuclei_over_iou"][0]
                row["true_nuclei"] = first["tp"] + first["fn"]
                row["predicted_nuclei"] = first["tp"] + first["fp"]
                for match in entry["nuclei_over_iou"]:
                    for name in ("precision", "recall", "f1"):
                        row[f"{name}_iou_{match['iou']:.2f}"] = match[name]
            yield row


def _feature_rows(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """Rows of the true and of the predicted features of each field."""
    measured = evaluation.features
    assert measured is not None
    for number, name in enumerate(measured.fields):
        for side, table in (("truth", measured.truth), ("predicted", measured.predicted)):
            values = {column: float(numbers[number]) for column, numbers in table.items()}
            yield {"field": name, "set": side, **values}
