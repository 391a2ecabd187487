"""A model of one's own, end to end with tiny networks: what is split, kept, measured and packed."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from napari_fluorgen.confidence import Calibration
from napari_fluorgen.errors import (
    Cancelled,
    ConfigError,
    InputError,
    ModelError,
    OutputError,
)
from napari_fluorgen.models import ModelSpec, list_models, load_model, save_package
from napari_fluorgen.workflow.fine_tuning import fine_tune

from .conftest import pair

pytest.importorskip("lightning", reason="training needs the extra 'train'")


def only(stack, *names):
    return replace(stack, truth={name: stack.truth[name] for name in names})


def test_fine_tuning_ends_in_a_calibrated_package_with_figures(request_, five, model):
    steps, shots, stages = [], [], []
    result = fine_tune(
        request_(steps=20),
        pairs=five,
        progress=steps.append,
        preview=lambda *shot: shots.append(shot),
        stage=stages.append,
    )
    assert {part: len(names) for part, names in result.fields.items()} == {
        "training": 3,
        "validation": 1,
        "calibration": 1,
    }
    assert set(result.before.pearson) == set(result.after.pixel_error) == set(model.spec.stains)
    assert set(result.after.f1) == {0.5, 0.7}
    assert max(state.step for state in steps) == 20
    assert any(state.validation for state in steps)
    stain, predicted, truth = shots[0]
    assert stain == "nuclei"
    assert predicted.shape == truth.shape == (96, 112)
    assert predicted.dtype == np.float32
    assert stages[0] == "Reading 5 fields."

    tuned = load_model(result.path)
    assert result.stains  # else it learned nothing in 20 steps from random networks
    assert result.after.pearson[result.stains[0]] > result.before.pearson[result.stains[0]]
    assert set(Calibration.from_arrays(tuned.calibration).intervals) == {"lipids", "cytoplasm"}
    assert tuned.spec.training["fine_tuned_from"]["digest"] == model.digest
    assert tuned.card.startswith("Fine-tuned on real pairs, from tiny 0.1.0, trained on simulated")
    assert "| Pearson r, nuclei |" in tuned.card
    assert tuned.spec.simulated == (set(result.stains) != set(model.spec.stains))


def test_pairs_with_one_stain_of_another_camera_change_that_network_alone(
    request_, model, tmp_path, monkeypatch
):
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(tmp_path / "models"))
    pairs = [only(pair(seed, gain=0.2, shape=(96, 160)), "nuclei", "labels") for seed in (1, 2)]
    result = fine_tune(request_(output=None, install=True, steps=10), pairs=pairs)
    assert result.stains in ((), ("nuclei",))
    assert set(result.steps) == set(result.after.pearson) == {"nuclei"}
    assert result.path == tmp_path / "models" / "own"
    assert "own" in [summary.name for summary in list_models()]
    assert any("lipids and cytoplasm are those of tiny" in note for note in result.notes)
    assert any("another range of counts" in note for note in result.notes)

    tuned = load_model("own")
    assert tuned.spec.simulated  # lipids and cytoplasm still are
    assert tuned.spec.outputs["nuclei"].maximum < 1500 < model.spec.outputs["nuclei"].maximum
    assert tuned.spec.outputs["lipids"] == model.spec.outputs["lipids"]
    assert "strips of the same fields" in tuned.card
    with pytest.raises(OutputError, match="'own' is installed already"):
        fine_tune(request_(output=None, install=True), pairs=pairs)


def test_stopping_keeps_the_best_so_far_or_says_that_there_is_nothing(request_, five):
    seen = []
    result = fine_tune(
        request_(steps=20, stains=("lipids", "cytoplasm")),
        pairs=five,
        progress=lambda state: seen.append(state.stain),
        should_stop=lambda: "cytoplasm" in seen,
    )
    assert result.stopped
    assert result.stains == ("lipids",)
    assert result.steps == {"lipids": 20}
    assert any("cytoplasm was not trained any more" in note for note in result.notes)
    assert "stopped by the user" in load_model(result.path).card
    with pytest.raises(Cancelled, match="nothing was kept"):
        fine_tune(request_(output=result.path.parent / "b"), pairs=five, should_stop=lambda: True)

    def dropped(state):
        raise Cancelled("The window was closed.")

    with pytest.raises(Cancelled, match="window"):
        fine_tune(request_(output=result.path.parent / "b"), pairs=five, progress=dropped)
    assert not (result.path.parent / "b").exists()


def test_a_stopped_run_is_resumed_to_what_an_uninterrupted_one_gives(request_, five, tmp_path):
    common = {"steps": 20, "stains": ("lipids",)}
    whole = fine_tune(request_(work=tmp_path / "whole", **common), pairs=five)
    steps = []
    work = tmp_path / "cut"
    fine_tune(
        request_(work=work, output=tmp_path / "cut-short", **common),
        pairs=five,
        progress=steps.append,
        should_stop=lambda: len(steps) > 10,
    )
    with pytest.raises(OutputError, match="checkpoints of an earlier run"):
        fine_tune(request_(work=work, output=tmp_path / "again", **common), pairs=five)
    with pytest.raises(ConfigError, match="other pairs"):
        fine_tune(
            request_(work=work, output=tmp_path / "again", resume=True, seed=7, **common),
            pairs=five,
        )
    resumed = fine_tune(
        request_(work=work, output=tmp_path / "again", resume=True, **common), pairs=five
    )
    assert load_model(resumed.path).digest == load_model(whole.path).digest
    assert resumed.after.pearson == whole.after.pearson


def test_starting_again_forgets_the_networks_of_other_pairs(request_, five, tmp_path):
    common = {"stains": ("lipids", "cytoplasm"), "work": tmp_path / "work", "overwrite": True}
    others = [pair(seed) for seed in range(10, 15)]
    fine_tune(request_(steps=20, **common), pairs=others)
    seen = []

    def stop():
        return len(seen) > 12

    fine_tune(request_(steps=20, **common), pairs=five, progress=seen.append, should_stop=stop)
    seen.clear()
    resumed = fine_tune(request_(steps=20, resume=True, **common), pairs=five, progress=seen.append)
    whole = fine_tune(request_(steps=20, **common | {"work": tmp_path / "whole"}), pairs=five)
    assert {state.stain for state in seen} == {"lipids", "cytoplasm"}
    assert load_model(resumed.path).digest == load_model(whole.path).digest


def test_a_stopped_run_is_resumed_by_the_same_command(request_, five, tmp_path):
    common = {"steps": 20, "stains": ("lipids",), "work": tmp_path / "work"}
    steps = []
    cut = fine_tune(
        request_(**common), pairs=five, progress=steps.append, should_stop=lambda: len(steps) > 10
    )
    assert cut.stopped
    resumed = fine_tune(request_(resume=True, **common), pairs=five)
    assert resumed.path == cut.path
    assert not resumed.stopped
    with pytest.raises(OutputError, match="exists already"):  # a finished one is not replaced
        fine_tune(request_(resume=True, **common), pairs=five)
    with pytest.raises(OutputError, match="exists already"):
        fine_tune(request_(resume=True, **common | {"work": tmp_path / "other"}), pairs=five)


def test_resuming_replaces_no_model_of_others(request_, five, tmp_path, monkeypatch):
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(tmp_path / "models"))
    fine_tune(request_(output=None, install=True), pairs=five)
    common = {"steps": 20, "stains": ("lipids",), "work": tmp_path / "work"}
    steps = []
    fine_tune(
        request_(**common), pairs=five, progress=steps.append, should_stop=lambda: len(steps) > 10
    )
    with pytest.raises(OutputError, match="exists already"):
        fine_tune(request_(resume=True, install=True, **common), pairs=five)


def test_another_registration_does_not_go_on(request_, five, tmp_path):
    common = {"stains": ("lipids",), "work": tmp_path / "work", "overwrite": True}
    fine_tune(request_(**common), pairs=five)
    with pytest.raises(ConfigError, match="other settings"):
        fine_tune(request_(resume=True, registration="report", **common), pairs=five)


def test_the_start_is_judged_as_the_trained_network_is(request_, five, tmp_path):
    from napari_fluorgen.workflow import fine_tuning_material as material_module

    held = material_module.prepare(request_(), load_model(request_().init), "own", five, "cpu", [])
    usual = held.start_figure("lipids")
    blank = replace(
        held.parts["validation"][0],
        stains={"lipids": np.full(held.parts["validation"][0].planes.shape[1:], 5, np.float32)},
    )
    held.parts = {**held.parts, "validation": (*held.parts["validation"], blank)}
    assert held.start_figure("lipids") == pytest.approx(usual)


def test_minutes_become_steps_of_a_schedule_that_ends_in_time(request_, five, tmp_path):
    result = fine_tune(
        request_(minutes=0.05, stains=("cytoplasm",), work=tmp_path / "work"), pairs=five
    )
    assert result.steps["cytoplasm"] >= 1
    assert (tmp_path / "work" / "plan.json").is_file()


def no_truth(stack):
    return replace(stack, truth={})


def constant(stack):
    return replace(stack, truth={"nuclei": np.full(stack.shape[1:], 7, np.uint16)})


def not_a_number(stack):
    return replace(stack, truth={"lipids": np.full(stack.shape[1:], np.nan, np.float32)})


def other_shape(stack):
    return replace(stack, truth={"lipids": stack.truth["lipids"][:50]})


def far_pixels(stack):
    return replace(stack, pixel_size_um=(1.3, 1.3))


def small(stack):
    lipids = {"lipids": stack.truth["lipids"][:20]}
    return replace(stack, data=stack.data[:, :20], truth=lipids)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (no_truth, InputError, "holds no pair"),
        (constant, InputError, "is constant"),
        (not_a_number, InputError, "NaN"),
        (other_shape, InputError, "has 50×112 pixels"),
        (far_pixels, ModelError, "nearer pixels"),
        (small, InputError, "at least"),
    ],
)
def test_pairs_that_cannot_be_used_are_named_before_training(request_, five, spoil, error, words):
    with pytest.raises(error, match=words):
        fine_tune(request_(), pairs=[spoil(stack) for stack in five])


def test_what_is_asked_for_must_be_there(request_, five, tmp_path):
    nuclei = [only(stack, "nuclei", "labels") for stack in five]
    with pytest.raises(InputError, match="no true lipids"):
        fine_tune(request_(stains=("lipids",)), pairs=nuclei)
    with pytest.raises(InputError, match="no pairs"):
        fine_tune(request_())
    with pytest.raises(InputError, match="is not a folder"):
        fine_tune(request_(pairs=tmp_path / "nowhere"))
    with pytest.raises(ModelError, match="No model or folder 'nothing'"):
        fine_tune(request_(init="nothing"), pairs=five)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match="other files"):
        fine_tune(request_(overwrite=True), pairs=five)


def test_a_stop_while_the_model_is_measured_keeps_nothing(request_, five):
    def stage(sentence):
        if sentence == "Writing the new model.":
            raise Cancelled("discarded")

    request = request_()
    with pytest.raises(Cancelled):
        fine_tune(request, pairs=five, stage=stage)
    assert not (request.output / "rdf.yaml").exists()


def test_stains_that_are_no_camera_counts_are_refused(request_, five):
    nuclei = [only(stack, "nuclei", "labels") for stack in five]
    share = [
        replace(stack, truth={**stack.truth, "nuclei": stack.truth["nuclei"] / np.float32(65535)})
        for stack in nuclei
    ]
    with pytest.raises(InputError, match=r"field0: the true nuclei .* kept in camera counts"):
        fine_tune(request_(), pairs=share)


def test_a_start_that_scales_by_fixed_ranges_works_as_well(request_, five, model, tmp_path):
    ranges = {"kind": "range", "minimum": [2000.0] * 7, "maximum": [4000.0] * 7}
    record = model.spec.model_dump() | {"name": "fixed", "input": ranges, "simulated": False}
    start = save_package(
        tmp_path / "fixed",
        ModelSpec.model_validate(record),
        model.networks(),
        test_input=model.test_tensors()[0],
        card="Fixed ranges.\n",
    )
    lipids = [only(stack, "lipids") for stack in five]
    result = fine_tune(request_(init=str(start), steps=2, overwrite=True), pairs=lipids)
    tuned = load_model(result.path)
    assert tuned.spec.input.kind == "range"
    assert tuned.spec.training["focus_order"] == 0
    assert tuned.calibration is None  # the start has none, and lipids cannot give one
    assert "not calibrated" in tuned.card
    assert not result.after.f1


def test_a_machine_that_cannot_train_is_said_before_the_pairs_are_read(
    request_, five, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("words")
    monkeypatch.setenv("FLUORGEN_MODEL_DIR", str(tmp_path / "file" / "models"))
    with pytest.raises(OutputError, match="file is a file"):
        fine_tune(request_(install=True), pairs=five)
    monkeypatch.undo()
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=10**6))
    with pytest.raises(OutputError, match="GB free"):
        fine_tune(request_(), pairs=five)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(ConfigError, match=r"pip install 'napari-fluorgen\[train\]'"):
        fine_tune(request_(), pairs=five)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"minutes": 0}, "Setting 'minutes'"),
        ({"minutes": 3, "steps": 4}, "Give minutes or steps"),
        ({"stains": ("dapi",)}, "name some of nuclei, lipids, cytoplasm"),
        ({"output": None}, "Give an output folder"),
        ({"resume": True}, "work folder"),
    ],
)
def test_wrong_settings_are_said_in_one_sentence(request_, settings, words):
    with pytest.raises(ConfigError, match=words):
        request_(**settings)


@pytest.mark.parametrize("name", ["a b", "-own", "../up", "m" * 65])
def test_a_name_that_no_model_can_have_is_said_in_one_sentence(request_, name):
    with pytest.raises(ModelError) as caught:
        request_(name=name)
    assert str(caught.value) == (
        f"'{name}' cannot name a model: use up to 64 letters, digits, dots, dashes and "
        "underscores, a letter or digit first."
    )
