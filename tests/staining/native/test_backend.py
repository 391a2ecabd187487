from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("llvmlite")

from napari_fluorgen.errors import ConfigError, DeviceError, ModelError
from napari_fluorgen.staining.backends import cpu_backend, native, open_backend
from napari_fluorgen.staining.backends.native import NativeBackend, backend, suits
from napari_fluorgen.staining.backends.native.target import Target
from napari_fluorgen.staining.devices import resolve_device

BATCH = np.random.default_rng(0).normal(size=(1, 7, 64, 48)).astype(np.float32)


def test_a_model_stays_warm_for_tiles_of_all_sizes(model):
    native.warm_models.clear()
    first = NativeBackend(model, "float32")
    first.predict(BATCH)
    second = NativeBackend(model, "float32")
    second.predict(BATCH[:, :, :32, :32])
    assert second._loaded is first._loaded
    assert len(native.warm_models) == 1


def test_two_threads_share_a_model(model):
    shared = NativeBackend(model, "float32")
    expected = shared.predict(BATCH)["lipids"]
    with ThreadPoolExecutor(4) as pool:
        for maps in pool.map(lambda _: shared.predict(BATCH), range(8)):
            np.testing.assert_array_equal(maps["lipids"], expected)


def test_working_memory_of_large_tiles_is_given_back(model, monkeypatch):
    native.warm_models.clear()
    opened = NativeBackend(model, "float32")
    opened.prepare(BATCH.shape[2:], 1)
    reserved = opened._loaded._workspace._memory
    expected = opened.predict(BATCH)["lipids"]
    assert opened._loaded._workspace._memory is reserved, "it was enough"
    opened.close()
    assert opened._loaded._workspace._memory.size > 0
    monkeypatch.setattr(backend, "KEPT_PX", 64 * 48 - 1)
    opened.close()
    assert opened._loaded._workspace._memory.size == 0
    np.testing.assert_array_equal(opened.predict(BATCH)["lipids"], expected)


def test_what_layers_take_is_told(model):
    spent = NativeBackend(model, "float32").profile(BATCH)
    assert {"3x3 convolution", "1x1 convolution", "upsampling", "sum"} == set(spent)
    assert list(spent.values()) == sorted(spent.values(), reverse=True)


def test_weights_that_do_not_fit_are_refused(model, monkeypatch):
    native.warm_models.clear()
    monkeypatch.setattr(type(model), "weights", lambda self, stain: {})
    with pytest.raises(ModelError, match="weights of nuclei in model 'tiny' are not those that"):
        NativeBackend(model, "float32")
    native.warm_models.clear()


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (None, {"float32": "openvino", "bfloat16": "openvino"}),
        (Target(8, 16), {"float32": "native", "bfloat16": "openvino"}),
        (Target(16, 32, bfloat16=True), {"float32": "native", "bfloat16": "native"}),
        (Target(16, 32, bfloat16=True, tiles=True), {"float32": "native", "bfloat16": "openvino"}),
    ],
)
def test_the_processor_decides_what_computes(monkeypatch, target, expected):
    monkeypatch.delenv("FLUORGEN_BACKEND", raising=False)
    monkeypatch.setattr(backend, "host_target", lambda: target)
    assert {precision: cpu_backend(precision) for precision in expected} == expected
    assert suits("float32") == (target is not None)


@pytest.mark.parametrize("name", ["native", "openvino", "pytorch"])
def test_the_backend_can_be_chosen(model, monkeypatch, name):
    monkeypatch.setenv("FLUORGEN_BACKEND", name)
    assert open_backend(model, resolve_device("cpu"), "float32").name == name


def test_an_unknown_backend_is_refused(model, monkeypatch):
    monkeypatch.setenv("FLUORGEN_BACKEND", "abacus")
    with pytest.raises(ConfigError, match="'abacus'; expected one of native, openvino, pytorch"):
        open_backend(model, resolve_device("cpu"), "float32")


def test_a_backend_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setenv("FLUORGEN_BACKEND", "openvino")
    monkeypatch.setattr("napari_fluorgen.staining.backends.openvino_cpu.is_installed", bool)
    with pytest.raises(ConfigError, match="'openvino', which is not installed; unset it"):
        cpu_backend("float32")


def test_a_processor_without_vectors_is_refused(model, monkeypatch):
    monkeypatch.setattr(backend, "host_target", lambda: None)
    with pytest.raises(DeviceError, match="do not run on this processor in float32"):
        NativeBackend(model, "float32")
    with pytest.raises(DeviceError, match="unset FLUORGEN_BACKEND"):
        native.sample_layer("float32")
