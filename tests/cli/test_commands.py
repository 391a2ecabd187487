"""Every command, run as a user runs it, on results of the one before."""

from __future__ import annotations

import csv
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import napari_fluorgen

FIXTURES = Path(__file__).resolve().parents[3] / "shared" / "fixtures" / "reference-checkpoints"


@pytest.fixture
def stained(fluorgen, installed, plate, tmp_path) -> Path:
    assert fluorgen("stain", plate.folder, "-o", tmp_path / "out", "--model", "tiny").code == 0
    return tmp_path / "out"


def test_stain_says_what_it_did_and_on_what(fluorgen, installed, stack_file, tmp_path) -> None:
    command = ("stain", stack_file, "-o", tmp_path / "out", "--model", "tiny")
    ran = fluorgen(*command, "--device", "cpu", "--precision", "float32", "--tile", "96")
    assert ran.code == 0
    assert ran.out == f"1 of 1 fields stained in {tmp_path / 'out'}\n"
    assert "float32" in ran.err
    assert "simulated" in ran.err
    assert {
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.tif")
    } == {
        "field_nuclei.tif",
        "field_lipids.tif",
        "field_cytoplasm.tif",
        "labels/field_nuclei.tif",
        "confidence/field_probability.tif",
        "confidence/field_p-nucleus.tif",
        "confidence/field_p-background.tif",
    }
    assert (tmp_path / "out" / "run.json").is_file()


def test_adaptations_are_printed_and_in_the_summary(
    fluorgen, installed, stack_file, tmp_path
) -> None:
    command = ("stain", stack_file, "-o", tmp_path / "out", "--model", "tiny", "--json")
    ran = fluorgen(*command, "--pixel-size", "0.2", "--focus", "flipped")
    messages = ran.json["fields"][0]["messages"]
    assert any("0.2" in message for message in messages)
    assert any("flipped" in message or "reversed" in message for message in messages)
    for message in messages:
        assert message in ran.err


def test_notes_of_the_reader_are_printed_and_in_the_summary(
    fluorgen, installed, plate, tmp_path
) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    for number, path in enumerate(plate.files("D04", 1)[3:], 1):
        (folder / f"cells_z{number}.tif").write_bytes(path.read_bytes())
    (folder / "overview.tif").write_bytes(path.read_bytes())
    ran = fluorgen("stain", folder, "-o", tmp_path / "out", "--model", "tiny", "--json")
    messages = ran.json["fields"][0]["messages"]
    assert any("overview.tif" in message for message in messages)
    for message in messages:
        assert message in ran.err


def test_summary_for_programs(fluorgen, installed, plate, tmp_path) -> None:
    ran = fluorgen("stain", plate.folder, "-o", tmp_path / "out", "--model", "tiny", "--json")
    assert ran.json["command"] == "stain"
    assert ran.json["status"] == "done"
    assert [(field["well"], field["site"]) for field in ran.json["fields"]] == [
        ("D04", 1),
        ("D04", 2),
        ("D04", 3),
    ]
    files = [Path(file) for field in ran.json["fields"] for file in field["files"]]
    assert all(file.exists() for file in files)
    assert len(ran.out.splitlines()) == 1


def test_measure_writes_tables(fluorgen, stained, tmp_path) -> None:
    ran = fluorgen("measure", stained, "-o", tmp_path / "tables", "--engine", "builtin", "--json")
    assert ran.code == 0
    rows = list(csv.DictReader((tmp_path / "tables" / "Nuclei.csv").read_text().splitlines()))
    assert ran.json["objects"]["Nuclei"] == len(rows)
    assert {Path(file).name for file in ran.json["files"]} >= {"Image.csv", "Nuclei.csv"}
    again = fluorgen("measure", stained, "-o", tmp_path / "tables")
    assert again.code == 1
    assert "exists" in again.err
    assert fluorgen("measure", stained, "-o", tmp_path / "tables", "--overwrite").code == 0


def test_export_says_how_to_open_it(fluorgen, stained, tmp_path) -> None:
    ran = fluorgen("export-cellprofiler", stained, "-o", tmp_path / "project")
    assert ran.code == 0
    assert "CellProfiler" in ran.out
    ran = fluorgen(
        "export-cellprofiler", stained, "-o", tmp_path / "project", "--overwrite", "--json"
    )
    assert Path(ran.json["pipeline"]).is_file()
    assert ran.json["fields"] == 3


def test_measure_and_export_go_on_past_a_damaged_field(fluorgen, stained, tmp_path) -> None:
    damaged, *_ = sorted((stained / "labels").iterdir())
    damaged.write_bytes(b"damaged")
    for command, folder in (("measure", "tables"), ("export-cellprofiler", "project")):
        ran = fluorgen(command, stained, "-o", tmp_path / folder, "--json")
        assert ran.code == 1
        assert ran.json["status"] == "failed"
        [(name, reason)] = ran.json["failed"].items()
        assert damaged.name.startswith(name)
        assert reason in ran.err
        assert "1 of 3 fields could not be read and are left out" in ran.err
    images = list(csv.DictReader((tmp_path / "tables" / "Image.csv").read_text().splitlines()))
    assert [image["ImageNumber"] for image in images] == ["1", "2"]
    assert len(list((tmp_path / "project" / "masks").glob("*_Nuclei.tif"))) == 2


def test_without_a_readable_field_nothing_is_written(fluorgen, stained, tmp_path) -> None:
    for mask in (stained / "labels").iterdir():
        mask.write_bytes(b"damaged")
    for command in ("measure", "export-cellprofiler"):
        ran = fluorgen(command, stained, "-o", tmp_path / "new")
        assert ran.code == 1
        assert len(ran.err.strip().splitlines()) == 1
        assert not (tmp_path / "new").exists()


def test_evaluate_against_the_plate(fluorgen, stained, plate, tmp_path) -> None:
    command = ("evaluate", "--predicted", stained, "--truth", plate.folder, "--no-features")
    ran = fluorgen(*command, "-o", tmp_path / "scores", "--json")
    assert ran.code == 0
    assert set(ran.json["stains"]) == {"nuclei", "lipids", "cytoplasm"}
    assert ran.json["pixel_error"] > 0
    assert ran.json["score"] is None
    assert {path.name for path in (tmp_path / "scores").iterdir()} == {
        "scores.csv",
        "scores.json",
        "scores.html",
    }
    ran = fluorgen(*command, "-o", tmp_path / "scores", "--overwrite")
    assert "official pixel error" in ran.out
    assert "SSIM" in ran.out
    assert "scores.html" in ran.out
    image = next(plate.folder.glob("*C01.tif"))
    (plate.folder / image.name.replace("Z01", "Z02")).write_bytes(image.read_bytes())
    ran = fluorgen(*command, "-o", tmp_path / "scores", "--overwrite")
    assert "Note: C01 of" in ran.err
    assert "has 2 planes: no nuclei stain is read of 1 field" in ran.err


def test_features_that_were_asked_for_are_not_silently_left_out(
    fluorgen, stained, plate, tmp_path, monkeypatch
) -> None:
    monkeypatch.delenv("FLUORGEN_CELLPROFILER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    command = ("evaluate", "--predicted", stained, "--truth", plate.folder)
    ran = fluorgen(*command, "-o", tmp_path / "first")
    assert ran.code == 0
    assert "CellProfiler was not found" in ran.err
    own = tmp_path / "own.cppipe"
    own.write_text("CellProfiler Pipeline: http://www.cellprofiler.org\n")
    ran = fluorgen(*command, "-o", tmp_path / "second", "--pipeline", own)
    assert ran.code == 1
    assert "could not be measured" in ran.err
    assert (tmp_path / "second" / "scores.json").is_file()
    ran = fluorgen(*command, "-o", tmp_path / "third", "--cellprofiler", tmp_path / "gone")
    assert ran.code == 1
    assert "is no program" in ran.err
    assert not (tmp_path / "third").exists()
    ran = fluorgen(*command, "-o", tmp_path / "third", "--no-features", "--pipeline", own)
    assert ran.code == 2


def test_models_are_listed_described_and_tested(fluorgen, installed) -> None:
    (line,) = [x for x in fluorgen("models", "list").out.splitlines() if x.startswith("tiny ")]
    assert "simulated data" in line
    assert "tiny" in [
        model["name"] for model in fluorgen("models", "list", "--json").json["models"]
    ]
    info = fluorgen("models", "info", "tiny").out
    assert "trained on   simulated data" in info
    assert napari_fluorgen.load_model("tiny").card.strip() in info
    assert fluorgen("models", "info", "tiny", "--json").json["spec"]["name"] == "tiny"
    assert "sound" in fluorgen("models", "test", "tiny").out
    assert fluorgen("models", "test", "tiny", "--json").json["status"] == "done"
    gone = fluorgen("models", "info", "gone")
    assert gone.code == 1
    assert "tiny" in gone.err


def test_model_travels_as_one_file(fluorgen, installed, tmp_path, monkeypatch) -> None:
    archive = tmp_path / "tiny.zip"
    assert fluorgen("models", "export", "tiny", "-o", archive).code == 0
    with zipfile.ZipFile(archive) as packed:
        assert "rdf.yaml" in packed.namelist()
    assert fluorgen("models", "export", "tiny", "-o", archive).code == 1
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(tmp_path / "elsewhere"))
    ran = fluorgen("models", "import", archive, "--json")
    assert ran.code == 0
    assert Path(ran.json["path"]) == tmp_path / "elsewhere" / "tiny"
    assert fluorgen("models", "test", "tiny").code == 0
    again = fluorgen("models", "import", archive)
    assert again.code == 1
    assert fluorgen("models", "import", archive, "--overwrite").code == 0
    archive.write_bytes(b"PK")
    assert fluorgen("models", "import", archive).code == 1


def test_checkpoints_need_names_that_say_their_stain(fluorgen, tmp_path) -> None:
    path = tmp_path / "best.pth"
    path.write_bytes(b"")
    ran = fluorgen("models", "import", path)
    assert ran.code == 1
    assert "C1" in ran.err


def test_a_calibrated_model_gets_a_name_of_its_own(fluorgen, installed, plate, tmp_path) -> None:
    command = ("calibrate", "tiny", "--pairs", plate.folder, "--name", "tiny-ours")
    ran = fluorgen(*command, "-o", tmp_path / "ours", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["model"] == "tiny-ours"
    assert napari_fluorgen.load_model(tmp_path / "ours").spec.name == "tiny-ours"


def test_a_shipped_model_is_not_replaced_unasked(
    fluorgen, installed, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(tmp_path / "elsewhere"))
    ran = fluorgen("models", "import", installed / "tiny", "--name", "adipocyte-20x")
    assert ran.code == 1
    assert "comes with napari-fluorgen" in ran.err
    ran = fluorgen("models", "import", installed / "tiny", "--name", "tiny-ours", "--json")
    assert Path(ran.json["path"]) == tmp_path / "elsewhere" / "tiny-ours"
    checkpoint = tmp_path / "C1_a.pth"
    checkpoint.write_bytes(b"")
    ran = fluorgen("models", "import", checkpoint, "--name", "adipocyte-20x")
    assert "comes with napari-fluorgen" in ran.err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["C1_a.pth", "--name", "my model"], "'my model' cannot name a model"),
        (["C1_a.pth", "C1_b.pth"], "both for nuclei"),
    ],
)
def test_checkpoints_that_cannot_become_one_model(fluorgen, tmp_path, given, told) -> None:
    ran = fluorgen("models", "import", *given)
    assert ran.code == 1
    assert told in ran.err


@pytest.mark.skipif(not FIXTURES.is_dir(), reason="needs shared/fixtures")
def test_reference_checkpoints_become_a_model(fluorgen, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(tmp_path))
    found = {path.name[:2]: path for path in sorted(FIXTURES.rglob("*.pth"))}
    checkpoints = [path for name, path in found.items() if name in ("C1", "C2", "C3")]
    if not checkpoints:
        pytest.skip("no checkpoint is named by its channel")
    ran = fluorgen("models", "import", *checkpoints, "--magnification", "40x", "--json")
    assert ran.code == 0, ran.err
    assert "reference-40x" in fluorgen("models", "list").out


def test_doctor_reports_or_says_what_needs_attention(fluorgen, installed) -> None:
    ran = fluorgen("doctor", "--json")
    names = [check["name"] for check in ran.json["checks"]]
    assert {"versions", "devices", "models", "napari", "CellProfiler", "disk"} <= set(names)
    problems = [check for check in ran.json["checks"] if check["status"] == "problem"]
    assert ran.code == (1 if problems else 0)
    assert "tiny" in fluorgen("doctor").out


def test_help_and_version_load_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['fluorgen', {argument!r}]\n"
        "from napari_fluorgen.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(*{{'torch', 'numpy', 'napari', 'skimage', 'openvino'}} & set(sys.modules))"
    )
    for argument, word in (
        ("--help", "export-cellprofiler"),
        ("--version", napari_fluorgen.__version__),
    ):
        code = script.format(argument=argument)
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        assert word in ran.stdout
        assert ran.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize(
    "command",
    ["demo", "stain", "measure", "export-cellprofiler", "evaluate", "models", "doctor"],
)
def test_every_command_has_help(command, fluorgen) -> None:
    assert fluorgen(command, "--help").code == 0


def test_measure_refuses_unknown_features_and_those_of_the_other_engine(
    fluorgen, stained, tmp_path
) -> None:
    unknown = fluorgen("measure", stained, "-o", tmp_path / "t", "--features", "colour")
    assert unknown.code == 1
    assert "'colour' are unknown: choose from basic, all" in unknown.err
    assert not (tmp_path / "t").exists() or not list((tmp_path / "t").iterdir())
    command = ("measure", stained, "-o", tmp_path / "t", "--engine", "cellprofiler")
    assert fluorgen(*command, "--features", "all").code == 2
    assert fluorgen(*command, "--trusted-only").code == 2
