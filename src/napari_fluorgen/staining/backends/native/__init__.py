"""The networks on the CPU by kernels of our own, compiled for the processor by LLVM."""

from napari_fluorgen.staining.backends.native.backend import (
    NativeBackend,
    sample_layer,
    suits,
    warm_models,
)

__all__ = ["NativeBackend", "sample_layer", "suits", "warm_models"]
