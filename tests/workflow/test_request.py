from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from napari_fluorgen.errors import ConfigError
from napari_fluorgen.workflow import DEFAULT_MODEL, StainRequest
from napari_fluorgen.workflow.fine_tuning_request import FineTuneRequest


def test_default_request_is_for_the_shipped_model_and_any_device() -> None:
    request = StainRequest.build()
    assert request.model == DEFAULT_MODEL == "adipocyte-20x"
    assert (request.device, request.precision, request.focus) == ("auto", "auto", "auto")
    assert request.significance == 0.05


def test_request_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        StainRequest.build().device = "cpu"


def test_request_survives_its_record() -> None:
    request = StainRequest.build(model="m", pixel_size_um=0.2, tile_px=512, focus="flipped")
    record = json.loads(json.dumps(request.to_record()))
    assert StainRequest.build(**record) == request


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"device": "tpu"}, "'device' is 'tpu'"),
        ({"significance": 0}, "'significance' is 0"),
        ({"significance": 1.0}, "'significance' is 1.0"),
        ({"pixel_size_um": -1}, "'pixel_size_um' is -1"),
        ({"pixel_size_um": float("nan")}, "'pixel_size_um' is nan"),
        ({"tile_px": 3}, "'tile_px' is 3"),
        ({"speed": "fast"}, "'speed' is 'fast'"),
    ],
)
def test_wrong_setting_is_one_sentence_with_its_value(settings: dict, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        StainRequest.build(**settings)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_that_contradict_each_other_are_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"^Give minutes or steps, not both\.$"):
        FineTuneRequest.build(minutes=1, steps=1, install=True)
    with pytest.raises(ConfigError, match=r"^Setting 'stains' is \('x',\): name some of nuclei"):
        FineTuneRequest.build(stains=("x",), install=True)
