from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import zipfile

import pytest

from napari_fluorgen import models
from napari_fluorgen.errors import ModelError, OutputError
from napari_fluorgen.models import (
    Model,
    export_package,
    install_package,
    list_models,
    load_model,
    suggest_model,
    user_model_dir,
)

from .conftest import make_package, make_spec


@pytest.fixture
def installed(tmp_path, monkeypatch, package):
    """An installation of two models, whatever else this machine has."""
    folder = tmp_path / "installed"
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(folder))
    monkeypatch.setattr("napari_fluorgen.models.library._SHIPPED", tmp_path / "none")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    shutil.copytree(package, folder / "tiny-20x")
    make_package(folder / "forty", make_spec("tiny-40x", pixel_size_um=0.1625))
    return folder


def test_lists_and_loads_by_name(installed):
    summaries = {s.name: s for s in list_models()}
    assert set(summaries) == {"tiny-20x", "tiny-40x"}
    assert summaries["tiny-20x"].calibrated
    assert not summaries["tiny-40x"].calibrated
    assert summaries["tiny-20x"].simulated
    assert summaries["tiny-40x"].path == installed / "forty"
    assert load_model("tiny-40x").spec.pixel_size_um == 0.1625


def test_loads_by_path(installed, package):
    for path in (package, str(package), package / "rdf.yaml"):
        assert load_model(path).path == package


def test_unknown_model_names_what_is_installed(installed, tmp_path):
    with pytest.raises(ModelError, match=r"'none-20x': installed are .*tiny-20x"):
        load_model("none-20x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no rdf\.yaml"):
        load_model(tmp_path / "empty")


def test_first_folder_wins(installed, tmp_path):
    other = tmp_path / "data" / "napari-fluorgen" / "models"
    make_package(other / "tiny-20x", make_spec(version="9.9.9"))
    assert load_model("tiny-20x").path == installed / "tiny-20x"
    assert [s.name for s in list_models()].count("tiny-20x") == 1
    shutil.rmtree(installed / "tiny-20x")
    assert load_model("tiny-20x").path == other / "tiny-20x"


def test_damaged_and_unfinished_packages_do_not_hide_the_others(installed, caplog):
    (installed / "forty" / "rdf.yaml").write_text("{")
    shutil.copytree(installed / "tiny-20x", installed / ".unfinished")
    with caplog.at_level(logging.WARNING):
        assert [s.name for s in list_models()] == ["tiny-20x"]
    assert "forty" in caplog.text
    with pytest.raises(ModelError, match="not readable YAML"):
        load_model("forty")


@pytest.mark.parametrize(
    ("pixel_size", "expected"),
    [
        (0.325, "tiny-20x"),
        (0.2, "tiny-40x"),
        (0.16, "tiny-40x"),
        (0.6, "tiny-20x"),
        (5.0, None),
        (0.01, None),
        (0, None),
        (float("nan"), None),
    ],
)
def test_suggests_by_pixel_size(installed, pixel_size, expected):
    assert suggest_model(pixel_size) == expected


def test_a_general_model_comes_after_those_for_particular_cells(installed):
    make_package(installed / "any", make_spec("any-20x", general=True))
    make_package(installed / "tiny-100x", make_spec("tiny-100x", pixel_size_um=0.065))
    assert [s.name for s in list_models()] == ["tiny-40x", "tiny-20x", "tiny-100x", "any-20x"]
    assert suggest_model(0.325) == "tiny-20x"
    assert suggest_model(0.4) == "tiny-20x"
    assert suggest_model(0.07) == "tiny-100x"
    make_package(installed / "any-5x", make_spec("any-5x", pixel_size_um=1.3, general=True))
    assert suggest_model(1.2) == "any-5x"
    shutil.rmtree(installed / "tiny-20x")
    shutil.rmtree(installed / "forty")
    assert suggest_model(0.325) == "any-20x"


def test_of_equally_near_models_the_first_of_the_list_is_suggested(installed):
    make_package(installed / "a-20x", make_spec("a-20x"))
    assert suggest_model(0.325) == "a-20x" == list_models()[0].name


def test_suggests_something_where_the_pixel_size_is_unknown(installed):
    assert suggest_model(None) in {"tiny-20x", "tiny-40x"}
    shutil.rmtree(installed)
    assert suggest_model(None) is None


def test_finds_models_where_platformdirs_is_missing(installed, monkeypatch):
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    assert load_model("tiny-20x").path == installed / "tiny-20x"
    monkeypatch.delenv("FLUORGEN_MODEL_DIR")
    assert user_model_dir().parts[-2:] == ("napari-fluorgen", "models")


def test_listing_does_not_load_torch(installed):
    code = (
        "import sys; from napari_fluorgen.models import list_models, suggest_model, ModelSpec;"
        "assert len(list_models()) >= 2; suggest_model(0.3);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_export_and_install(installed, tmp_path, model):
    archive = export_package(model, tmp_path / "model.zip")
    with pytest.raises(OutputError, match="exists"):
        install_package(archive)
    shutil.rmtree(installed)
    again = install_package(archive)
    assert again.path == user_model_dir() / "tiny-20x"
    assert again.digest == model.digest
    assert models.test_model(again).passed
    # as readable for others as any folder that the user makes
    assert again.path.stat().st_mode == user_model_dir().stat().st_mode
    assert install_package(model.path, overwrite=True).digest == model.digest


def test_exported_zip_is_a_valid_bioimageio_model(tmp_path, model):
    spec = pytest.importorskip("bioimageio.spec")
    archive = export_package(model, tmp_path / "model.zip")
    description = spec.load_description(archive)
    assert description.validation_summary.status != "failed"


def test_install_refuses_what_is_no_package(installed, tmp_path, package):
    (tmp_path / "text.zip").write_text("text")
    for source, message in [
        (tmp_path / "text.zip", "no readable zip"),
        (tmp_path / "absent.zip", "does not exist"),
        (tmp_path, "no rdf.yaml"),
    ]:
        with pytest.raises(ModelError, match=message):
            install_package(source)
    damaged = shutil.copytree(package, tmp_path / "damaged")
    (damaged / "lipids.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="damaged"):
        install_package(damaged, overwrite=True)
    assert load_model("tiny-20x").networks()


def test_install_keeps_inside_the_folder(installed, tmp_path, package):
    shutil.rmtree(installed / "tiny-20x")
    archive = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for file in package.iterdir():
            out.write(file, file.name)
        out.writestr("../escaped.txt", "x")
        out.writestr("sub/inner.txt", "x")
    assert isinstance(install_package(archive), Model)
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not list(tmp_path.rglob("inner.txt"))
