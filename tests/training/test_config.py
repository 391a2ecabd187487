from pathlib import Path

import pytest
import torch
import yaml

import napari_fluorgen.training
from napari_fluorgen.errors import ConfigError
from napari_fluorgen.models.importing import REFERENCE_RANGES
from napari_fluorgen.networks import Architecture
from napari_fluorgen.stack import STAINS
from napari_fluorgen.training.augment import AugmentSettings
from napari_fluorgen.training.config import LossConfig, TrainingConfig, read_config
from napari_fluorgen.training.course import Constant, OneCycle, WarmRestarts

SHIPPED = sorted((Path(napari_fluorgen.training.__file__).parent / "configs").glob("*.yaml"))


def test_the_shipped_configurations_are_valid():
    assert [read_config(path).name for path in SHIPPED] == [path.stem for path in SHIPPED]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_networks_of_the_shipped_configurations_can_be_built(path):
    pytest.importorskip("lightning", reason="training needs the extra 'train'")
    from napari_fluorgen.training.adversarial import build_module

    config = read_config(path)
    for stain, settings in config.networks.items():
        with torch.device("meta"):
            module = build_module(stain, settings, [1] * len(settings.course))
        assert hasattr(module, "discriminator") == settings.adversarial


@pytest.mark.parametrize(("magnification", "epochs"), [("20x", 20), ("40x", 30), ("60x", 60)])
def test_the_report_is_followed(magnification, epochs):
    """Numbers of sections 2 to 4."""
    folder = SHIPPED[0].parent
    config = read_config(folder / f"report-{magnification}.yaml")
    assert (config.data.crop, config.data.batch, config.seed) == (512, 4, 42)
    ranges = [(config.outputs[s].minimum, config.outputs[s].maximum) for s in STAINS]
    ranges += zip(config.input.minimum, config.input.maximum, strict=True)
    assert ranges == list(REFERENCE_RANGES[magnification])
    nuclei, lipids, cytoplasm = (config.networks[s] for s in ("nuclei", "lipids", "cytoplasm"))
    assert nuclei.architecture.first_filters == 32
    for network in (lipids, cytoplasm):
        assert network.architecture == Architecture(kind="dense-unet")  # whose defaults are theirs
    first, last = nuclei.course
    assert (first.epochs, first.learning_rate) == (epochs, 1e-3)
    assert first.schedule == WarmRestarts(t_0=2, t_mult=2)
    assert (last.epochs, last.learning_rate, last.schedule) == (10, 1e-5, Constant())
    for network, length, gradient in ((lipids, 1000, 10), (cytoplasm, 600, 100)):
        pretrain, adversarial = network.course
        assert (pretrain.epochs, pretrain.learning_rate) == (200, 1e-4)
        assert pretrain.loss.reconstruction == "log-squared"
        assert (adversarial.epochs, adversarial.pool) == (length, 50)
        assert adversarial.learning_rate == 1e-4
        assert adversarial.discriminator_learning_rate == 1e-6
        loss = adversarial.loss
        assert loss.reconstruction == "median-mae"
        assert (loss.alpha_adversarial, loss.alpha_gradient) == (0.01, gradient)
        assert loss.alpha_reconstruction == 1.0


def _write(tmp_path, settings):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pixel_size_um": -1}, "pixel_size_um"),
        ({"colour": "red"}, "colour"),
        ({"outputs": {"nuclei": {"minimum": 0, "maximum": 1}}}, "must both name"),
        ({"z_um": [0, 1]}, "as many planes"),
        ({"precision": "float8"}, "precision"),
        ({"name": "my model"}, r"yaml: name: .*'my model' cannot name a model"),
        ({"z_um": [6, 4, 2, 0, -2, -4, -6]}, r"yaml: z_um: .*must ascend"),
        ({"z_um": [0] * 7}, r"yaml: z_um: .*must ascend"),
        ({"pixel_size_um": float("inf")}, r"yaml: pixel_size_um: .*finite"),
        ({"nuclei": {"min_area_um2": 700}}, r"yaml: nuclei: .*700 must not exceed max_area_um2"),
        ({"description": None}, r"yaml: description: input should be .* \(found None\)\.$"),
        ({"networks": {}}, r"yaml: settings: networks and outputs must both name [\w ,]+\.$"),
        ({"input": {"kind": "range", "minimum": [0], "maximum": [1]}}, "for each of z_um"),
    ],
)
def test_a_wrong_field_is_named(tmp_path, settings, change, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_config(_write(tmp_path, settings | change))
    assert "\n" not in str(caught.value)


def test_a_wrong_field_of_a_network_is_named(tmp_path, settings):
    settings["networks"]["lipids"] = {"architecture": {"kind": "dense-unet"}, "steps": 0}
    with pytest.raises(ConfigError, match=r"networks\.lipids\.steps"):
        read_config(_write(tmp_path, settings))


def test_a_crop_must_suit_every_network(tmp_path, settings):
    settings["data"]["crop"] = 34
    with pytest.raises(ConfigError, match=r"crop 34 must be a multiple of 4"):
        read_config(_write(tmp_path, settings))


@pytest.mark.parametrize("text", ["{", "- a\n- b", ""])
def test_what_is_no_configuration_is_refused(tmp_path, text):
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"wrong\.yaml"):
        read_config(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_config(tmp_path / "missing.yaml")


def test_loss_names_of_version_0_1_are_understood():
    old = {"stain": 5.0, "gradient": 1.0, "segmentation": 0.5, "loss_weight_modules": 0.25}
    new = LossConfig(
        alpha_reconstruction=5.0, alpha_gradient=1.0, alpha_segmentation=0.5, alpha_lwm=0.25
    )
    assert LossConfig.model_validate(old) == new
    assert LossConfig.model_validate(new.model_dump()) == new


def _lipids(settings, **values):
    network = settings["networks"]["lipids"]
    settings["networks"]["lipids"] = {"architecture": network["architecture"], **values}
    return settings


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"steps": 3, "loss": {"reconstruction": "l3"}}, r"networks\.lipids\.loss\.reconstruction"),
        ({"steps": 3, "loss": {"gradient": -1}}, r"networks\.lipids\.loss\.gradient"),
        ({"steps": 3, "loss": {"alpha_adv": 1}}, r"networks\.lipids\.loss\.alpha_adv"),
        ({"steps": 3, "loss": {"alpha_lwm": 1}}, r"networks\.lipids: .*of the nuclei network only"),
        ({"steps": 3, "schedule": "cubic"}, r"networks\.lipids\.schedule"),
        ({"steps": 3, "epochs": 3}, r"networks\.lipids: .*give steps, epochs or phases"),
        ({}, r"networks\.lipids: .*give steps, epochs or phases"),
        ({"phases": [{"kind": "adversarial"}]}, r"phases\.0: .*either steps or epochs"),
        ({"phases": [{"steps": 2, "pool": -1}]}, r"phases\.0\.pool"),
        ({"steps": 3, "phases": [{"steps": 2}]}, r"belong into each phase"),
        ({"steps": 3, "averaged_phases": 2}, r"averaged_phases 2 must not exceed .* 1\.$"),
        (
            {"phases": [{"kind": "adversarial", "steps": 2}], "discriminator": {"layers": 4}},
            r"data\.crop 32 must be at least 48",
        ),
    ],
)
def test_a_wrong_field_of_a_recipe_is_named(tmp_path, settings, values, sentence):
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_config(_write(tmp_path, _lipids(settings, **values)))
    assert "\n" not in str(caught.value)


def test_a_schedule_is_given_by_name_or_with_settings(settings):
    schedules = {}
    for schedule in ("constant", "one-cycle", {"kind": "warm-restarts", "t_0": 3}):
        config = TrainingConfig.model_validate(_lipids(settings, steps=3, schedule=schedule))
        schedules[str(schedule)] = config.networks["lipids"].course[0].schedule
        assert TrainingConfig.model_validate(config.model_dump(mode="json")) == config
    assert list(schedules.values()) == [Constant(), OneCycle(), WarmRestarts(t_0=3)]


def test_a_network_may_have_crops_of_its_own(settings):
    settings["networks"]["nuclei"] |= {"batch": 12, "centred": 1, "augment": {"transform": 1}}
    config = TrainingConfig.model_validate(settings)
    own = config.data_for("nuclei")
    assert (own.batch, own.centred, own.augment) == (12, 1, AugmentSettings(transform=1))
    assert config.data_for("lipids") == config.data


def test_networks_agree_on_how_planes_are_drawn(tmp_path, settings):
    settings["networks"]["nuclei"] |= {"augment": {"planes": "random"}}
    with pytest.raises(ConfigError, match=r"augment\.planes must be the same"):
        read_config(_write(tmp_path, settings))


def test_lengths_are_said_in_words(settings):
    lipids = {"epochs": 200}, {"kind": "adversarial", "epochs": 1000}
    config = TrainingConfig.model_validate(_lipids(settings, phases=lipids))
    assert config.networks["lipids"].length == "200 epochs, then 1000 epochs adversarial"
    assert config.networks["nuclei"].length == "4 steps"


def test_a_model_may_have_fewer_stains(settings):
    for section in ("networks", "outputs"):
        del settings[section]["cytoplasm"]
    assert set(TrainingConfig.model_validate(settings).networks) == {"nuclei", "lipids"}


def test_averaging_and_stopping_early_exclude_each_other(tmp_path, settings):
    settings["early_stopping"] = {}
    phases = [{"steps": 2}] * 2
    with pytest.raises(ConfigError, match=r"averaged_phases .* leave early_stopping out"):
        read_config(_write(tmp_path, _lipids(settings, phases=phases, averaged_phases=2)))


def test_dice_is_a_figure_of_the_nuclei_only(tmp_path, settings):
    settings["early_stopping"] = {"figure": "dice"}
    with pytest.raises(ConfigError, match="figure of the nuclei only"):
        read_config(_write(tmp_path, settings))
