from __future__ import annotations

import subprocess
import sys

import pytest

from napari_fluorgen.errors import ConfigError, DeviceError
from napari_fluorgen.staining import devices
from napari_fluorgen.staining.budget import largest_area, memory_bytes
from napari_fluorgen.staining.plan import plan_tiles


def test_the_cpu_is_always_there_and_last():
    found = devices.available_devices()
    assert found[-1].name == "cpu"
    assert "core" in str(found[-1])
    assert devices.resolve_device("auto").name == found[0].name


def test_a_missing_device_is_named():
    missing = {"cuda", "mps"} - {device.name for device in devices.available_devices()}
    for name in missing:
        with pytest.raises(DeviceError, match=f"'{name}' was not found"):
            devices.resolve_device(name)


def test_float32_works_everywhere_and_auto_is_native():
    for device in devices.available_devices():
        assert "float32" in device.precisions
        assert devices.resolve_precision("auto", device) == device.precisions[0]
        assert devices.resolve_precision("float32", device) == "float32"


def test_emulated_precision_is_refused():
    plain = devices.Device("cpu", "CPU, 2 cores", None, ("float32",))
    with pytest.raises(ConfigError, match="no native bfloat16"):
        devices.resolve_precision("bfloat16", plain)


def test_threads_can_be_lowered_not_raised(monkeypatch):
    monkeypatch.setenv("FLUORGEN_THREADS", "1")
    assert devices.cpu_threads() == 1
    monkeypatch.setenv("FLUORGEN_THREADS", "100000")
    assert devices.cpu_threads() < 100000
    monkeypatch.setenv("FLUORGEN_THREADS", "all")
    with pytest.raises(ConfigError, match="FLUORGEN_THREADS is 'all'"):
        devices.cpu_threads()


def test_reference_sized_networks_stay_within_the_budget(spec_of):
    from napari_fluorgen.networks import Architecture

    dense = Architecture(kind="dense-unet")
    spec = spec_of(
        overlap_px=64,
        divisor=16,
        architectures={
            "nuclei": Architecture(kind="nuclei", first_filters=32),
            "lipids": dense,
            "cytoplasm": dense,
        },
    )
    for precision in ("float32", "bfloat16"):
        device = devices.Device("cpu", "CPU", 64 * 10**9, (precision,))
        side = int(largest_area(spec, device, precision) ** 0.5)
        plan = plan_tiles((2048, 2048), side, 64, 16)
        assert memory_bytes(plan, spec, device, precision) < 3.4 * 10**9
        tight = devices.Device("cpu", "CPU", 2 * 10**9, (precision,))
        assert largest_area(spec, tight, precision) < side**2


def test_files_that_a_container_has_read_are_free_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "_CONTAINER", tmp_path)
    whole = devices.available_memory()
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("990000\n")
    (tmp_path / "memory.stat").write_text("anon 90000\nfile 900000\ninactive_file 880000\n")
    assert devices.available_memory() == 890_000
    (tmp_path / "memory.max").write_text("max\n")
    assert devices.available_memory() == pytest.approx(whole, rel=0.2)


def test_a_little_more_or_less_free_memory_changes_no_tile(spec_of):
    areas = {
        largest_area(spec_of(), devices.Device("cpu", "CPU", free, ("float32",)), "float32")
        for free in range(3_000_000_000, 5_000_000_000, 100_000_000)
    }
    assert len(areas) == 1


def test_openvino_neither_reports_home_nor_needs_torch():
    code = (
        "import sys; from napari_fluorgen.staining.backends.openvino_cpu import capabilities\n"
        "assert 'FP32' in capabilities()\n"
        "assert 'torch' not in sys.modules and 'openvino_telemetry' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_torch_is_not_loaded_where_no_gpu_can_be():
    code = (
        "import sys; from napari_fluorgen.staining import devices\n"
        "seen = devices._gpu_in_sight(); devices.available_devices()\n"
        "assert ('torch' in sys.modules) == seen"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_driver_is_seen(monkeypatch, tmp_path):
    monkeypatch.setattr(devices.sys, "platform", "linux")
    monkeypatch.delitem(devices.sys.modules, "torch", raising=False)
    monkeypatch.setattr(devices, "_GPU_SIGNS", (str(tmp_path / "none"),))
    assert not devices._gpu_in_sight()
    monkeypatch.setattr(devices, "_GPU_SIGNS", (str(tmp_path / "none"), str(tmp_path)))
    assert devices._gpu_in_sight()
