from __future__ import annotations

import csv
import json
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_fluorgen.errors import InputError, OutputError
from napari_fluorgen.io import write_field
from napari_fluorgen.measurement import FieldScores
from napari_fluorgen.stack import STAINS, FieldIdentity, StainedField
from napari_fluorgen.workflow.evaluate import evaluate_fields, evaluate_folders, read_predictions
from napari_fluorgen.workflow.evaluate_files import write_scores
from napari_fluorgen.workflow.evaluate_pictures import PictureSource
from napari_fluorgen.workflow.events import Measuring
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
    unlabelled = [replace(field, nuclei_labels=None) for field in shifted]
    assert evaluate_fields(unlabelled, find_stains(plate.folder)).nuclei is None


def test_true_nuclei_without_labels_are_found_in_their_stain(plate) -> None:
    fields = perfect(plate)
    rng = np.random.default_rng(0)
    for path in plate.folder.glob("*C01.tif"):
        stain = 200 + 3000 * (fields[0].nuclei_labels > 0) + rng.normal(0, 20, (96, 128))
        tifffile.imwrite(path, stain.astype(np.uint16))
    evaluation = evaluate_fields(fields, find_stains(plate.folder), pixel_size_um=0.325)
    assert evaluation.nuclei.tp == 6
    assert evaluation.nuclei.f1 == 1
    assert any("segmented in the true nuclear stain" in note for note in evaluation.notes)


@pytest.mark.parametrize(
    ("model", "true"),
    [
        ({"nuclei": {"min_area_um2": 30, "max_area_um2": 60}}, 1),
        ({"nuclei": {"min_area_um2": 10, "max_area_um2": 300}}, 3),
        ({"name": "of an earlier version"}, 2),
    ],
)
def test_true_nuclei_are_cut_by_the_limits_of_the_model(tmp_path, model, true) -> None:
    labels = np.zeros((120, 160), np.uint32)
    labels[10:22, 10:22] = 1  # 15 µm²
    labels[10:30, 60:80] = 2  # 42 µm²
    labels[50:90, 60:100] = 3  # 169 µm²
    rng = np.random.default_rng(0)
    stain = (200 + 3000 * (labels > 0) + rng.normal(0, 20, labels.shape)).astype(np.uint16)
    probability = (labels > 0).astype(np.float32)
    images = dict.fromkeys(STAINS, stain)
    field = StainedField(FieldIdentity("a"), (0.325, 0.325), images, probability, labels)
    write_field(replace(field, provenance={"model": model}), tmp_path / "predicted")
    (tmp_path / "truth").mkdir()
    tifffile.imwrite(tmp_path / "truth" / "a_nuclei.tif", stain)
    folders = tmp_path / "predicted", tmp_path / "truth"
    evaluation, _ = evaluate_folders(*folders, tmp_path / "scores")
    assert (evaluation.nuclei.tp, evaluation.nuclei.fp, evaluation.nuclei.fn) == (true, 3 - true, 0)
    shown = PictureSource(*folders, (0.325, 0.325)).read("a")[1].nuclei_labels
    assert shown.max() == true, "the page shows what was scored"


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
    assert [row["stain"] for row in rows] == list(STAINS) * 4
    assert [row["field"] for row in rows[::3]] == ["all fields", *evaluation.fields]
    assert {row["pixel_error"] for row in rows} == {"0.0"}
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


def test_nuclei_are_matched_over_the_overlap_that_is_asked_for(plate) -> None:
    fields = perfect(plate)
    write_labels(plate, fields)
    # the second of two squares of 20 x 20 pixels is moved by 5: IoU 15 / 25
    moved = []
    for one in fields:
        labels = one.nuclei_labels * (one.nuclei_labels == 1)
        labels[55:75, 50:70] = 2
        moved.append(replace(one, nuclei_labels=labels))
    evaluation = evaluate_fields(moved, find_stains(plate.folder))
    f1 = {match.iou: match.f1 for match in evaluation.curve}
    assert list(f1) == [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
    assert f1[0.5] == f1[0.6] == 1
    assert f1[0.65] == f1[0.95] == 0.5
    assert set(evaluation.nuclei_by_field) == {one.name for one in fields}


def test_fields_are_scored_one_by_one(plate) -> None:
    fields = perfect(plate)
    median = np.median([one.images["lipids"] for one in fields])
    brighter = fields[1].images["lipids"] + np.uint16(50)
    fields[1] = replace(fields[1], images={**fields[1].images, "lipids": brighter})
    evaluation = evaluate_fields(fields, find_stains(plate.folder))
    errors = [image.pixel_error for image in evaluation.stains.stains["lipids"].images]
    assert errors == pytest.approx([0, 50 / median, 0])
    record = evaluation.to_record()["by_field"][1]
    assert record["field"] == fields[1].name
    assert record["stains"]["lipids"]["pearson"] == pytest.approx(1)
    assert 0 < record["stains"]["lipids"]["ssim"] <= 1


def test_a_stain_that_one_side_lacks_is_noted(plate) -> None:
    fields = perfect(plate)
    images = {stain: image for stain, image in fields[0].images.items() if stain != "lipids"}
    fields[0] = replace(fields[0], images=images)
    evaluation = evaluate_fields(fields, find_stains(plate.folder))
    assert evaluation.stains.stains["lipids"].fields == 2
    assert [image.field for image in evaluation.stains.stains["lipids"].images] == [1, 2]
    assert any("1 of 3 fields have no predicted lipids" in note for note in evaluation.notes)


def test_a_pixel_size_below_zero_is_refused(plate, tmp_path) -> None:
    with pytest.raises(InputError, match="above 0"):
        evaluate_folders(plate.folder, plate.folder, tmp_path / "scores", pixel_size_um=-0.325)


def test_another_size_is_one_sentence(plate) -> None:
    fields = perfect(plate)
    small = {**fields[0].images, "lipids": fields[0].images["lipids"][:10]}
    with pytest.raises(InputError, match=rf"{fields[0].name}.*lipids.*\(10, 128\)"):
        evaluate_fields([replace(fields[0], images=small)], find_stains(plate.folder))


def test_scores_that_exist_are_not_replaced_unasked(plate, tmp_path) -> None:
    (tmp_path / "scores.html").write_text("mine")
    with pytest.raises(OutputError, match=r"scores\.html"):
        evaluate_folders(plate.folder, plate.folder, tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["scores.html"]


STAND_IN = """#!{python}
import csv, os, sys
arguments = dict(zip(sys.argv[3::2], sys.argv[4::2]))
files = sorted(name for name in os.listdir(arguments["-i"]) if name.endswith("C01.tif"))
rows = [dict(ImageNumber=n, Count_nuclei=n) for n in range(1, len(files) + 1)]
with open(os.path.join(arguments["-o"], "Image.csv"), "w") as stream:
    writer = csv.DictWriter(stream, ["ImageNumber", "Count_nuclei"])
    writer.writeheader()
    writer.writerows(rows if {works} else rows[1:])
"""


@pytest.fixture
def cellprofiler(tmp_path, monkeypatch):
    """Make a stand-in that counts images instead of nuclei, or fails."""
    if os.name == "nt":
        pytest.skip("the stand-in is a script")

    def make(works: bool) -> None:
        path = tmp_path / "cellprofiler"
        path.write_text(STAND_IN.format(python=sys.executable, works=works))
        path.chmod(0o755)
        monkeypatch.setenv("FLUORGEN_CELLPROFILER", str(path))

    return make


def test_the_official_score_is_the_mean_of_both_errors(plate, tmp_path, cellprofiler) -> None:
    cellprofiler(True)
    events = []
    evaluation, files = evaluate_folders(
        plate.folder, plate.folder, tmp_path / "scores", features=True, progress=events.append
    )
    assert evaluation.feature_error == 0
    assert evaluation.score == 0
    assert replace(evaluation, stains=FieldScores({}, 0.4)).score == pytest.approx(0.2)
    assert [path.name for path in files][-1] == "features.csv"
    rows = list(csv.DictReader(files[-1].read_text().splitlines()))
    assert [row["Count_nuclei"] for row in rows] == ["1.0", "1.0", "2.0", "2.0", "3.0", "3.0"]
    assert [row["set"] for row in rows[:2]] == ["truth", "predicted"]
    assert Measuring(0, 6) in events
    assert "Pipeline challenge-style" in (tmp_path / "scores" / "scores.html").read_text()


def test_a_failure_of_cellprofiler_leaves_the_other_scores(plate, tmp_path, cellprofiler) -> None:
    cellprofiler(False)
    evaluation, files = evaluate_folders(
        plate.folder, plate.folder, tmp_path / "scores", features=True
    )
    assert evaluation.score is None
    assert evaluation.stains.pixel_error == 0
    assert any("measured 2 of 3 images" in note for note in evaluation.notes)
    assert len(files) == 3
    assert json.loads(files[1].read_text())["feature_error"] is None


def test_fields_that_cannot_be_measured_are_noted(plate, tmp_path, cellprofiler) -> None:
    cellprofiler(True)
    for path in plate.folder.glob("*F001*C02.tif"):
        path.unlink()
    evaluation, _ = evaluate_folders(plate.folder, plate.folder, tmp_path / "s", features=True)
    assert evaluation.features.fields == evaluation.fields[1:]
    assert any("F001" in note and "no lipids" in note for note in evaluation.notes)


def test_without_cellprofiler_the_page_says_so(plate, tmp_path, monkeypatch) -> None:
    monkeypatch.delenv("FLUORGEN_CELLPROFILER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    evaluation, files = evaluate_folders(plate.folder, plate.folder, tmp_path / "s", features=True)
    assert any("CellProfiler was not found" in note for note in evaluation.notes)
    assert "not measured" in files[2].read_text()


def test_objects_that_the_pipeline_never_finds_are_told(plate, tmp_path, cellprofiler) -> None:
    cellprofiler(True)
    program = tmp_path / "cellprofiler"
    program.write_text(program.read_text().replace("Count_nuclei=n", "Count_nuclei=0"))
    evaluation, _ = evaluate_folders(plate.folder, plate.folder, tmp_path / "s", features=True)
    assert any("found no nuclei in any true image" in note for note in evaluation.notes)
    assert evaluation.feature_error is None
    assert evaluation.features.scores.excluded == {"Count_nuclei": "the true median is 0"}
