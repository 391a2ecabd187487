from __future__ import annotations

import pytest

from napari_fluorgen.errors import ModelError
from napari_fluorgen.io import read_stack
from napari_fluorgen.workflow import StainRequest, drain, estimate_field, stain_field
from napari_fluorgen.workflow.estimate import describe_cost


def test_estimate_foresees_tiles_device_and_messages(stack_file, model) -> None:
    from napari_fluorgen.staining import Planned

    stack = read_stack(stack_file)
    request = StainRequest.build(model="tiny", device="cpu", precision="float32", tile_px=96)
    foreseen = estimate_field(stack, request, model=model)
    events = []
    drain(stain_field(stack, request, model=model), events.append)
    planned = next(event for event in events if isinstance(event, Planned))
    assert foreseen.tiles == len(planned.plan.tiles)
    assert foreseen.device.name == planned.device.name == "cpu"
    assert foreseen.adaptation.messages == planned.adaptation.messages
    assert foreseen.bytes == planned.plan.memory_bytes > 0


def test_estimate_of_an_unknown_model_is_an_error(stack_file, installed) -> None:
    with pytest.raises(ModelError):
        estimate_field(read_stack(stack_file), StainRequest.build(model="gone"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "0.9 GB"), (0.2, "about 1 s, 0.9 GB"), (6.4, "about 6 s, 0.9 GB")],
)
def test_cost_in_words(seconds, words) -> None:
    assert describe_cost(seconds, 0.9e9) == words
    assert describe_cost(600, 2e9) == "about 10 min, 2.0 GB"
