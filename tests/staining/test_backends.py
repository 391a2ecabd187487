from __future__ import annotations

import os
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_fluorgen.errors import ModelError
from napari_fluorgen.models import Model
from napari_fluorgen.staining.backends import (
    CPU_BACKENDS,
    open_backend,
    openvino_cpu,
    pytorch,
)
from napari_fluorgen.staining.backends.openvino_cpu import OpenVinoBackend
from napari_fluorgen.staining.backends.pytorch import PyTorchBackend
from napari_fluorgen.staining.devices import resolve_device
from napari_fluorgen.staining.selftest import open_tested_backend


@pytest.fixture(params=["model", "views_model"])
def any_model(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(params=CPU_BACKENDS)
def backend(request, any_model, monkeypatch):
    monkeypatch.setenv("FLUORGEN_BACKEND", request.param)
    return open_backend(any_model, resolve_device("cpu"), "float32")


def test_test_tensors_are_met(backend, any_model):
    tensor, expected = any_model.test_tensors()
    maps = backend.predict(tensor)
    assert tuple(maps) == any_model.spec.output_names
    for name, array in expected.items():
        assert maps[name].shape == (1, 64, 64)
        assert maps[name].dtype == np.float32
        np.testing.assert_allclose(maps[name], array[:, 0], rtol=0, atol=1e-6)


def test_a_batch_is_its_tiles(backend):
    batch = np.random.default_rng(0).normal(size=(2, 7, 32, 48)).astype(np.float32)
    together = backend.predict(batch)
    for index in range(2):
        alone = backend.predict(batch[index : index + 1])
        for name in together:
            np.testing.assert_allclose(together[name][index], alone[name][0], rtol=0, atol=1e-6)


def test_graphs_stay_warm_within_a_bound(model):
    openvino_cpu.warm_graphs.clear()
    backend = OpenVinoBackend(model, "float32")
    backend.prepare((32, 32), 1)
    graph = backend._graph((32, 32))
    assert OpenVinoBackend(model, "float32")._graph((32, 32)) is graph
    for side in range(36, 36 + 4 * openvino_cpu.warm_graphs.most, 4):
        backend.prepare((side, 32), 1)
    assert len(openvino_cpu.warm_graphs) == openvino_cpu.warm_graphs.most
    assert backend._graph((32, 32)) is not graph


def test_two_threads_share_a_graph(model):
    backend = OpenVinoBackend(model, "float32")
    batch = np.random.default_rng(0).normal(size=(1, 7, 64, 64)).astype(np.float32)
    expected = backend.predict(batch)["lipids"]
    with ThreadPoolExecutor(4) as pool:
        for maps in pool.map(lambda _: backend.predict(batch), range(8)):
            np.testing.assert_array_equal(maps["lipids"], expected)


def test_working_memory_of_large_tiles_is_given_back(model, monkeypatch):
    backend = OpenVinoBackend(model, "float32")
    batch = np.random.default_rng(0).normal(size=(1, 7, 64, 64)).astype(np.float32)
    expected = backend.predict(batch)["lipids"]
    graph = backend._graph((64, 64))
    monkeypatch.setattr(openvino_cpu, "KEPT_PX", 64 * 64 - 1)
    backend.close()
    assert backend._graph((64, 64)) is graph
    np.testing.assert_array_equal(backend.predict(batch)["lipids"], expected)


def test_an_unwritable_cache_is_done_without(model, monkeypatch, tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(in_the_way))
    openvino_cpu.cache_folder.cache_clear()
    openvino_cpu.warm_graphs.clear()
    try:
        assert openvino_cpu.cache_folder() is None
        OpenVinoBackend(model, "float32").prepare((16, 16), 1)
    finally:
        openvino_cpu.cache_folder.cache_clear()


def test_half_precision_keeps_statistics_and_outputs_in_float32(model):
    import torch

    tensor, expected = model.test_tensors()
    backend = PyTorchBackend(model, resolve_device("cpu"), "bfloat16")
    kinds = {}
    for module in backend._network.modules():
        for tensor_of in module.parameters(recurse=False):
            kinds.setdefault(type(module), set()).add(tensor_of.dtype)
    assert kinds[torch.nn.Conv2d] == {torch.bfloat16}
    assert kinds[torch.nn.BatchNorm2d] == {torch.float32}
    maps = backend.predict(tensor)
    for name, array in expected.items():
        assert maps[name].dtype == np.float32
        assert np.abs(maps[name] - array[:, 0]).mean() < 5e-3
    # The model's own networks stay as they were.
    weights = next(model.network("lipids").parameters())
    assert weights.dtype == torch.float32


def test_a_package_without_onnx_is_traced(model, tmp_path):
    folder = tmp_path / "tiny"
    shutil.copytree(model.path, folder)
    (folder / "networks.onnx").unlink()
    openvino_cpu.warm_graphs.clear()
    tensor, expected = model.test_tensors()
    maps = OpenVinoBackend(Model(folder), "float32").predict(tensor)
    for name, array in expected.items():
        np.testing.assert_allclose(maps[name], array[:, 0], rtol=0, atol=1e-6)


def test_networks_of_another_file_are_refused_and_the_machine_is_not_blamed(
    model, tmp_path, monkeypatch
):
    monkeypatch.setenv("FLUORGEN_BACKEND", "openvino")
    folder = shutil.copytree(model.path, tmp_path / "tiny")
    path = folder / "networks.onnx"
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], content + b"\0", b"words"):
        path.write_bytes(damaged)
        openvino_cpu.warm_graphs.clear()
        with pytest.raises(
            ModelError, match=r"networks\.onnx is not the file that rdf\.yaml lists"
        ):
            open_tested_backend(Model(folder), "cpu", "float32")


def test_compiled_graphs_on_disk_are_bounded(tmp_path):
    for age in range(5):
        path = tmp_path / f"{age}.blob"
        path.write_bytes(bytes(100))
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    (tmp_path / "other.txt").write_bytes(bytes(1000))
    openvino_cpu.prune_cache(tmp_path, limit=250)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.blob", "1.blob", "other.txt"]


def test_a_compiled_graph_is_kept_on_disk(model):
    openvino_cpu.cache_folder.cache_clear()
    openvino_cpu.warm_graphs.clear()
    folder = openvino_cpu.cache_folder()
    assert folder is not None
    OpenVinoBackend(model, "float32").prepare((52, 68), 1)
    found = {path: path.stat().st_mtime_ns for path in folder.glob("*.blob")}
    assert found
    openvino_cpu.warm_graphs.clear()
    OpenVinoBackend(model, "float32").prepare((52, 68), 1)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.blob")} == found


def test_networks_stay_on_their_device(model):
    pytorch.warm_networks.clear()
    device = resolve_device("cpu")
    first = PyTorchBackend(model, device, "float32")
    network = first._network
    first.close()
    assert PyTorchBackend(model, device, "float32")._network is network
    assert PyTorchBackend(model, device, "bfloat16")._network is not network
    assert network is not model.combined(), "the model keeps its own"
    assert len(pytorch.warm_networks) == 2


def test_a_full_device_lets_warm_networks_go(model, monkeypatch):
    backend = PyTorchBackend(model, resolve_device("cpu"), "float32")

    def full(*_):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(backend, "_run", full)
    with pytest.raises(MemoryError):
        backend.predict(np.zeros((1, 7, 32, 32), np.float32))
    assert len(pytorch.warm_networks) == 0


@pytest.mark.parametrize("step", ["prepare", "predict"])
def test_what_failed_is_freed_before_the_cache_is_emptied(model, monkeypatch, step):
    torch = pytest.importorskip("torch")
    backend = PyTorchBackend(model, resolve_device("cpu"), "float32")
    backend._device = torch.device("cuda")
    held, alive = [], []

    def full(*_):
        tensor = torch.zeros(8)
        held.append(weakref.ref(tensor))
        raise RuntimeError(f"CUDA out of memory beside {tensor.shape}")

    monkeypatch.setattr(pytorch, "RecordedNetwork", full)
    monkeypatch.setattr(backend, "_run", full)
    monkeypatch.setattr(backend, "_empty_cache", lambda: alive.append(held[0]() is not None))
    tile = np.zeros((1, 7, 32, 32), np.float32)
    given = {"prepare": ((32, 32), 99), "predict": (tile,)}[step]
    with pytest.raises(MemoryError):
        getattr(backend, step)(*given)
    assert alive == [False]


def test_few_tiles_are_not_recorded(model, monkeypatch):
    torch = pytest.importorskip("torch")
    backend = PyTorchBackend(model, resolve_device("cpu"), "float32")
    backend._device = torch.device("cuda")
    recorded = []
    monkeypatch.setattr(pytorch, "RecordedNetwork", lambda *given: recorded.append(given[1]))
    backend.prepare((32, 48), 1)
    assert not recorded
    backend.prepare((32, 48), 99)
    assert recorded == [(1, 7, 32, 48)]


@pytest.mark.gpu
def test_cuda_meets_the_test_tensors(model):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    tensor, expected = model.test_tensors()
    for precision, limit in (("float32", 1e-4), ("float16", 2e-2)):
        backend = PyTorchBackend(model, resolve_device("cuda"), precision)
        backend.prepare(tensor.shape[2:], 99)  # recorded, and the same again without
        for shape in (tensor.shape, (2, *tensor.shape[1:])):
            maps = backend.predict(np.broadcast_to(tensor, shape))
            for name, array in expected.items():
                assert np.abs(maps[name][0] - array[0, 0]).mean() < limit
        backend.close()
        assert torch.cuda.memory_allocated() < 32 * 2**20
