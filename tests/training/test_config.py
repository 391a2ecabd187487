from pathlib import Path

import pytest
import yaml

import napari_fluorgen.training
from napari_fluorgen.errors import ConfigError
from napari_fluorgen.training.config import read_config

SHIPPED = sorted((Path(napari_fluorgen.training.__file__).parent / "configs").glob("*.yaml"))


def test_the_shipped_configurations_are_valid():
    assert [read_config(path).name for path in SHIPPED] == [path.stem for path in SHIPPED]


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
