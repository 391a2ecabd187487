from __future__ import annotations

import pytest

pytest.importorskip("llvmlite")

from napari_fluorgen.errors import DeviceError
from napari_fluorgen.staining.backends.native import target


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ("+avx2,+fma,-avx512f", target.Target(8, 16)),
        ("+avx2,-fma", None),
        ("+avx512f,+avx512bw,+avx512vl,+avx2,+fma", target.Target(16, 32)),
        ("+avx512f,+avx512bw,+avx512vl,+avx512bf16", target.Target(16, 32, bfloat16=True)),
        (
            "+avx512f,+avx512bw,+avx512vl,+avx512bf16,+amx-bf16",
            target.Target(16, 32, bfloat16=True, tiles=True),
        ),
        ("", None),
    ],
)
def test_vectors_follow_from_the_processor(monkeypatch, features, expected):
    monkeypatch.setattr(target, "_features", lambda: features)
    monkeypatch.setattr(target.platform, "machine", lambda: "x86_64")
    assert target.host_target.__wrapped__() == expected


def test_arm_has_vectors_of_four(monkeypatch):
    monkeypatch.setattr(target, "_features", lambda: "")
    monkeypatch.setattr(target.platform, "machine", lambda: "arm64")
    assert target.host_target.__wrapped__() == target.Target(4, 32)


def test_without_llvm_there_is_no_target(monkeypatch):
    monkeypatch.setattr(target.importlib.util, "find_spec", lambda name: None)
    assert target.host_target.__wrapped__() is None


def test_what_llvm_refuses_is_told_with_what_to_do():
    with pytest.raises(DeviceError, match=r"could not compile .*FLUORGEN_BACKEND to openvino"):
        target.compile_function("define nonsense", "f")
