"""Mean of the networks that phases end with."""

from itertools import count

import pytest
import torch

from napari_fluorgen.errors import Cancelled
from napari_fluorgen.training.config import TrainingConfig

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from napari_fluorgen.training.run import train_networks

PHASES = [{"steps": 4, "learning_rate": 1e-2}, {"steps": 3}, {"steps": 2}]


@pytest.fixture
def train(settings, memory_pairs, tmp_path):
    runs = count()

    def run(phases, averaged, folder=None, **options):
        small = settings["networks"]["nuclei"]["architecture"]
        network = {"architecture": small, "phases": phases, "averaged_phases": averaged}
        networks = settings["networks"] | {"nuclei": network}
        config = TrainingConfig.model_validate(
            settings | {"networks": networks, "validate_every": 2}
        )
        folder = folder or tmp_path / str(next(runs))
        options |= {"pairs": memory_pairs, "stains": ["nuclei"]}
        return train_networks(config, folder, **options)["nuclei"]

    return run


def test_the_weights_are_the_mean_of_those_at_the_ends_of_the_last_phases(train):
    whole = train(PHASES, 2)
    ends = [dict(train(PHASES[:n], 1).named_parameters()) for n in (2, 3)]
    for name, value in whole.named_parameters():
        torch.testing.assert_close(value, (ends[0][name] + ends[1][name]) / 2)
        assert not torch.equal(ends[0][name], ends[1][name]) or not value.any()


def test_batch_norm_takes_its_statistics_of_the_training_fields_anew(train, memory_pairs):
    network = train(PHASES, 2)
    first = next(m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d))
    seen = []
    first.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    for pair in memory_pairs["train"]:
        network(torch.from_numpy(pair.planes)[None])
    values = torch.cat(seen).transpose(0, 1).flatten(1)
    torch.testing.assert_close(first.running_mean, values.mean(1), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(first.running_var, values.var(1), rtol=0.02, atol=1e-5)


@pytest.mark.parametrize("stop", [3, 4, 7])
def test_a_stopped_run_forgets_no_phase(train, tmp_path, stop):
    whole, steps = train(PHASES, 3), []
    options = {"progress": lambda state: steps.append(state.step), "folder": tmp_path / "stopped"}
    with pytest.raises(Cancelled):
        train(PHASES, 3, should_stop=lambda: steps[-1] == stop, **options)
    # The second time it is over already.
    for resumed in (train(PHASES, 3, resume=True, **options) for _ in range(2)):
        for name, value in whole.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[name]), name
