"""Training as a whole, on fields in memory."""

import csv
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_fluorgen.errors import Cancelled, ConfigError, InputError, ModelError, OutputError
from napari_fluorgen.models import ModelSpec, save_package
from napari_fluorgen.networks import build_network
from napari_fluorgen.training.config import TrainingConfig

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from napari_fluorgen.training.run import TrainProgress, train_networks

DROPOUT = {"first_filters": 4, "blocks": 2, "layers": 2, "growth_rate": 2, "dropout": 0.2}
ADVERSARIAL = {
    "architecture": {"kind": "dense-unet", **DROPOUT},
    "discriminator": {"ndf": 4, "layers": 2},
    "phases": [
        {"steps": 3, "learning_rate": 1e-3, "loss": {"reconstruction": "log-squared"}},
        {
            "kind": "adversarial",
            "steps": 6,
            "learning_rate": 1e-3,
            "discriminator_learning_rate": 1e-3,
            "schedule": "constant",
            "pool": 3,
            "loss": {"reconstruction": "median-mae", "alpha_gradient": 1, "alpha_adversarial": 0.1},
        },
    ],
}
NUCLEI = {
    "architecture": {"kind": "nuclei", **DROPOUT},
    "phases": [
        {"steps": 6, "schedule": {"kind": "warm-restarts", "t_0": 2}},
        {"steps": 3, "learning_rate": 1e-5, "schedule": "constant"},
    ],
}


@pytest.fixture
def config(settings):
    settings["networks"] |= {"lipids": ADVERSARIAL, "nuclei": NUCLEI}
    return TrainingConfig.model_validate(settings | {"validate_every": 2})


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    for stain in first:
        for name, value in first[stain].state_dict().items():
            assert torch.equal(value, second[stain].state_dict()[name]), (stain, name)


def changed(config, **values):
    return TrainingConfig.model_validate(config.model_dump() | values)


def test_a_short_run_is_repeatable_bit_for_bit(config, memory_pairs, tmp_path):
    assert_same_weights(
        *(train_networks(config, tmp_path / name, pairs=memory_pairs) for name in "ab")
    )


@pytest.mark.parametrize("stain", ["nuclei", "lipids"])
def test_an_interrupted_and_resumed_run_equals_the_uninterrupted_one(
    config, memory_pairs, tmp_path, stain
):
    options = {"pairs": memory_pairs, "stains": [stain]}
    whole = train_networks(config, tmp_path / "whole", **options)
    # In a first phase, at its end, in the second, where the pool is full; two stops in one run.
    for stops in ([1], [3], [5, 8]):
        folder = tmp_path / "-".join(map(str, stops))
        for number, stop in enumerate(stops):
            steps = []
            with pytest.raises(Cancelled, match=f"step {stop} of {stain}"):
                train_networks(
                    config,
                    folder,
                    resume=number > 0,
                    progress=lambda state, steps=steps: steps.append(state.step),
                    should_stop=lambda steps=steps, stop=stop: steps[-1] == stop,
                    **options,
                )
        steps = []
        resumed = train_networks(
            config,
            folder,
            resume=True,
            progress=lambda state, steps=steps: state.validation or steps.append(state.step),
            **options,
        )
        assert_same_weights(whole, resumed)
        assert steps == list(range((stops[-1] - 1) // 2 * 2 + 1, 10))


@pytest.mark.slow
def test_a_killed_run_goes_on_from_a_whole_checkpoint(config, memory_pairs, tmp_path):
    """The process is killed hard, at whatever it does then; sums depend on its threads."""
    script = f"""
import sys, torch; torch.set_num_threads({torch.get_num_threads()})
sys.path.insert(0, {str(Path(__file__).parent)!r}); from conftest import make_pairs
from napari_fluorgen.training.config import TrainingConfig
from napari_fluorgen.training.run import train_networks
pairs = {{"train": make_pairs(3, seed=1), "validation": make_pairs(1, seed=2)}}
config = TrainingConfig.model_validate_json({config.model_dump_json()!r})
train_networks(config, {str(tmp_path / "killed")!r}, pairs=pairs, stains=["lipids"])
"""
    checkpoint = tmp_path / "killed" / "lipids" / "last.ckpt"
    process = subprocess.Popen([sys.executable, "-c", script])
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert checkpoint.exists()
    options = {"pairs": memory_pairs, "stains": ["lipids"]}
    resumed = train_networks(config, tmp_path / "killed", resume=True, **options)
    assert_same_weights(train_networks(config, tmp_path / "whole", **options), resumed)


def test_a_finished_run_is_resumed_without_training_again(config, memory_pairs, tmp_path):
    first = train_networks(config, tmp_path, pairs=memory_pairs)
    steps = []
    second = train_networks(
        config, tmp_path, resume=True, progress=steps.append, pairs=memory_pairs
    )
    assert steps == []
    assert_same_weights(first, second)


def test_starting_again_forgets_the_checkpoints_of_an_older_run(config, memory_pairs, tmp_path):
    older = tmp_path / "lipids" / "last.ckpt"
    older.parent.mkdir()
    older.write_bytes(b"of an older run")
    with pytest.raises(Cancelled):
        train_networks(config, tmp_path, should_stop=lambda: True, pairs=memory_pairs)
    assert not older.exists()


def test_progress_tells_steps_and_figures_and_shows_the_network(config, memory_pairs, tmp_path):
    states, seen = [], []
    train_networks(
        config,
        tmp_path,
        progress=states.append,
        pairs=memory_pairs,
        stains=["nuclei"],
        watch=lambda stain, network, figures: seen.append((stain, network.training, figures)),
    )
    assert all(isinstance(state, TrainProgress) for state in states)
    assert [state.step for state in states if state.validation is None] == list(range(1, 10))
    validated = [state for state in states if state.validation is not None]
    assert [state.step for state in validated] == [2, 4, 6, 8, 9]
    assert {state.steps for state in states} == {9}
    assert set(validated[-1].validation) == {"pearson", "pixel_error", "dice"}
    assert all(np.isfinite(value) for value in validated[-1].validation.values())
    assert [figures for _, _, figures in seen] == [state.validation for state in validated]
    assert not any(training for _, training, _ in seen)


def test_logs_are_written_for_people_and_for_tensorboard(config, memory_pairs, tmp_path):
    options = {"pairs": memory_pairs, "stains": ["lipids"]}
    config = changed(config, validate_every=9)
    train_networks(config, tmp_path, **options)
    folder = tmp_path / "lipids" / "logs"
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {"pearson", "pixel_error"} <= set(rows[0])
    assert any(row["pearson"] for row in rows)
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    assert [event.step for event in events.Scalars("pearson")] == [8]


def test_a_phase_in_epochs_counts_fields_and_nuclei(config, memory_pairs, tmp_path):
    values = config.model_dump()
    values["networks"]["lipids"]["phases"] = ({"epochs": 2},)
    values["networks"]["nuclei"]["phases"] = ({"epochs": 2},)
    config = TrainingConfig.model_validate(values)
    totals = {}
    train_networks(
        config,
        tmp_path,
        pairs=memory_pairs,
        stains=["nuclei", "lipids"],
        progress=lambda state: totals.update({state.stain: state.steps}),
    )
    # Crops two at a time: 2 epochs of 3 fields, 2 epochs of 6 nuclei.
    assert totals == {"lipids": 3, "nuclei": 6}


def test_early_stopping_keeps_the_best_weights(config, memory_pairs, tmp_path):
    config = changed(config, early_stopping={"figure": "pearson", "patience": 1})
    best = {}

    def watch(stain, network, figures):
        if figures["pearson"] > best.get("pearson", -2):
            best.update(figures, weights={k: v.clone() for k, v in network.state_dict().items()})

    options = {"pairs": memory_pairs, "stains": ["lipids"]}
    # At this rate the network is spoilt after the first steps.
    values = config.model_dump()
    values["networks"]["lipids"]["phases"] = ({"steps": 40, "learning_rate": 0.3},)
    config = TrainingConfig.model_validate(values)
    steps = []
    first = train_networks(
        config, tmp_path, watch=watch, progress=lambda state: steps.append(state.step), **options
    )
    assert steps[-1] < 40
    for name, value in best["weights"].items():
        assert torch.equal(value, first["lipids"].state_dict()[name])
    again = []
    resumed = train_networks(config, tmp_path, resume=True, progress=again.append, **options)
    assert not again
    assert_same_weights(first, resumed)


def test_constant_validation_fields_have_no_figure_to_stop_on(config, memory_pairs, tmp_path):
    config = changed(config, early_stopping={"figure": "pearson"})
    flat = [
        replace(pair, stains={"lipids": np.zeros_like(pair.stains["lipids"])})
        for pair in memory_pairs["validation"]
    ]
    with pytest.raises(InputError, match="no pearson of lipids"):
        train_networks(
            config, tmp_path, pairs=memory_pairs | {"validation": flat}, stains=["lipids"]
        )


def test_constant_images_train_without_a_figure_that_is_not_finite(config, memory_pairs, tmp_path):
    flat = [
        replace(
            pair,
            planes=np.zeros_like(pair.planes),
            stains={stain: np.zeros_like(image) for stain, image in pair.stains.items()},
        )
        for pair in memory_pairs["train"]
    ]
    states = []
    networks = train_networks(
        config, tmp_path, progress=states.append, pairs={"train": flat, "validation": flat}
    )
    assert all(np.isfinite(state.loss) for state in states)
    assert all("pearson" not in (state.validation or {}) for state in states)
    for network in networks.values():
        assert all(torch.isfinite(value).all() for value in network.state_dict().values())


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_not_finite_end_in_one_sentence(config, memory_pairs, tmp_path, wrong):
    pairs = [replace(pair, planes=pair.planes.copy()) for pair in memory_pairs["train"]]
    for pair in pairs:
        pair.planes[:, 20:44, 20:44] = wrong
    with pytest.raises(ConfigError, match=r"loss of lipids became nan at step \d") as caught:
        train_networks(config, tmp_path, pairs=memory_pairs | {"train": pairs}, stains=["lipids"])
    assert str(caught.value).count(". ") == 0


def test_a_damaged_checkpoint_and_another_recipe_are_refused(config, memory_pairs, tmp_path):
    options = {"pairs": memory_pairs, "stains": ["cytoplasm"]}
    train_networks(config, tmp_path, **options)
    other = changed(config, seed=1)
    with pytest.raises(ConfigError, match=r"another configuration \(seed\)"):
        train_networks(other, tmp_path, resume=True, **options)
    checkpoint = tmp_path / "cytoplasm" / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(ConfigError, match="damaged"):
        train_networks(config, tmp_path, resume=True, **options)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(config, memory_pairs, tmp_path):
    (tmp_path / "runs").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="not writable"):
        train_networks(config, tmp_path / "runs", pairs=memory_pairs)


def test_planes_are_drawn_from_deeper_stacks(config, memory_pairs, tmp_path):
    deep = {
        part: [
            replace(pair, planes=np.concatenate([pair.planes, pair.planes[:4]])) for pair in all_
        ]
        for part, all_ in memory_pairs.items()
    }
    values = config.model_dump()
    values["data"]["augment"]["planes"] = "random"
    states = []
    train_networks(
        TrainingConfig.model_validate(values),
        tmp_path,
        pairs=deep,
        stains=["cytoplasm"],
        progress=states.append,
    )
    assert np.isfinite(states[-1].validation["pearson"])


def test_training_starts_from_a_package(config, memory_pairs, tmp_path):
    torch.manual_seed(3)
    networks = {
        stain: build_network(settings.architecture).eval()
        for stain, settings in config.networks.items()
    }
    spec = ModelSpec(
        name="start",
        pixel_size_um=config.pixel_size_um,
        z_um=config.z_um,
        input=config.input,
        outputs=config.outputs,
        architectures={s: n.architecture for s, n in config.networks.items()},
    )
    start = save_package(
        tmp_path / "start", spec, networks, test_input=np.zeros((1, 7, 32, 32), np.float32), card=""
    )
    slow = config.model_dump() | {"init": str(start)}
    slow["networks"]["cytoplasm"] |= {"steps": 1, "learning_rate": 1e-9}
    slow["networks"]["cytoplasm"]["architecture"] |= {"dropout": 0.5, "views": 2}
    options = {"pairs": memory_pairs, "stains": ["cytoplasm"]}
    trained = train_networks(TrainingConfig.model_validate(slow), tmp_path / "runs", **options)
    assert list(trained) == ["cytoplasm"]
    for name, value in networks["cytoplasm"].named_parameters():
        torch.testing.assert_close(
            trained["cytoplasm"].get_parameter(name), value, atol=1e-6, rtol=0
        )

    slow["networks"]["cytoplasm"]["architecture"]["growth_rate"] = 3
    with pytest.raises(ConfigError, match=r"give it growth_rate 2, or leave init out"):
        train_networks(TrainingConfig.model_validate(slow), tmp_path / "runs", **options)
    with pytest.raises(ModelError, match="nowhere"):
        train_networks(changed(config, init="nowhere"), tmp_path / "runs", **options)


def test_a_bad_calibration_folder_is_said_before_training(config_file, settings, tmp_path):
    settings["data"]["calibration"] = str(tmp_path / "nowhere")
    steps = []
    with pytest.raises(InputError, match="nowhere"):
        train_networks(
            TrainingConfig.model_validate(settings), tmp_path / "runs", progress=steps.append
        )
    assert not steps


def test_a_device_that_is_not_there_is_named(config, memory_pairs, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ConfigError, match="device cuda"):
        train_networks(changed(config, device="cuda"), tmp_path, pairs=memory_pairs)


def test_bfloat16_trains(config, memory_pairs, tmp_path):
    config = changed(config, precision="bf16-mixed")
    losses = []
    train_networks(
        config,
        tmp_path,
        pairs=memory_pairs,
        stains=["nuclei", "lipids"],
        progress=lambda state: losses.append(state.loss),
    )
    assert np.isfinite(losses).all()


@pytest.mark.slow
def test_two_processes_share_the_work(config, memory_pairs, tmp_path):
    """Both train, on crops of their own; the first alone returns."""
    config = changed(config, device="cpu", devices=2).model_dump_json()
    script = tmp_path / "train.py"
    script.write_text(f"""
import os, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from conftest import make_pairs
from napari_fluorgen.training import data
from napari_fluorgen.training.config import TrainingConfig
from napari_fluorgen.training.run import train_networks
drawn, sample = [], data.Crops.__getitem__
data.Crops.__getitem__ = lambda self, number: (drawn.append(number), sample(self, number))[1]
config = TrainingConfig.model_validate_json({config!r})
pairs = {{"train": make_pairs(3, seed=1), "validation": make_pairs(1, seed=2)}}
try:
    train_networks(config, {str(tmp_path / "runs")!r}, pairs=pairs, stains=["nuclei", "lipids"])
    os.write(1, b"returned\\n")
finally:  # in one piece: two processes share this pipe
    os.write(1, f"crops {{' '.join(map(str, drawn))}}\\n".encode())
""")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines.count("returned") == 1
    drawn = [set(map(int, line.split()[1:])) for line in lines if line.startswith("crops")]
    assert sorted(map(sorted, drawn)) == [list(range(0, 36, 2)), list(range(1, 36, 2))]
