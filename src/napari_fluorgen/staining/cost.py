"""Arithmetic and memory of the networks, counted from their descriptions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from napari_fluorgen.staining.backends.native.shapes import plane_shapes

if TYPE_CHECKING:
    from napari_fluorgen.models import ModelSpec
    from napari_fluorgen.networks.architecture import Architecture

# Measured with OpenVINO: the outputs so far, and what of two views is kept at one time.
_KEPT_WITH_VIEWS = 1.5


def flops_per_pixel(architecture: Architecture) -> float:
    """Floating-point operations of the convolutions for one pixel at full resolution.

    Parameters
    ----------
    architecture : Architecture
        Description of a network.

    Returns
    -------
    float
        Two for each multiplication with its addition; side heads, used in training only, and
        everything that is not a convolution are left out.
    """
    a = architecture
    # Folded networks work on pixels that are `fold` times as wide, with more channels at both ends.
    pixels = a.fold**2
    total, width = 2.0 * 9 * a.in_channels * pixels * a.first_filters, a.first_filters
    skips = []
    for level in range(a.blocks):
        area = 0.25**level
        total += area * _dense_block(width, a.layers, a.growth_rate)
        width += a.layers * a.growth_rate
        skips.append(width)
        total += area * 2 * width * width
    total += 0.25**a.blocks * _dense_block(width, a.layers, a.growth_rate)
    if a.kind == "nuclei":
        plain, plain_width = _decoder(a, [0] * a.blocks)
        stain, stain_width = _decoder(a, skips)
        refined = stain_width + a.refine_layers * a.refine_growth_rate
        refine = _dense_block(stain_width, a.refine_layers, a.refine_growth_rate)
        read = plain_width + (refined if a.outlined else 0)
        heads = 2 * pixels * (read * a.classes + refined)
        return a.views * (total + plain + stain + refine + heads) / pixels
    decoder, width = _decoder(a, skips)
    return a.views * (total + decoder + 2 * width * a.out_channels * pixels) / pixels


def model_flops_per_pixel(spec: ModelSpec) -> float:
    """Operations of all networks of a model for one pixel."""
    return sum(flops_per_pixel(architecture) for architecture in spec.architectures.values())


def features_per_pixel(spec: ModelSpec) -> float:
    """Numbers that the widest network of a model keeps for one pixel."""
    return max(
        _features(a) * (_KEPT_WITH_VIEWS if a.views > 1 else 1) for a in spec.architectures.values()
    )


def native_bytes_per_pixel(spec: ModelSpec) -> float:
    """Working memory of the native kernels for one pixel: the planes of the widest network."""
    side = 1024 * math.lcm(*(a.fold for a in spec.architectures.values()))
    planes = (plane_shapes(a, side, side).values() for a in spec.architectures.values())
    return max(4 * sum(map(math.prod, shapes)) / side**2 for shapes in planes)


def moved_per_pixel(spec: ModelSpec) -> float:
    """Numbers that the widest network of a model writes for one pixel in all its views."""
    return max(a.views * _features(a) for a in spec.architectures.values())


def layers_of_views(spec: ModelSpec) -> float:
    """Layers that are compiled for all views, as a multiple of those for one view."""
    layers = [
        (a.views, a.layers * (1 + a.blocks * (3 if a.kind == "nuclei" else 2)))
        for a in spec.architectures.values()
    ]
    return sum(views * count for views, count in layers) / sum(count for _, count in layers)


def _features(a: Architecture) -> float:
    """The skips of all levels, and the last block with its input and the transition before it."""
    grown = a.layers * a.growth_rate
    skips = sum((a.first_filters + (level + 1) * grown) * 0.25**level for level in range(a.blocks))
    last = a.first_filters + grown + 3 * grown
    return (skips + last) / a.fold**2


def _dense_block(width: int, layers: int, growth: int) -> float:
    return sum(2.0 * 9 * (width + layer * growth) * growth for layer in range(layers))


def _decoder(a: Architecture, skips: list[int]) -> tuple[float, int]:
    total, width = 0.0, a.layers * a.growth_rate
    for level in reversed(range(a.blocks)):
        total += 0.25 ** (level + 1) * 2 * 9 * width * 4 * width
        block = width + skips[level]
        total += 0.25**level * _dense_block(block, a.layers, a.growth_rate)
        width = a.layers * a.growth_rate
    return total, block + width
