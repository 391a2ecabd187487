from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

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


def forbid(monkeypatch, folder):
    """Let nobody look into a folder, root included, who runs the tests in a container."""
    stat, listdir = os.stat, os.listdir

    def refused(path):
        if isinstance(path, str | os.PathLike) and folder in (path := Path(path), *path.parents):
            return PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return None

    def stat_or_refuse(path, *args, **options):
        if Path(os.fspath(path)) != folder and (error := refused(path)):
            raise error
        return stat(path, *args, **options)

    def list_or_refuse(path="."):
        if error := refused(path):
            raise error
        return listdir(path)

    monkeypatch.setattr(os, "stat", stat_or_refuse)
    monkeypatch.setattr(os, "listdir", list_or_refuse)


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


def test_a_path_is_a_folder_even_where_a_model_of_that_name_is_installed(
    installed, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="No model or folder 'tiny-20x'"):
        load_model(Path("tiny-20x"))
    make_package(tmp_path / "tiny-20x", make_spec(version="9.9.9"))
    assert load_model(Path("tiny-20x")).spec.version == "9.9.9"
    assert load_model("tiny-20x").path == installed / "tiny-20x"


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


@pytest.mark.parametrize("text", ["timestamp: 2024-02-30", "[" * 100_000, "a: !!timestamp x"])
def test_any_damaged_description_is_left_out(installed, caplog, text):
    (installed / "forty" / "rdf.yaml").write_text(text)
    with caplog.at_level(logging.WARNING):
        assert [s.name for s in list_models()] == ["tiny-20x"]
    assert "forty" in caplog.text
    for name in ("forty", installed / "forty"):
        with pytest.raises(ModelError, match=r"not readable YAML|no BioImage\.IO model"):
            load_model(name)


def test_a_folder_that_may_not_be_entered_is_left_out(installed, caplog, monkeypatch):
    forbid(monkeypatch, installed / "forty")
    with caplog.at_level(logging.WARNING):
        assert [s.name for s in list_models()] == ["tiny-20x"]
        assert load_model("tiny-20x").path == installed / "tiny-20x"
    assert "forty" in caplog.text
    for name in ("forty", installed / "forty"):
        with pytest.raises(ModelError, match=r"rdf\.yaml cannot be read \(Permission denied\)"):
            load_model(name)


def test_a_model_folder_that_may_not_be_listed_is_told(installed, tmp_path, caplog, monkeypatch):
    make_package(tmp_path / "data" / "napari-fluorgen" / "models" / "a", make_spec("a-20x"))
    forbid(monkeypatch, installed)
    with caplog.at_level(logging.WARNING):
        assert [s.name for s in list_models()] == ["a-20x"]
    assert f"Skipped the models of {installed}" in caplog.text


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "~nobody-of-that-name"])
def test_names_that_no_folder_can_have_are_unknown(installed, name):
    with pytest.raises(ModelError, match="installed are"):
        load_model(name)


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
    assert suggest_model(0.325, current="tiny-20x") == "tiny-20x", "unless it is chosen already"
    assert suggest_model(0.2, current="tiny-20x") == "tiny-40x"
    assert suggest_model(None, current="tiny-20x") == "tiny-20x"
    assert suggest_model(0.325, [m for m in list_models() if m.name == "tiny-40x"]) == "tiny-40x"
    assert suggest_model(0.325, []) is None


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


def test_install_never_takes_the_name_of_a_shipped_model_unasked(installed, tmp_path, package):
    shipped = "ours-20x"
    ours = make_package(tmp_path / "none" / shipped, make_spec(shipped))
    source = make_package(tmp_path / "mine", make_spec(shipped))
    with pytest.raises(OutputError, match=f"'{shipped}' is the name of a model that comes with"):
        install_package(source)
    assert load_model(shipped).path == ours
    renamed = install_package(source, name="mine-20x")
    assert renamed.path == installed / "mine-20x"
    assert renamed.spec == make_spec("mine-20x")
    assert renamed.digest == models.Model(source).digest
    assert models.test_model(renamed).passed
    with pytest.raises(OutputError, match="comes with"):
        install_package(package, name=shipped)
    with pytest.raises(ModelError, match=r"'\.\./up' cannot name a model"):
        install_package(package, name="../up")
    install_package(source, overwrite=True)
    assert load_model(shipped).path == installed / shipped


def test_an_export_never_replaces_a_folder(tmp_path, model):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"results is a folder.* name a file in it"):
        export_package(model, tmp_path / "results", overwrite=True)
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["thesis.txt"]


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


def pack(package, archive, prefix="", **options):
    with zipfile.ZipFile(archive, "w", **options) as out:
        for file in sorted(package.iterdir()):
            out.write(file, f"{prefix}{file.name}")
    return archive


def test_a_zip_of_the_folder_itself_is_installed(installed, tmp_path, package):
    shutil.rmtree(installed / "tiny-20x")
    archive = pack(package, tmp_path / "folder.zip", prefix="tiny-20x/")
    with zipfile.ZipFile(archive, "a") as out:
        out.writestr("__MACOSX/tiny-20x/._rdf.yaml", "x")
        out.writestr("tiny-20x/sub/inner.txt", "x")
    model = install_package(archive)
    assert {p.name for p in model.path.iterdir()} == {p.name for p in package.iterdir()}


@pytest.mark.parametrize("damage", ["deflate", "lzma", "encrypted"])
def test_zips_that_cannot_be_unpacked_give_one_sentence(installed, tmp_path, package, damage):
    method = zipfile.ZIP_LZMA if damage == "lzma" else zipfile.ZIP_DEFLATED
    archive = pack(package, tmp_path / "damaged.zip", compression=method)
    content = bytearray(archive.read_bytes())
    if damage == "encrypted":
        content[content.index(b"PK\1\2") + 8] |= 1
    else:
        start = 30 + len("README.md") + (9 if damage == "lzma" else 0)
        content[start : start + 20] = b"\xff" * 20
    archive.write_bytes(content)
    with pytest.raises(ModelError, match=r"damaged\.zip is no readable zip file") as caught:
        install_package(archive, overwrite=True)
    assert "\n" not in str(caught.value)
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
