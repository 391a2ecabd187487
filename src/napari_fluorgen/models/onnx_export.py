"""All networks of a model in one ONNX file, for BioImage.IO and other programs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_fluorgen.networks.combined import CombinedNetwork

OPSET = 17


def export_onnx(network: CombinedNetwork, path: Path, *, planes: int, size: int = 64) -> None:
    """Write `network` with dynamic batch, rows and columns.

    Parameters
    ----------
    network : CombinedNetwork
        In eval mode, on the CPU, float32.
    path : Path
        File to write. Its input is ``brightfield`` (b, planes, y, x), its outputs are named
        as ``network.output_names``.
    planes, size : int
        Channels, rows and columns of the example that is traced.
    """
    import torch

    names = ("brightfield", *network.output_names)
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter that needs nothing but torch; its successor needs onnxscript as well.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, planes, size, size),),
            str(path),
            input_names=["brightfield"],
            output_names=list(network.output_names),
            dynamic_axes={name: {0: "b", 2: "y", 3: "x"} for name in names},
            opset_version=OPSET,
            dynamo=False,
        )
