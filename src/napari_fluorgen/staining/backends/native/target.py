"""The processor that kernels are compiled for, while the program runs, by LLVM."""

from __future__ import annotations

import importlib.util
import platform
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

from napari_fluorgen.errors import DeviceError

_lock = threading.Lock()
_engines: list[Any] = []


@dataclass(frozen=True)
class Target:
    """What of a processor shapes the kernels.

    Attributes
    ----------
    lanes : int
        Float32 numbers in a vector register.
    registers : int
        Vector registers.
    bfloat16 : bool
        Whether it multiplies pairs of bfloat16 (AVX-512 BF16).
    tiles : bool
        Whether it has AMX, which OpenVINO knows how to use.
    """

    lanes: int
    registers: int
    bfloat16: bool = False
    tiles: bool = False

    @property
    def vectors(self) -> int:
        """Vectors of columns whose sums, for four output channels, stay in registers."""
        return 4 if self.registers == 32 else 2


@cache
def host_target() -> Target | None:
    """The processor of this machine; None where LLVM or vector instructions are missing."""
    if importlib.util.find_spec("llvmlite") is None:
        return None
    found = {name.removeprefix("+") for name in _features().split(",") if name.startswith("+")}
    if {"avx512f", "avx512bw", "avx512vl"} <= found:
        return Target(16, 32, "avx512bf16" in found, "amx-bf16" in found)
    if {"avx2", "fma"} <= found:
        return Target(8, 16)
    if platform.machine().lower() in ("arm64", "aarch64"):
        return Target(4, 32)
    return None


def compile_function(text: str, name: str) -> int:
    """Compile a module for this machine.

    Parameters
    ----------
    text : str
        The module in LLVM's intermediate language.
    name : str
        Of its function.

    Returns
    -------
    int
        Address of the function, which stays.

    Raises
    ------
    DeviceError
        Where LLVM refuses.
    """
    import llvmlite.binding as llvm

    with _lock:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        llvm.initialize_native_asmparser()
        try:
            machine = llvm.Target.from_default_triple().create_target_machine(
                cpu=llvm.get_host_cpu_name(),
                # Halves of vectors, which LLVM prefers on some processors, leave them idle.
                features=_features() + ",-prefer-256-bit",
                opt=3,
                jit=True,
            )
            module = llvm.parse_assembly(text)
            module.verify()
            options = llvm.create_pipeline_tuning_options(speed_level=2)
            options.loop_vectorization = options.slp_vectorization = False
            options.loop_unrolling = False
            builder = llvm.create_pass_builder(machine, options)
            builder.getModulePassManager().run(module, builder)
            engine = llvm.create_mcjit_compiler(module, machine)
            engine.finalize_object()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            raise DeviceError(
                f"LLVM could not compile the CPU's kernels ({reason}); set the environment "
                "variable FLUORGEN_BACKEND to openvino."
            ) from error
        _engines.append(engine)  # the code lives as long as its engine
        return int(engine.get_function_address(name))


@cache
def _features() -> str:
    """What LLVM knows of this processor, as it names it."""
    import llvmlite.binding as llvm

    try:
        return str(llvm.get_host_cpu_features().flatten())
    except RuntimeError:  # it cannot tell on this platform
        return ""
