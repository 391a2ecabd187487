import numpy as np
import pytest
import torch

from napari_fluorgen.errors import ConfigError
from napari_fluorgen.models import ModelSpec, save_package
from napari_fluorgen.networks import build_network
from napari_fluorgen.training.config import TrainingConfig
from napari_fluorgen.training.start import starting_weights


def started(settings, folder, held=(), wanted=()):
    """A network with `held`, a new one with `wanted`, and a configuration that starts from it."""
    plain = TrainingConfig.model_validate(settings)
    architecture = plain.networks["nuclei"].architecture
    network = build_network(architecture.model_copy(update=dict(held))).eval()
    spec = ModelSpec(
        name="start",
        pixel_size_um=plain.pixel_size_um,
        z_um=plain.z_um,
        input=plain.input,
        outputs={"nuclei": plain.outputs["nuclei"]},
        architectures={"nuclei": architecture.model_copy(update=dict(held))},
    )
    planes = np.zeros((1, len(plain.z_um), 32, 32), np.float32)
    start = save_package(folder / "start", spec, {"nuclei": network}, test_input=planes, card="")
    settings["networks"]["nuclei"]["architecture"] |= dict(wanted)
    config = TrainingConfig.model_validate(settings | {"init": str(start)})
    return network, build_network(config.networks["nuclei"].architecture).eval(), config


def test_an_outlined_network_starts_as_one_without_outlines(settings, tmp_path):
    torch.manual_seed(4)
    held, wanted, config = started(settings, tmp_path, wanted={"outlined": True})
    wanted.load_state_dict(starting_weights(config, ["nuclei"])["nuclei"])
    x = torch.randn(1, len(config.z_um), 32, 32)
    for found, expected in zip(wanted(x), held(x), strict=True):
        torch.testing.assert_close(found, expected)


def test_outlines_are_no_difference_to_mend(settings, tmp_path):
    _, _, config = started(settings, tmp_path, wanted={"outlined": True, "growth_rate": 3})
    with pytest.raises(ConfigError, match=r"give it growth_rate 2, or leave init out"):
        starting_weights(config, ["nuclei"])


def test_an_outlined_network_is_no_start_for_one_without(settings, tmp_path):
    _, _, config = started(settings, tmp_path, held={"outlined": True})
    with pytest.raises(ConfigError, match=r"give it outlined True, or leave init out"):
        starting_weights(config, ["nuclei"])
