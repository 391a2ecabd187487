"""Checkpoints of the published training code: read without running what is pickled in them."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from napari_fluorgen.errors import ModelError, first_problem
from napari_fluorgen.networks.architecture import Architecture, build_network

if TYPE_CHECKING:
    from torch import Tensor, nn

# Published names to ours, shared by both kinds of network.
_RENAMES = [
    (r"^conv_init\.", "encoder.stem."),
    (r"^layers_down\.", "encoder.blocks."),
    (r"^transitions_down\.", "encoder.transitions."),
    (r"^bottleneck\.", "encoder.bottleneck."),
    (r"\.batchnorm\.", ".norm."),
    (r"\.upsampling_layer\.0\.", ".conv."),
]
_DENSE_UNET = [
    (r"^layers_up\.", "decoder.blocks."),
    (r"^transitions_up\.", "decoder.transitions."),
    (r"^final_conv\.", "head."),
]
_NUCLEI = [
    (r"^layers_up\.", "segmentation.blocks."),
    (r"^transitions_up\.", "segmentation.transitions."),
    (r"^final_conv\.", "segmentation_head."),
    (r"^layers_up2\.", "stain.blocks."),
    (r"^transitions_up2\.", "stain.transitions."),
    (r"^final_conv2\.0\.", "refine."),
    (r"^final_conv2\.1\.", "stain_head."),
    (r"^lwm_layers\.", "side_heads."),
]
_BLOCK = re.compile(r"^layers_down\.(\d+)\.layers\.(\d+)\.conv\.weight$")


def read_reference_checkpoint(path: str | Path) -> nn.Module:
    """Read a checkpoint of the published training code.

    Parameters
    ----------
    path : str or Path
        A ``.pth`` file. Only tensors and plain values are unpickled; code in it is refused.

    Returns
    -------
    torch.nn.Module
        `DenseUNet` or `NucleiNet` in eval mode on the CPU, float32; its hyper-parameters were
        inferred from names and shapes.

    Raises
    ------
    ModelError
        The file is missing, damaged, holds code, or is no checkpoint of these networks.
    """
    return read_with_architecture(path)[0]


def read_with_architecture(path: str | Path) -> tuple[nn.Module, Architecture]:
    """Read a checkpoint as `read_reference_checkpoint` does, and say what it holds."""
    import torch

    path = Path(path)
    state = {name.removeprefix("module."): value for name, value in _read_state(path).items()}
    architecture = infer_architecture(state, path)
    renames = _RENAMES + (_NUCLEI if architecture.kind == "nuclei" else _DENSE_UNET)
    with torch.device("meta"):  # shapes only: the values come from the file
        network = build_network(architecture)
    expected = network.state_dict()
    renamed = {_rename(name, renames): value for name, value in state.items()}
    problem = _first_difference(expected, renamed)
    if problem:
        raise ModelError(
            f"{path} does not fit the {architecture.kind} network that its names suggest: "
            f"{problem}; use an unchanged checkpoint of the published training code."
        )
    weights = {name: renamed[name].to(expected[name].dtype).contiguous() for name in expected}
    network.load_state_dict(weights, assign=True)
    return network.eval().requires_grad_(False), architecture


def infer_architecture(state: Mapping[str, Tensor], path: Path) -> Architecture:
    """Infer the hyper-parameters from tensor names (without ``module.``) and shapes.

    Parameters
    ----------
    state : mapping of str to Tensor
        Published names.
    path : Path
        For the message of an error.

    Returns
    -------
    Architecture
        With the default dropout, which leaves no trace in a checkpoint.

    Raises
    ------
    ModelError
        The names are not those of the published networks.
    """
    layers = [match for name in state if (match := _BLOCK.match(name))]
    needed = ["conv_init.weight", "final_conv.weight", "layers_down.0.layers.0.conv.weight"]
    nuclei = any(name.startswith(("layers_up2.", "final_conv2.")) for name in state)
    if nuclei:
        needed.append("final_conv2.0.layers.0.conv.weight")
    missing = [name for name in needed if name not in state or state[name].ndim != 4]
    if missing:
        raise ModelError(
            f"{path} holds {len(state)} tensors but no 4-dimensional {missing[0]!r}, so it is no "
            "checkpoint of the published networks; use a file that their training code wrote."
        )
    first, head = state["conv_init.weight"], state["final_conv.weight"]
    common = {
        "in_channels": first.shape[1],
        "first_filters": first.shape[0],
        # Counted, not the largest number: a damaged name must not ask for a giant network.
        "blocks": len({match[1] for match in layers}),
        "layers": len({match[2] for match in layers}),
        "growth_rate": state["layers_down.0.layers.0.conv.weight"].shape[0],
    }
    kind = {"kind": "dense-unet", "out_channels": head.shape[0]}
    if nuclei:
        refine = re.compile(r"^final_conv2\.0\.layers\.\d+\.conv\.weight$")
        kind = {
            "kind": "nuclei",
            "classes": head.shape[0],
            "refine_layers": sum(1 for name in state if refine.match(name)),
            "refine_growth_rate": state["final_conv2.0.layers.0.conv.weight"].shape[0],
        }
    try:
        return Architecture.model_validate({**common, **kind})
    except ValidationError as error:
        where, _, said = first_problem(error)
        raise ModelError(
            f"{path} describes an impossible network ({where}: {said}); "
            "use an unchanged checkpoint of the published training code."
        ) from error


def _read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by their published names."""
    import torch

    if not path.is_file():
        raise ModelError(f"{path} does not exist or is a folder; give a checkpoint file (.pth).")
    if path.stat().st_size == 0:
        raise ModelError(f"{path} is empty; give a checkpoint file (.pth) of the training code.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on unusual pickles: they are refused or read
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for damaged files
        raise ModelError(
            f"{path} cannot be read as a checkpoint: it is damaged or holds more than tensors and "
            "plain values; use an unchanged .pth file of the published training code."
        ) from error
    state = content.get("model_state_dict", content) if isinstance(content, dict) else None
    if (
        not isinstance(state, dict)
        or not state
        or not all(
            isinstance(name, str) and isinstance(value, torch.Tensor)
            for name, value in state.items()
        )
    ):
        raise ModelError(
            f"{path} holds no 'model_state_dict' of named tensors; "
            "use a .pth file of the published training code."
        )
    for name, value in state.items():
        if problem := _odd_kind(value):
            raise ModelError(
                f"{path} holds {problem} tensor {name!r} where plain numbers were expected; "
                "use an unchanged .pth file of the published training code."
            )
    return state


def _odd_kind(tensor: Tensor) -> str:
    """Say what is unusual about a tensor that cannot be a weight; empty where nothing is."""
    import torch

    if tensor.is_meta:
        return "the empty (meta)"
    if tensor.layout is not torch.strided:
        return "the sparse"
    if tensor.is_quantized:
        return "the quantised"
    return "the complex" if tensor.is_complex() else ""


def _rename(name: str, renames: list[tuple[str, str]]) -> str:
    for pattern, ours in renames:
        name = re.sub(pattern, ours, name)
    return name


def _first_difference(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """Describe the first name or shape that differs; empty where all fit."""
    for name, tensor in expected.items():
        if name not in found:
            return f"the tensor for {name!r} is missing"
        if found[name].shape != tensor.shape:
            shapes = f"{tuple(found[name].shape)} where {tuple(tensor.shape)} was expected"
            return f"the tensor for {name!r} has shape {shapes}"
    extra = [name for name in found if name not in expected]
    if extra:
        return f"the tensor {extra[0]!r} is unknown"
    # As the networks hold them: a number of double precision may be too large for that.
    damaged = [name for name, tensor in found.items()
               if not tensor.to(expected[name].dtype).isfinite().all()]  # fmt: skip
    return f"the tensor for {damaged[0]!r} holds values that are not finite" if damaged else ""
