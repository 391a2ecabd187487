from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import InputError
from napari_fluorgen.io import find_fields
from napari_fluorgen.stack import STAINS, StainedField
from napari_fluorgen.workflow.evaluate import evaluate_fields, read_truths, write_scores


def perfect(plate) -> list[StainedField]:
    """Predictions that equal the truth."""
    fields = []
    for source in find_fields(plate.folder).fields:
        stack = source.open()
        shape = stack.shape[1:]
        labels = np.zeros(shape, np.uint32)
        labels[10:30, 10:30] = 1
        labels[50:70, 50:70] = 2
        fields.append(
            StainedField(
                stack.identity,
                None,
                {name: np.asarray(stack.truth[name]) for name in STAINS},
                np.zeros(shape, np.float32),
                labels,
            )
        )
    return fields


def write_labels(plate, fields) -> None:
    (plate.folder / "labels").mkdir()
    for field in fields:
        path = plate.folder / "labels" / f"{field.identity.name}_nuclei.tif"
        tifffile.imwrite(path, field.nuclei_labels.astype(np.uint16))


def test_perfect_prediction_scores_perfectly(plate) -> None:
    fields = perfect(plate)
    write_labels(plate, fields)
    evaluation = evaluate_fields(fields, read_truths(plate.folder))
    assert evaluation.stains.pixel_error == 0
    assert all(score.pearson == pytest.approx(1) for score in evaluation.stains.stains.values())
    assert evaluation.nuclei.f1 == 1
    assert evaluation.nuclei.tp == 6
    assert evaluation.missing == ()


def test_offset_gives_the_error_of_its_definition(plate) -> None:
    fields = perfect(plate)
    shifted = [
        replace(field, images={**field.images, "lipids": field.images["lipids"] + 50})
        for field in fields
    ]
    evaluation = evaluate_fields(shifted, read_truths(plate.folder))
    median = np.median([field.images["lipids"] for field in fields])
    assert evaluation.stains.stains["lipids"].pixel_error == pytest.approx(50 / median)
    assert evaluation.stains.pixel_error == pytest.approx(50 / median / 3)
    assert evaluation.nuclei is None


def test_missed_nucleus_is_counted(plate) -> None:
    fields = perfect(plate)
    write_labels(plate, fields)
    found = [replace(f, nuclei_labels=np.where(f.nuclei_labels == 1, 1, 0)) for f in fields]
    nuclei = evaluate_fields(found, read_truths(plate.folder)).nuclei
    assert (nuclei.tp, nuclei.fn, nuclei.fp) == (3, 3, 0)


def test_scores_are_written_for_people_and_programs(plate, tmp_path) -> None:
    evaluation = evaluate_fields(perfect(plate), read_truths(plate.folder))
    table, record = write_scores(evaluation, tmp_path / "scores")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["stain"] for row in rows] == list(STAINS)
    assert json.loads(record.read_text()) == json.loads(json.dumps(evaluation.to_record()))


def test_predictions_without_a_truth_are_named(plate) -> None:
    fields = perfect(plate)
    truths = read_truths(plate.folder)
    gone = fields[0].identity.name
    del truths[gone]
    assert evaluate_fields(fields, truths).missing == (gone,)
    with pytest.raises(InputError, match="has a true stain of the same name"):
        evaluate_fields(fields[:1], truths)


def test_folder_without_truth_is_one_sentence(tmp_path, stack_file) -> None:
    with pytest.raises(InputError, match="true stain"):
        read_truths(stack_file.parent)
    with pytest.raises(InputError, match="not a folder"):
        read_truths(tmp_path / "missing")
