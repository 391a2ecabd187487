"""How long is trained, how often it is looked at, and the best network on disk."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from napari_fluorgen.errors import ConfigError
from napari_fluorgen.training.run import TrainProgress
from napari_fluorgen.workflow.fine_tuning_request import FineTuneRequest

pytest.importorskip("lightning", reason="training needs the extra 'train'")
training = pytest.importorskip("napari_fluorgen.workflow.fine_tuning_training")


@pytest.fixture
def course(model, tmp_path):
    request = FineTuneRequest.build(init=str(model.path), output=tmp_path / "own")
    return training.Course(
        start=model,
        spec=model.spec,
        parts={},
        reverse=False,
        crop=32,
        device="cpu",
        request=request,
        work=tmp_path,
    )


@pytest.mark.parametrize(
    ("look", "steps", "looks"),
    [(5, 950, 10), (60, 700, 5), (2000, 0, 1)],
    ids=["quick", "slow", "slower than the time"],
)
def test_time_is_shared_between_steps_and_looks(course, monkeypatch, look, steps, looks):
    clock = SimpleNamespace(now=0.0)

    def train(config, folder, *, progress, **_):
        count = config.networks["lipids"].steps
        for step in range(1, count + 1):
            clock.now += 1
            progress(TrainProgress("lipids", step, count, 0.1))
            if step % config.validate_every == 0 or step == count:
                clock.now += look
                progress(TrainProgress("lipids", step, count, 0.1, {"pearson": 0.5}))

    monkeypatch.setattr(training, "train_networks", train)
    monkeypatch.setattr(training.time, "monotonic", lambda: clock.now)
    planned = course._steps_until(1000 + 8 + look, "lipids", {}, training.StopFlag(None))
    assert planned == max(1, steps)
    assert course.validations == {"lipids": looks}


@pytest.mark.parametrize("steps", [1, 9, 10, 22, 59, 101, 997])
def test_any_number_of_steps_is_looked_at_about_ten_times(steps):
    interval = training.validation_interval(steps)
    looks = -(-steps // interval)
    assert min(steps, 6) <= looks <= 10


def test_the_best_is_kept_and_a_damaged_one_said_to_be(tmp_path):
    network = torch.nn.Conv2d(1, 1, 1)
    path = tmp_path / "best.safetensors"
    best = training._Best(path)
    best.see(network, 0.25)
    kept = network.weight.detach().clone()
    torch.nn.init.zeros_(network.weight)
    best.see(network, 0.125)
    again = training._Best(path)
    assert again.figure == again.restore(network) == 0.25
    assert torch.equal(network.weight, kept)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ConfigError, match="damaged"):
        training._Best(path)
