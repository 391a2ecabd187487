"""Whatever is wrong: one sentence on stderr, exit code 1, nothing half-written."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_fluorgen.workflow import batch_field

PLANES = np.random.default_rng(0).integers(2000, 4000, (7, 64, 64), np.uint16)


def missing(folder: Path) -> Path:
    return folder / "missing.tif"


def empty(folder: Path) -> Path:
    (folder / "empty.tif").touch()
    return folder / "empty.tif"


def truncated(folder: Path) -> Path:
    path = folder / "truncated.tif"
    tifffile.imwrite(path, PLANES, photometric="minisblack")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def text(folder: Path) -> Path:
    (folder / "notes.tif").write_text("This is no image.\n")
    return folder / "notes.tif"


def rgb(folder: Path) -> Path:
    path = folder / "rgb.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint8), photometric="rgb")
    return path


def nan(folder: Path) -> Path:
    planes = PLANES.astype(np.float32)
    planes[2, 5, 5] = np.nan
    tifffile.imwrite(folder / "nan.tif", planes, photometric="minisblack")
    return folder / "nan.tif"


def single_plane(folder: Path) -> Path:
    tifffile.imwrite(folder / "plane.tif", PLANES[0])
    return folder / "plane.tif"


def five_axes(folder: Path) -> Path:
    path = folder / "series.ome.tif"
    data = np.zeros((2, 3, 2, 32, 32), np.uint16)
    tifffile.imwrite(path, data, metadata={"axes": "TZCYX"}, photometric="minisblack")
    return path


def folder_without_stacks(folder: Path) -> Path:
    (folder / "papers").mkdir()
    (folder / "papers" / "read.me").write_text("nothing")
    return folder / "papers"


def empty_folder(folder: Path) -> Path:
    (folder / "nothing").mkdir()
    return folder / "nothing"


def said(ran) -> str:
    """The sentence of a failed command, after checking that it is one."""
    assert ran.code == 1, ran.err
    assert "Traceback" not in ran.err + ran.out
    errors = [line for line in ran.err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, ran.err
    assert ran.err.splitlines()[-1] == errors[0]
    assert errors[0].endswith(".")
    assert "fault in fluorgen" not in errors[0]
    return errors[0]


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (missing, "missing.tif does not exist"),
        (empty, "empty.tif"),
        (truncated, "truncated.tif"),
        (text, "notes.tif"),
        (rgb, "rgb.tif"),
        (nan, "NaN"),
        (five_axes, "series.ome.tif"),
        (folder_without_stacks, "papers"),
        (empty_folder, "nothing"),
    ],
)
def test_bad_stack_is_one_sentence_and_leaves_nothing(
    make, word, fluorgen, installed, tmp_path
) -> None:
    source = make(tmp_path)
    out = tmp_path / "out"
    ran = fluorgen("stain", source, "-o", out, "--model", "tiny", "--device", "cpu")
    assert word in said(ran)
    assert not out.exists()
    with_json = fluorgen("stain", source, "-o", out, "--model", "tiny", "--json")
    assert with_json.code == 1
    assert with_json.json["status"] == "failed"
    assert f"Error: {with_json.json['error']}" == said(with_json)


def test_single_plane_is_stained_with_a_warning(fluorgen, installed, tmp_path) -> None:
    out = tmp_path / "out"
    source = single_plane(tmp_path)
    ran = fluorgen("stain", source, "-o", out, "--model", "tiny", "--device", "cpu")
    assert ran.code == 0, ran.err
    assert "Warning: a single plane stands in for the 7 planes" in " ".join(ran.err.split())
    assert (out / "plane_nuclei.tif").exists()


def test_bad_file_among_good_ones_is_listed_and_the_rest_done(
    fluorgen, installed, stack_file, tmp_path
) -> None:
    bad = nan(tmp_path)
    out = tmp_path / "out"
    ran = fluorgen("stain", bad, stack_file, "-o", out, "--model", "tiny", "--json")
    assert "1 of 2 fields failed" in said(ran)
    assert "nan failed" in ran.err
    assert "NaN" in ran.err
    assert {field["name"]: field["status"] for field in ran.json["fields"]} == {
        "nan": "failed",
        "field": "done",
    }
    assert (out / "field_nuclei.tif").exists()
    assert not list(out.glob("nan*"))


def test_plate_with_missing_planes_is_listed_and_the_rest_done(
    fluorgen, installed, plate, tmp_path
) -> None:
    next(path for path in plate.files("D04", 1) if path.name.endswith("Z05C04.tif")).unlink()
    for path in plate.files("D04", 3):
        path.unlink()
    ran = fluorgen("stain", plate.folder, "-o", tmp_path / "out", "--model", "tiny", "--json")
    assert ran.code == 0
    assert ran.json["status"] == "partial"
    assert len(ran.json["left_out"]) == 1
    assert "D04" in ran.json["left_out"][0]
    assert [field["site"] for field in ran.json["fields"]] == [2]
    assert any("Z05" in problem or "plane" in problem for problem in ran.json["problems"])
    for problem in ran.json["problems"]:
        assert problem in ran.err


@pytest.mark.parametrize("make", [empty, empty_folder, folder_without_stacks])
def test_an_input_that_was_named_and_cannot_be_read_is_a_failure(
    make, fluorgen, installed, stack_file, tmp_path
) -> None:
    bad = make(tmp_path)
    command = ("stain", stack_file, bad, "-o", tmp_path / "out", "--model", "tiny", "--json")
    ran = fluorgen(*command)
    assert bad.name in said(ran)
    assert ran.json["status"] == "failed"
    assert bad.name in ran.json["error"]
    assert [field["status"] for field in ran.json["fields"]] == ["done"]
    assert (tmp_path / "out" / "field_nuclei.tif").exists()


def test_a_damaged_file_in_a_folder_of_stacks_is_told(
    fluorgen, installed, stack_file, tmp_path
) -> None:
    folder = tmp_path / "stacks"
    folder.mkdir()
    stack_file.rename(folder / "field.tif")
    text(folder)
    command = ("stain", folder, "-o", tmp_path / "out", "--model", "tiny")
    ran = fluorgen(*command)
    assert (ran.code, ran.out.count("1 more left out")) == (0, 1)
    ran = fluorgen(*command, "--overwrite", "--json")
    assert (ran.code, ran.json["status"]) == (0, "partial")
    assert "notes.tif" in ran.json["left_out"][0]


def test_plate_of_holes_only_is_an_error(fluorgen, installed, plate, tmp_path) -> None:
    for site in (1, 2, 3):
        plate.files("D04", site)[site + 2].unlink()
    said(fluorgen("stain", plate.folder, "-o", tmp_path / "out", "--model", "tiny"))
    assert not (tmp_path / "out").exists()


def test_unknown_model_names_the_installed(fluorgen, installed, stack_file, tmp_path) -> None:
    ran = fluorgen("stain", stack_file, "-o", tmp_path / "out", "--model", "adipocyte-99x")
    assert "tiny" in said(ran)
    assert not (tmp_path / "out").exists()


def test_damaged_model_is_one_sentence(fluorgen, installed, stack_file, tmp_path) -> None:
    folder = shutil.copytree(installed / "tiny", tmp_path / "broken")
    (folder / "nuclei.safetensors").write_bytes(b"\0" * 100)
    ran = fluorgen("stain", stack_file, "-o", tmp_path / "out", "--model", folder)
    assert "nuclei.safetensors" in said(ran)
    assert not (tmp_path / "out").exists()


def test_existing_output_is_kept(fluorgen, installed, stack_file, tmp_path) -> None:
    command = ("stain", stack_file, "-o", tmp_path / "out", "--model", "tiny")
    assert fluorgen(*command).code == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert "--overwrite" in said(fluorgen(*command))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    assert fluorgen(*command, "--resume").code == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before
    assert fluorgen(*command, "--overwrite").code == 0


def test_files_of_others_are_kept(fluorgen, installed, stack_file, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "field_lipids.tif").write_text("mine")
    command = ("stain", stack_file, "-o", tmp_path / "out", "--model", "tiny")
    assert "field_lipids.tif" in said(fluorgen(*command))
    assert "field_lipids.tif" in said(fluorgen(*command, "--resume"))
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["field_lipids.tif"]
    assert (tmp_path / "out" / "field_lipids.tif").read_text() == "mine"


def test_a_true_stain_beside_its_stack_is_never_replaced(
    fluorgen, installed, stack_file, tmp_path
) -> None:
    true = tmp_path / "field_nuclei.tif"
    tifffile.imwrite(true, PLANES[0])
    before = true.read_bytes()
    command = ("stain", stack_file, "-o", tmp_path, "--model", "tiny")
    for more in ((), ("--overwrite",), ("--resume",)):
        assert "field_nuclei.tif" in said(fluorgen(*command, *more))
        assert true.read_bytes() == before
    true.rename(tmp_path / "truth.tif")
    assert fluorgen(*command, "--overwrite").code == 0
    assert fluorgen(*command, "--overwrite").code == 0


def test_output_below_a_file(fluorgen, installed, stack_file) -> None:
    said(fluorgen("stain", stack_file, "-o", stack_file / "out", "--model", "tiny"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write to")
def test_unwritable_output(fluorgen, installed, stack_file) -> None:
    assert "/proc" in said(fluorgen("stain", stack_file, "-o", "/proc/out", "--model", "tiny"))


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind this user"
)
def test_read_only_folder(fluorgen, installed, stack_file, tmp_path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    said(fluorgen("stain", stack_file, "-o", tmp_path / "locked" / "out", "--model", "tiny"))


def test_no_disk_space(fluorgen, installed, stack_file, tmp_path, monkeypatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(batch_field.shutil, "disk_usage", lambda path: usage)
    ran = fluorgen("stain", stack_file, "-o", tmp_path / "out", "--model", "tiny")
    assert "disk space" in said(ran)
    assert not (tmp_path / "out").exists()


def test_a_disk_that_fills_up_leaves_a_summary_of_what_is_done(
    fluorgen, installed, plate, tmp_path, monkeypatch
) -> None:
    free = iter([10**12, 1000])
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(
        batch_field.shutil, "disk_usage", lambda path: usage._replace(free=next(free))
    )
    ran = fluorgen("stain", plate.folder, "-o", tmp_path / "out", "--model", "tiny", "--json")
    assert "disk space" in said(ran)
    assert "1 of 3 fields are done" in ran.err
    assert ran.json["status"] == "failed"
    assert f"Error: {ran.json['error']}" == said(ran)
    assert [field["status"] for field in ran.json["fields"]] == ["done"]
    assert all(Path(file).exists() for file in ran.json["fields"][0]["files"])


@pytest.mark.parametrize(
    "setting", [("--significance", "0"), ("--significance", "1.5"), ("--pixel-size", "-1")]
)
def test_impossible_setting(setting, fluorgen, installed, stack_file, tmp_path) -> None:
    ran = fluorgen("stain", stack_file, "-o", tmp_path / "out", "--model", "tiny", *setting)
    assert setting[1] in said(ran)


@pytest.mark.parametrize(
    "arguments",
    [
        ("stain",),
        ("stain", "x.tif"),
        ("stain", "x.tif", "-o", "out", "--device", "tpu"),
        ("stain", "x.tif", "-o", "out", "--format", "png"),
        ("stain", "x.tif", "-o", "out", "--overwrite", "--resume"),
        ("stain", "x.tif", "-o", "out", "--quick"),
        ("measure", "out"),
        ("evaluate", "-o", "out"),
        ("paint",),
        ("models", "paint"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, fluorgen) -> None:
    assert fluorgen(*arguments).code == 2


@pytest.mark.parametrize("command", ["measure", "export-cellprofiler"])
def test_folder_without_stains(command, fluorgen, tmp_path) -> None:
    assert "no stained field" in said(fluorgen(command, tmp_path, "-o", tmp_path / "out"))
    said(fluorgen(command, tmp_path / "missing", "-o", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_damaged_record_of_a_run(fluorgen, tmp_path) -> None:
    (tmp_path / "run.json").write_text("{not json")
    assert "run.json" in said(fluorgen("measure", tmp_path, "-o", tmp_path / "out"))


def test_evaluating_what_has_no_truth(fluorgen, installed, stack_file, tmp_path) -> None:
    stained = tmp_path / "stained"
    assert fluorgen("stain", stack_file, "-o", stained, "--model", "tiny").code == 0
    scores = ("-o", tmp_path / "scores")
    (tmp_path / "bare").mkdir()
    ran = fluorgen("evaluate", "--predicted", stained, "--truth", tmp_path / "bare", *scores)
    assert "no stains" in said(ran)
    assert not (tmp_path / "scores").exists()
