from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from napari_fluorgen.staining.backends import dense_blocks
from napari_fluorgen.staining.backends.dense_blocks import split_concatenations
from napari_fluorgen.staining.backends.openvino_cpu import import_openvino

SHAPE = (1, 7, 48, 64)


def read(model):
    network = import_openvino().Core().read_model(model.onnx)
    network.reshape(list(SHAPE))
    return network


def run(network):
    ov = import_openvino()
    graph = ov.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    planes = np.random.default_rng(3).normal(0, 0.3, SHAPE).astype(np.float32)
    return [array.copy() for array in graph([planes]).values()]


def kinds(network):
    return Counter(node.get_type_name() for node in network.get_ops())


@pytest.mark.parametrize("narrow", [0, 10])
def test_the_numbers_stay(model, monkeypatch, narrow):
    monkeypatch.setattr(dense_blocks, "WORTHWHILE", 0)
    monkeypatch.setattr(dense_blocks, "NARROW", narrow)
    network = read(model)
    before, expected = kinds(network), run(read(model))
    assert split_concatenations(network, import_openvino().opset13) > 0
    assert kinds(network)["Convolution"] > before["Convolution"]
    for array, whole in zip(run(network), expected, strict=True):
        np.testing.assert_allclose(array, whole, rtol=0, atol=2e-6)


def test_the_names_of_the_outputs_stay(model, monkeypatch):
    monkeypatch.setattr(dense_blocks, "WORTHWHILE", 0)
    network = read(model)
    split_concatenations(network, import_openvino().opset13)
    assert tuple(x.get_any_name() for x in network.outputs) == model.spec.output_names


def test_small_tiles_are_left_as_they_are(model):
    network = read(model)
    before = kinds(network)
    assert split_concatenations(network, import_openvino().opset13) == 0
    assert kinds(network) == before


def test_other_graphs_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(dense_blocks, "WORTHWHILE", 0)
    ov = import_openvino()
    op = ov.opset13
    x = op.parameter([1, 2, 8, 8], np.float32)
    rows = op.concat([x, x], 2)  # not along the channels
    ones = op.constant(np.ones(2, np.float32))
    norm = op.batch_norm_inference(rows, ones, ones, ones, ones, 1e-5)
    weights = op.constant(np.ones((3, 2, 3, 3), np.float32))
    layer = op.convolution(op.relu(norm), weights, [1, 1], [1, 1], [1, 1], [1, 1])
    direct = op.convolution(x, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    assert split_concatenations(ov.Model([layer, direct], [x]), op) == 0
