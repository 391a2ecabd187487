"""All networks of a model in one file that other programs run."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_fluorgen.networks.combined import CombinedNetwork

OPSET = 17
ONNX_NAME = "networks.onnx"
"""File of all networks of a package."""
_log = logging.getLogger(__name__)


def export_weights(
    network: CombinedNetwork, folder: Path, *, planes: int, divisor: int
) -> dict[str, Any]:
    """Write the weights that BioImage.IO tools run: ONNX, or TorchScript where onnx is absent.

    A training node may lack onnx, and hours of training must not be lost for that.

    Parameters
    ----------
    network : CombinedNetwork
        In eval mode, on the CPU, float32.
    folder : Path
        Gets ``networks.onnx`` or ``networks.pt``.
    planes : int
        Channels of the input.
    divisor : int
        Number that its rows and columns are multiples of.

    Returns
    -------
    dict
        Entry for ``weights`` in rdf.yaml, without the digest.
    """
    import torch

    try:
        import_module("onnx")
    except ImportError:
        _log.warning("The package onnx is not installed: the networks are stored as TorchScript.")
    else:
        export_onnx(network, folder / ONNX_NAME, planes=planes, divisor=divisor)
        return {"onnx": {"source": ONNX_NAME, "opset_version": OPSET}}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, _example(planes, divisor), check_trace=False)
        torch.jit.save(traced, str(folder / "networks.pt"))
    version = torch.__version__.partition("+")[0]
    return {"torchscript": {"source": "networks.pt", "pytorch_version": version}}


def export_onnx(network: CombinedNetwork, path: Path, *, planes: int, divisor: int) -> None:
    """Write `network` as ONNX with dynamic batch, rows and columns.

    Parameters
    ----------
    network : CombinedNetwork
        In eval mode, on the CPU, float32.
    path : Path
        File to write. Its input is ``brightfield`` (b, planes, y, x), its outputs are named
        as ``network.output_names``.
    planes : int
        Channels of the input.
    divisor : int
        Number that its rows and columns are multiples of.
    """
    import torch

    names = ("brightfield", *network.output_names)
    with warnings.catch_warnings(), torch.no_grad():
        # The older exporter: its successor needs onnxscript as well.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            _example(planes, divisor),
            str(path),
            input_names=["brightfield"],
            output_names=list(network.output_names),
            dynamic_axes={name: {0: "b", 2: "y", 3: "x"} for name in names},
            opset_version=OPSET,
            dynamo=False,
        )


def halve_weights(path: Path) -> None:
    """Store the 4D weights of an ONNX file in half precision where that loses nothing.

    Each is cast to float32 where it is used; runtimes do that once, when they load the file.
    """
    import numpy as np
    import onnx
    from onnx import numpy_helper

    model = onnx.load(path)
    casts = []
    for tensor in model.graph.initializer:
        weight = numpy_helper.to_array(tensor)
        half = weight.astype(np.float16) if weight.ndim == 4 else weight
        if weight.dtype != np.float32 or weight.ndim != 4 or not np.array_equal(half, weight):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(
            onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _example(planes: int, divisor: int) -> tuple[Any]:
    import torch

    return (torch.zeros(1, planes, 2 * divisor, 2 * divisor),)
