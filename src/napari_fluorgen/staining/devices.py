"""What the networks can run on, and in which precision."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from napari_fluorgen.errors import ConfigError, DeviceError

PRECISIONS = ("float32", "bfloat16", "float16")
_CONTAINER = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Device:
    """A processor that networks can run on.

    Attributes
    ----------
    name : str
        ``"cpu"``, ``"cuda"`` or ``"mps"``.
    label : str
        For people, for example ``"CPU, 8 cores"``.
    memory_bytes : int or None
        Memory that is free now; None where it cannot be told.
    precisions : tuple of str
        What it computes natively, the default first.
    """

    name: str
    label: str
    memory_bytes: int | None
    precisions: tuple[str, ...]

    def __str__(self) -> str:
        return self.label


def available_devices() -> tuple[Device, ...]:
    """List the devices of this machine, fastest first; the CPU is always last."""
    return tuple(device for device in (_cuda(), _mps(), _cpu()) if device is not None)


def resolve_device(name: str = "auto") -> Device:
    """Find a device by name.

    Parameters
    ----------
    name : str
        ``"auto"`` for the fastest, or ``"cpu"``, ``"cuda"``, ``"mps"``.

    Raises
    ------
    ConfigError
        Where the name is unknown.
    DeviceError
        Where this machine has no such device.
    """
    if name == "cpu":
        return _cpu()
    if name not in ("auto", "cuda", "mps"):
        raise ConfigError(f"Device '{name}' is unknown; choose auto, cpu, cuda or mps.")
    devices = available_devices()
    if name == "auto":
        return devices[0]
    for device in devices:
        if device.name == name:
            return device
    found = ", ".join(device.name for device in devices)
    raise DeviceError(f"Device '{name}' was not found on this machine, only {found}; use 'auto'.")


def resolve_precision(precision: str, device: Device) -> str:
    """Turn ``"auto"`` into what suits a device.

    Raises
    ------
    ConfigError
        Where the precision is unknown, or slower than float32 because the device emulates it.
    """
    if precision == "auto":
        return device.precisions[0]
    if precision not in PRECISIONS:
        raise ConfigError(f"Precision '{precision}' is unknown; choose auto, float32 or bfloat16.")
    if precision not in device.precisions:
        raise ConfigError(
            f"{device.label} has no native {precision}; choose precision 'float32' or 'auto'."
        )
    return precision


def cpu_threads() -> int:
    """Cores that this process may use; ``FLUORGEN_THREADS`` lowers the number."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    wanted = os.environ.get("FLUORGEN_THREADS", "")
    if not wanted:
        return cores or 1
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ConfigError(f"FLUORGEN_THREADS is '{wanted}'; expected a number of threads.")
    return min(int(wanted), cores or 1)


def available_memory() -> int | None:
    """Bytes of main memory that are free now, within the limit of a container."""
    found = []
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    elif hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    try:
        limit = (_CONTAINER / "memory.max").read_text().strip()
        used = int((_CONTAINER / "memory.current").read_text())
        if limit != "max":
            # Files that were read count as used until something else needs the memory.
            held = dict(
                line.split() for line in (_CONTAINER / "memory.stat").read_text().splitlines()
            )
            found.append(max(0, int(limit) - used + int(held.get("inactive_file", 0))))
    except (OSError, ValueError):
        pass
    return min(found) if found else None


@cache
def has_native_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware (AVX-512 BF16 or AMX)."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and platform.machine() in ("x86_64", "AMD64"):
        flags = next((x for x in cpuinfo.read_text().splitlines() if x.startswith("flags")), "")
        return bool({"avx512_bf16", "amx_bf16"} & set(flags.split()))
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    from napari_fluorgen.staining.backends.openvino_cpu import capabilities

    return "BF16" in capabilities()


def _cpu() -> Device:
    threads = cpu_threads()
    precisions = ("bfloat16", "float32") if has_native_bfloat16() else ("float32",)
    label = f"CPU, {threads} core{'s' if threads > 1 else ''}"
    return Device("cpu", label, available_memory(), precisions)


# What drivers of NVIDIA (also on boards and below Windows) and AMD leave on Linux.
_GPU_SIGNS = ("/dev/nvidiactl", "/proc/driver/nvidia", "/dev/nvmap", "/dev/dxg", "/dev/kfd")


def _gpu_in_sight() -> bool:
    """Whether torch could find a GPU: importing it for nothing takes a second of the first run."""
    if "torch" in sys.modules or sys.platform != "linux":
        return True
    return any(Path(sign).exists() for sign in _GPU_SIGNS)


def _torch() -> Any:
    if not _gpu_in_sight():
        return None
    try:
        import torch
    except (ImportError, OSError):
        return None
    return torch


def _cuda() -> Device | None:
    torch = _torch()
    if torch is None or not torch.cuda.is_available():
        return None
    try:
        free, _ = torch.cuda.mem_get_info()
        label = torch.cuda.get_device_name()
    except RuntimeError:
        return None
    native = torch.cuda.get_device_capability() >= (8, 0)
    precisions = ("float16", "bfloat16", "float32") if native else ("float16", "float32")
    return Device("cuda", f"GPU, {label}", int(free), precisions)


def _mps() -> Device | None:
    torch = _torch()
    if torch is None or not torch.backends.mps.is_available():
        return None
    limit = int(torch.mps.recommended_max_memory())
    return Device("mps", "Apple GPU", limit, ("float32",))
