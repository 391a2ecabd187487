"""Dense blocks without their copies: convolutions are moved in front of concatenations.

Each layer of a dense block sees the block's input and all features added before it. As the
networks are written, every layer copies all of them side by side and then normalises the copy::

    concat(x, a, b) -> batch norm -> ReLU -> convolution

A convolution of a concatenation is the sum of the convolutions of its pieces, and batch norm and
ReLU treat each channel alone, so the same numbers come from the sum of ::

    x            -> batch norm -> ReLU -> convolution
    concat(a, b) -> batch norm -> ReLU -> convolution

where the sum costs nothing (each convolution adds to the result of the one before) and the wide
pieces are never copied. Memory traffic and memory shrink with it; the deviation is one of
rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NARROW = 40
"""Channels up to which neighbouring pieces stay together: a convolution of few is inefficient."""
WORTHWHILE = 10_000_000
"""Numbers in a convolution's input from which it is split: compiling more of them takes time."""


@dataclass
class _Piece:
    """Neighbouring inputs of a concatenation and their place among its channels."""

    sources: list[Any]
    start: int
    width: int


def split_concatenations(network: Any, opset: Any) -> int:
    """Move convolutions in front of the concatenations that they see.

    Parameters
    ----------
    network : openvino.Model
        Of fixed shape; changed in place. Only sequences of concatenation along the channels,
        batch norm, ReLU and convolution change; any other graph stays as it is.
    opset : module
        An opset of OpenVINO.

    Returns
    -------
    int
        How many convolutions were split.
    """
    joined: dict[tuple[Any, ...], Any] = {}
    count = 0
    for convolution in network.get_ordered_ops():
        norm = _norm_before(convolution)
        if norm is None or math.prod(norm.get_output_shape(0)) < WORTHWHILE:
            continue
        pieces = _pieces(_leaves(norm.input_value(0)))
        weights = _constant(convolution.input_value(1))
        statistics = [_constant(norm.input_value(index)) for index in range(1, 5)]
        if len(pieces) < 2 or weights is None or any(value is None for value in statistics):
            continue
        gamma, beta, mean, variance = (np.asarray(value, np.float64) for value in statistics)
        scale = gamma / np.sqrt(variance + norm.get_attributes()["epsilon"])
        shift = beta - mean * scale
        total: Any = None
        for piece in pieces:
            channels = slice(piece.start, piece.start + piece.width)
            x = _joined(piece, joined, opset)
            x = opset.multiply(x, opset.constant(_per_channel(scale[channels])))
            x = opset.relu(opset.add(x, opset.constant(_per_channel(shift[channels]))))
            part = _like(convolution, x, weights[:, channels], opset)
            total = part if total is None else opset.add(total, part)
        convolution.output(0).replace(total.output(0))
        count += 1
    if count:
        network.validate_nodes_and_infer_types()
    return count


def _norm_before(convolution: Any) -> Any:
    """The batch norm whose rectified output a convolution sees, or None."""
    if convolution.get_type_name() != "Convolution":
        return None
    relu = convolution.input_value(0).get_node()
    if relu.get_type_name() != "Relu":
        return None
    norm = relu.input_value(0).get_node()
    return norm if norm.get_type_name() == "BatchNormInference" else None


def _leaves(output: Any) -> list[Any]:
    """What is concatenated along the channels, concatenations of concatenations included."""
    node = output.get_node()
    if node.get_type_name() != "Concat" or node.get_attributes()["axis"] not in (1, -3):
        return [output]
    return [leaf for value in node.input_values() for leaf in _leaves(value)]


def _pieces(leaves: list[Any]) -> list[_Piece]:
    """Put narrow neighbours together."""
    pieces: list[_Piece] = []
    start = 0
    for leaf in leaves:
        width = int(leaf.get_shape()[1])
        if pieces and pieces[-1].width + width <= NARROW:
            pieces[-1].sources.append(leaf)
            pieces[-1].width += width
        else:
            pieces.append(_Piece([leaf], start, width))
        start += width
    return pieces


def _joined(piece: _Piece, joined: dict[tuple[Any, ...], Any], opset: Any) -> Any:
    """The piece as one tensor; layers that see the same piece share it."""
    if len(piece.sources) == 1:
        return piece.sources[0]
    key = tuple((x.get_node().get_friendly_name(), x.get_index()) for x in piece.sources)
    if key not in joined:
        joined[key] = opset.concat(piece.sources, 1)
    return joined[key]


def _like(convolution: Any, x: Any, weights: NDArray[np.float32], opset: Any) -> Any:
    """A convolution with the attributes of another."""
    given = convolution.get_attributes()
    return opset.convolution(
        x,
        opset.constant(np.ascontiguousarray(weights, dtype=np.float32)),
        given["strides"],
        given["pads_begin"],
        given["pads_end"],
        given["dilations"],
        given["auto_pad"],
    )


def _per_channel(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return values.astype(np.float32)[None, :, None, None]


def _constant(output: Any) -> NDArray[Any] | None:
    """Value of a constant, which packages may store in half precision."""
    node = output.get_node()
    if node.get_type_name() == "Convert":
        return _constant(node.input_value(0))
    return np.array(node.data) if node.get_type_name() == "Constant" else None
