"""What has taken the new model's name or folder while it was trained: nothing of either is lost."""

from __future__ import annotations

import pytest

from napari_fluorgen.errors import OutputError
from napari_fluorgen.models import install_package, load_model
from napari_fluorgen.workflow.fine_tuning import fine_tune

pytest.importorskip("lightning", reason="training needs the extra 'train'")

WRITING = "Writing the new model."


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A folder of installed models, empty at first."""
    folder = tmp_path / "models"
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(folder))
    return folder


@pytest.fixture
def install(model):
    """Install the tiny model under another name, as another program would."""
    return lambda name: install_package(model.path, name=name)


def when(sentence, act):
    """Act when the training tells of a stage."""
    return lambda said: act() if said == sentence else None


def test_a_name_that_is_taken_meanwhile_gets_a_number(request_, five, model, models, install):
    result = fine_tune(
        request_(output=None, install=True),
        pairs=five,
        stage=when(WRITING, lambda: (install("own"), install("own-2"))),
    )
    assert result.name == load_model("own-3").spec.name == "own-3"
    assert result.path == models / "own-3"
    assert result.installed
    assert [note for note in result.notes if "'own'" in note] == [
        "The name 'own' was taken during the training: the new model is installed as 'own-3'."
    ]
    assert load_model("own").digest == load_model("own-2").digest == model.digest
    assert load_model("own-3").spec.training["fine_tuned_from"]["digest"] == model.digest


def test_a_folder_that_is_taken_meanwhile_gets_a_number(request_, five, models, tmp_path):
    def write():
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "thesis.txt").write_text("years of work")

    request = request_(install=True, overwrite=True)
    result = fine_tune(request, pairs=five, stage=when(WRITING, write))
    assert result.path == tmp_path / "own-2"
    assert load_model(result.path).digest == load_model("own").digest
    assert (
        f"{tmp_path / 'own'} was taken during the training: the new model lies in {result.path}."
    ) in result.notes
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["thesis.txt"]


def test_a_resumed_run_replaces_no_model_that_came_meanwhile(
    request_, five, model, models, install, tmp_path
):
    common = {"steps": 20, "stains": ("lipids",), "work": tmp_path / "work"}
    steps = []
    cut = fine_tune(
        request_(**common), pairs=five, progress=steps.append, should_stop=lambda: len(steps) > 10
    )
    resumed = fine_tune(
        request_(resume=True, install=True, **common),
        pairs=five,
        stage=when(WRITING, lambda: install("own")),
    )
    assert load_model("own").digest == model.digest
    assert resumed.name == "own-2"
    assert load_model(cut.path).spec.training["stopped"]
    assert load_model(resumed.path).digest == load_model("own-2").digest


def test_a_folder_in_the_way_of_the_installation_is_said_before(request_, five, models):
    (models / "own").mkdir(parents=True)
    (models / "own" / "letter.txt").write_text("dear")
    seen = []
    with pytest.raises(OutputError, match="other files than were written there"):
        fine_tune(request_(output=None, install=True), pairs=five, stage=seen.append)
    assert seen == []
