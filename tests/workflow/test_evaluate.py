from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import InputError
from napari_fluorgen.stack import STAINS
from napari_fluorgen.workflow.evaluate import evaluate_fields, read_predictions, write_scores
from napari_fluorgen.workflow.stain_files import StainImages, find_stains


def perfect(plate) -> list[StainImages]:
    """Predictions that equal the truth."""
    labels = np.zeros((96, 128), np.uint32)
    labels[10:30, 10:30] = 1
    labels[50:70, 50:70] = 2
    truths = find_stains(plate.folder).values()
    return [replace(truth.read(), nuclei_labels=labels) for truth in truths]


def write_labels(plate, fields) -> None:
    (plate.folder / "labels").mkdir()
    for field in fields:
        path = plate.folder / "labels" / f"{field.name}_nuclei.tif"
        tifffile.imwrite(path, field.nuclei_labels.astype(np.uint16))


def test_perfect_prediction_scores_perfectly(plate) -> None:
    fields = perfect(plate)
    write_labels(plate, fields)
    evaluation = evaluate_fields(fields, find_stains(plate.folder))
    assert evaluation.stains.pixel_error == 0
    assert all(score.pearson == pytest.approx(1) for score in evaluation.stains.stains.values())
    assert evaluation.nuclei.f1 == 1
    assert evaluation.nuclei.tp == 6
    assert evaluation.missing == evaluation.unpredicted == ()


def test_fields_that_were_not_predicted_are_named(plate) -> None:
    fields = perfect(plate)
    record = evaluate_fields(fields[1:], find_stains(plate.folder)).to_record()
    assert record["unpredicted"] == [fields[0].name]
    assert record["fields"] == [field.name for field in fields[1:]]


def test_offset_gives_the_error_of_its_definition(plate) -> None:
    fields = perfect(plate)
    shifted = [
        replace(field, images={**field.images, "lipids": field.images["lipids"] + 50})
        for field in fields
    ]
    evaluation = evaluate_fields(shifted, find_stains(plate.folder))
    median = np.median([field.images["lipids"] for field in fields])
    assert evaluation.stains.stains["lipids"].pixel_error == pytest.approx(50 / median)
    assert evaluation.stains.pixel_error == pytest.approx(50 / median / 3)
    assert evaluation.nuclei is None


def test_missed_nucleus_is_counted(plate) -> None:
    fields = perfect(plate)
    write_labels(plate, fields)
    found = [replace(f, nuclei_labels=(f.nuclei_labels == 1).astype(np.uint32)) for f in fields]
    nuclei = evaluate_fields(found, find_stains(plate.folder)).nuclei
    assert (nuclei.tp, nuclei.fn, nuclei.fp) == (3, 3, 0)


def test_scores_are_written_for_people_and_programs(plate, tmp_path) -> None:
    evaluation = evaluate_fields(perfect(plate), find_stains(plate.folder))
    table, record = write_scores(evaluation, tmp_path / "scores")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [row["stain"] for row in rows] == list(STAINS)
    assert json.loads(record.read_text()) == json.loads(json.dumps(evaluation.to_record()))


def test_predictions_without_a_truth_are_named(plate) -> None:
    fields = perfect(plate)
    truths = find_stains(plate.folder)
    gone = fields[0].name
    del truths[gone]
    assert evaluate_fields(fields, truths).missing == (gone,)
    with pytest.raises(InputError, match="has a true stain of the same name"):
        evaluate_fields(fields[:1], truths)


def test_fields_are_found_by_both_kinds_of_names(plate, tmp_path) -> None:
    truths = find_stains(plate.folder)
    assert list(truths) == [f"Assay_#1_D04_T0001F00{site}L01" for site in (1, 2, 3)]
    for name in ("a_b_nuclei.tif", "a_b_lipids.tif", "labels/a_b_nuclei.tif", "a_b_p-nucleus.tif"):
        path = tmp_path / "named" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        tifffile.imwrite(path, np.ones((8, 8), np.uint16))
    named = find_stains(tmp_path / "named")
    assert list(named) == ["a_b"]
    assert set(named["a_b"].images) == {"nuclei", "lipids"}
    assert named["a_b"].labels is not None


def test_stains_of_another_program_are_compared(plate) -> None:
    for path in plate.folder.glob("*C04.tif"):
        path.unlink()
    predicted = list(read_predictions(plate.folder))
    evaluation = evaluate_fields(predicted, find_stains(plate.folder))
    assert evaluation.stains.pixel_error == 0
    assert len(evaluation.fields) == 3


def test_two_images_of_one_stain_are_refused(plate) -> None:
    copy = plate.folder / "copy"
    copy.mkdir()
    image = next(plate.folder.glob("*C02.tif"))
    (copy / image.name).write_bytes(image.read_bytes())
    with pytest.raises(InputError, match="twice"):
        find_stains(plate.folder)


def test_damaged_truth_is_named(plate) -> None:
    fields = perfect(plate)
    image = next(plate.folder.glob("*C02.tif"))
    image.write_bytes(b"cut")
    with pytest.raises(InputError, match="C02"):
        evaluate_fields(fields, find_stains(plate.folder))


def test_folder_without_truth_is_one_sentence(tmp_path, stack_file) -> None:
    with pytest.raises(InputError, match="no stains"):
        find_stains(stack_file.parent)
    with pytest.raises(InputError, match="not a folder"):
        find_stains(tmp_path / "missing")
