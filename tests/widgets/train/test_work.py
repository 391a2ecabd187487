from __future__ import annotations

import importlib
import sys
import threading
from types import ModuleType

import pytest
import zarr
from napari.layers import Image

from napari_fluorgen.errors import Cancelled, InputError
from napari_fluorgen.widgets.train.pairs import LayerPair, stacks_of_pairs
from napari_fluorgen.widgets.train.work import (
    bounded_threads,
    leave_out_triton,
    told_steps,
    train_steps,
)
from napari_fluorgen.workflow.fine_tuning_request import FineTuneRequest

from ..conftest import MODEL, make_planes  # noqa: TID252 - the model and the planes of all docks


def never():
    return False


def drain(steps):
    batches = []
    try:
        while True:
            batches.append(next(steps))
    except StopIteration as end:
        return batches, end.value


def test_all_that_is_told_arrives_in_order():
    def call(tell):
        for number in range(500):
            tell(number)
        return "done"

    batches, value = drain(told_steps(call, never, every_s=0.001))
    assert [x for batch in batches for x in batch] == list(range(500))
    assert value == "done"


def test_trouble_is_raised_by_the_steps():
    def call(tell):
        tell("begun")
        raise InputError("The pairs are bad.")

    with pytest.raises(InputError, match="The pairs are bad"):
        drain(told_steps(call, never, every_s=0.001))


def endless(ended):
    def call(tell):
        try:
            while True:
                tell("step")
        except Cancelled:
            ended.set()
            raise

    return call


def test_a_stop_ends_the_call_where_it_tells():
    stop, ended = threading.Event(), threading.Event()
    steps = told_steps(endless(ended), stop.is_set, every_s=0.001)
    next(steps)
    stop.set()
    with pytest.raises(Cancelled):
        drain(steps)
    assert ended.is_set()


def test_steps_that_are_left_end_the_call_too():
    ended = threading.Event()
    steps = told_steps(endless(ended), never, every_s=0.001)
    next(steps)
    steps.close()
    assert ended.wait(10)


@pytest.mark.parametrize("damaged", ["my cells", "my lipids"])
def test_a_layer_whose_file_is_damaged_is_named(install_folder, result, tmp_path, damaged):
    images = {"my cells": make_planes(5), "my lipids": result.images["lipids"]}
    layers = {}
    for name, image in images.items():
        zarr.save_array(tmp_path / name, image)
        layers[name] = Image(zarr.open_array(tmp_path / name, mode="r"), name=name)
    stacks = stacks_of_pairs([LayerPair(layers["my cells"], {"lipids": layers["my lipids"]})])
    chunk = next(file for file in (tmp_path / damaged / "c").rglob("*") if file.is_file())
    chunk.write_bytes(b"no pixels")
    request = FineTuneRequest.build(init=MODEL, name="mine", install=True, steps=2, device="cpu")
    with pytest.raises(InputError) as caught:
        drain(train_steps(request, stacks, never, never))
    said = str(caught.value)
    assert said.startswith(f"Layer '{damaged}' cannot be read (")
    assert said.endswith("): load it again, or choose another layer.")
    assert "\n" not in said


def test_triton_is_left_out_unless_somebody_has_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "triton", raising=False)
    leave_out_triton()
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("triton")
    held = ModuleType("triton")
    monkeypatch.setitem(sys.modules, "triton", held)
    leave_out_triton()
    assert importlib.import_module("triton") is held


def test_threads_are_bounded_and_given_back():
    import torch

    before = torch.get_num_threads()
    with bounded_threads():
        assert 1 <= torch.get_num_threads() <= max(1, before)
    assert torch.get_num_threads() == before
