from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from napari_fluorgen.errors import ModelError
from napari_fluorgen.io import read_stack
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity
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


MEASURE = """
import json, resource, sys
import numpy as np
from napari_fluorgen.models import load_model
from napari_fluorgen.stack import BrightfieldStack, FieldIdentity
from napari_fluorgen.workflow import StainRequest, drain, estimate_field, stain_field

model = load_model("adipocyte-20x")
planes = np.random.default_rng(0).integers(2000, 4000, (7, 900, 1000), dtype=np.uint16)
spec = model.spec
stack = BrightfieldStack(planes, FieldIdentity("a"), (spec.pixel_size_um,) * 2, spec.z_um)
request = StainRequest.build(model="adipocyte-20x", device="cpu", focus="as-is")
foreseen = estimate_field(stack, request, model=model)
drain(stain_field(stack, request, model=model))
try:  # what Linux tells by getrusage includes the process that this one was forked from
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
except OSError:
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
print(json.dumps([foreseen.bytes, peak]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is told by POSIX alone")
def test_memory_is_foreseen_within_half() -> None:
    pytest.importorskip("openvino")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], check=True, stdout=subprocess.PIPE, text=True
    )
    foreseen, peak = json.loads(done.stdout.splitlines()[-1])
    assert peak / 1.5 < foreseen < peak * 1.5


def test_a_field_that_goes_to_disk_needs_less_memory(model) -> None:
    planes = np.broadcast_to(np.arange(7, dtype=np.uint16)[:, None, None] + 100, (7, 9000, 9000))
    stack = BrightfieldStack(planes, FieldIdentity("wide"), (0.325, 0.325))
    request = StainRequest.build(model="tiny", device="cpu", focus="as-is")
    held = estimate_field(stack, request, model=model)
    streamed = estimate_field(stack, request, model=model, held=False)
    assert streamed.bytes < 2e9 < held.bytes
    larger = np.broadcast_to(planes[:, :1, :1], (7, 90000, 90000))
    stack = BrightfieldStack(larger, FieldIdentity("huge"), (0.325, 0.325))
    huge = estimate_field(stack, request, model=model, held=False)
    assert huge.bytes == pytest.approx(streamed.bytes, rel=0.1)
