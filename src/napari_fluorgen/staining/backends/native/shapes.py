"""The planes that a network needs in memory, from its description alone."""

from __future__ import annotations

from collections.abc import Hashable

from napari_fluorgen.networks.architecture import Architecture

Shape = tuple[int, int, int]


def plane_shapes(architecture: Architecture, height: int, width: int) -> dict[Hashable, Shape]:
    """Channels, height and width of all planes for an image.

    Parameters
    ----------
    architecture : Architecture
        Of the network.
    height, width : int
        Of the image, multiples of ``architecture.divisor``.

    Returns
    -------
    dict
        By what they hold: a level of the network (its dense block's planes, with room for those
        that are added on the way up), or a name with a level.
    """
    a, nuclei = architecture, architecture.kind == "nuclei"
    grown, pixels = a.layers * a.growth_rate, a.fold**2
    sizes = [(height // a.fold >> level, width // a.fold >> level) for level in range(a.blocks + 1)]
    refined = a.refine_layers * a.refine_growth_rate if nuclei else 0
    shapes: dict[Hashable, Shape] = {
        "image": (a.in_channels * pixels, *sizes[0]),
        "head": ((a.classes if nuclei else a.out_channels) * pixels, *sizes[0]),
    }
    for level, size in enumerate(sizes):
        kept = a.first_filters + level * grown
        if level == a.blocks:
            shapes[level] = (kept + grown, *size)
        else:
            shapes[level] = (kept + 3 * grown + (refined if level == 0 else 0), *size)
        if level == 0:
            continue
        shapes["shuffled", level] = (4 * grown, *size)
        if nuclei:
            shapes["sum", level] = (grown, *size)
        if nuclei and level < a.blocks:
            shapes["segmentation", level] = (2 * grown, *size)
    return shapes
