"""A network run by kernels: what `napari_fluorgen.networks` describes, without torch.

The planes of a dense block lie side by side in memory, with room for what is added to them on the
way up again, so that nothing is ever concatenated.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_fluorgen.networks.architecture import Architecture
from napari_fluorgen.staining.backends.native.layers import (
    Convolution,
    Planes,
    Weights,
    Workers,
    Workspace,
    add,
    upsample,
)
from napari_fluorgen.staining.backends.native.shapes import plane_shapes
from napari_fluorgen.staining.backends.native.target import Target

Maps = list[NDArray[np.float32]]

_MIRRORED = ((1, 1), (1, -1), (-1, 1), (-1, -1))


class _Decoder(NamedTuple):
    """Transitions up and dense blocks, coarsest first."""

    ups: list[Convolution]
    blocks: list[list[Convolution]]


class NativeNetwork:
    """A `DenseUNet` or `NucleiNet` in eval mode.

    Parameters
    ----------
    architecture : Architecture
        Its description.
    weights : dict of str to ndarray
        Its state by name, float32.
    target : Target
        The processor.
    bfloat16 : bool
        Whether products are taken in bfloat16, but for the encoder and the transitions up of a
        nuclei network: with them its probabilities deviate by less than 0.005.

    Attributes
    ----------
    architecture : Architecture
        As given.

    Raises
    ------
    KeyError, ValueError
        Where weights are missing or do not fit the description.
    """

    def __init__(
        self, architecture: Architecture, weights: Weights, target: Target, *, bfloat16: bool
    ) -> None:
        self.architecture, self._target = architecture, target
        self._weights, self._bfloat16 = weights, bfloat16
        a, pixels = architecture, architecture.fold**2
        self._grown = grown = a.layers * a.growth_rate
        self._widths = widths = [a.first_filters + i * grown for i in range(a.blocks + 1)]
        self._stem = self._layer("encoder.stem", a.in_channels * pixels, widths[0], 3)
        self._down = [self._block(f"encoder.blocks.{i}", widths[i]) for i in range(a.blocks)]
        self._transitions = [
            self._layer(f"encoder.transitions.{i}.conv", width, width, 1, ending="pooled")
            for i, width in enumerate(widths[1:])
        ]
        self._bottleneck = self._block("encoder.bottleneck", widths[-1])
        self._refine: list[Convolution] = []
        self._last = widths[1] + 2 * grown
        if a.kind == "nuclei":
            self._stain = self._decoder("stain", widths[:0:-1])
            self._refine = self._block("refine", self._last, a.refine_layers, a.refine_growth_rate)
            self._last += a.refine_layers * a.refine_growth_rate
            self._head = self._layer("stain_head", self._last, pixels, 1)
            self._segmentation = self._decoder("segmentation", [0] * a.blocks)
            logits = a.classes * pixels
            self._segmentation_head = self._layer("segmentation_head", 2 * grown, logits, 1)
            self._outline_head = (
                self._layer("outline_head", self._last, logits, 1) if a.outlined else None
            )
        else:
            self._stain = self._decoder("decoder", widths[:0:-1])
            self._head = self._layer("head", self._last, a.out_channels * pixels, 1)
        self._weights = {}  # the layers hold their own

    def __call__(
        self, image: NDArray[np.float32], workspace: Workspace, workers: Workers
    ) -> list[NDArray[np.float32]]:
        """Stain an image.

        Parameters
        ----------
        image : ndarray, shape (planes, Y, X), float32
            Scaled brightfield; Y and X are multiples of ``architecture.divisor``.
        workspace : Workspace
            Memory to work in.
        workers : Workers
            Threads to work with.

        Returns
        -------
        list of ndarray, each (Y, X), float32
            The stain and, of a nuclei network, the probability of nucleus; both in [0, 1].

        Raises
        ------
        ValueError
            When Y or X is no such multiple: the kernels would read past the rows of a scale.
        """
        if any(side % self.architecture.divisor for side in image.shape[1:]):
            raise ValueError(
                f"{image.shape[1:]} are no multiples of {self.architecture.divisor} pixels"
            )
        views = self.architecture.views
        total: Maps = []
        for down, right in _MIRRORED[:views]:  # as `mean_over_views`
            maps = self._view(image[:, ::down, ::right], workspace, workers)
            maps = [values[:, ::down, ::right] for values in maps]
            if not total:
                total = maps
                continue
            for values, more in zip(total, maps, strict=True):
                values += more
        for values in total:
            values /= views
        stain, *logits = total
        return [stain[0], *map(_probability, logits)]

    def _view(self, planes: NDArray[np.float32], workspace: Workspace, workers: Workers) -> Maps:
        """Stain of a view and, of a nuclei network, logits, each (channels, Y, X)."""
        a, widths = self.architecture, self._widths
        space = workspace.planes(plane_shapes(a, *planes.shape[1:]))
        x = space["image"]
        x.image[:] = _folded(planes, a.fold)
        self._stem(x, space[0][: widths[0]], workers)
        for level, transition in enumerate(self._transitions):
            _grow(self._down[level], space[level], widths[level], workers)
            width = widths[level + 1]
            transition(space[level][:width], space[level + 1][:width], workers)
        _grow(self._bottleneck, space[a.blocks], widths[-1], workers)
        stain = segmentation = space[a.blocks][widths[-1] :]
        for level in reversed(range(1, a.blocks + 1)):
            x = stain
            if self._refine:
                x = space["sum", level]
                add(stain, segmentation, x, workers)
            finer, width = space[level - 1], widths[level]
            stain = self._up(self._stain, level, x, finer, width, space, workers)
            if level > 1 and self._refine:
                finer = space["segmentation", level - 1]
                segmentation = self._up(
                    self._segmentation, level, segmentation, finer, 0, space, workers
                )
        features, end = space[0], widths[1] + 2 * self._grown
        _grow(self._refine, features, end, workers)
        image = self._read(self._head, features[: self._last], space, workers)
        np.tanh(image, out=image)
        image += 1
        image /= 2
        maps = [image]
        if self._refine:
            seen = features[: self._last]
            head = self._outline_head
            outline = None if head is None else self._read(head, seen, space, workers)
            # The stain is done, so that its features make room.
            self._up(self._segmentation, 1, segmentation, features, 0, space, workers)
            seen = features[: 2 * self._grown]
            logits = self._read(self._segmentation_head, seen, space, workers)
            if outline is not None:
                logits += outline
            maps.append(logits)
        return maps

    def _up(
        self,
        decoder: _Decoder,
        level: int,
        x: Planes,
        finer: Planes,
        width: int,
        space: dict[Any, Planes],
        workers: Workers,
    ) -> Planes:
        """Go up from a level, behind so many planes of the finer one; return what was added."""
        index, start = self.architecture.blocks - level, width + self._grown
        shuffled = space["shuffled", level]
        decoder.ups[index](x, shuffled, workers)
        upsample(self._target, shuffled, finer[width:start], workers)
        _grow(decoder.blocks[index], finer, start, workers)
        return finer[start : start + self._grown]

    def _read(
        self, head: Convolution, features: Planes, space: dict[Any, Planes], workers: Workers
    ) -> NDArray[np.float32]:
        """Apply a head and unfold its pixels, in memory of their own."""
        planes = space["head"][: head.outputs]
        head(features, planes, workers)
        f, (channels, height, width) = self.architecture.fold, planes.image.shape
        if f == 1:
            return planes.image.copy()
        blocks = planes.image.reshape(channels // f**2, f, f, height, width)
        return blocks.transpose(0, 3, 1, 4, 2).reshape(channels // f**2, height * f, width * f)

    def _decoder(self, name: str, skips: list[int]) -> _Decoder:
        grown = self._grown
        parts = list(enumerate(skips))
        return _Decoder(
            [self._layer(f"{name}.transitions.{i}.conv", grown, 4 * grown, 3) for i, _ in parts],
            [self._block(f"{name}.blocks.{i}", skip + grown) for i, skip in parts],
        )

    def _block(self, name: str, width: int, layers: int = 0, growth: int = 0) -> list[Convolution]:
        layers, growth = layers or self.architecture.layers, growth or self.architecture.growth_rate
        return [
            self._layer(f"{name}.layers.{i}.conv", width + i * growth, growth, 3)
            for i in range(layers)
        ]

    def _layer(self, name: str, channels: int, outputs: int, taps: int, **more: Any) -> Convolution:
        """Read a convolution and what belongs to it."""
        found = self._weights[f"{name}.weight"].shape
        if found != (outputs, channels, taps, taps):
            raise ValueError(f"{name} has the shape {found}")
        norm = name.removesuffix("conv") + "norm"
        has_norm = name.endswith("conv") and f"{norm}.weight" in self._weights
        rectified = name.endswith("conv") and not has_norm  # a transition up
        # What is rounded early is wrong all the way, and a probability is told to the pixel.
        exact = self.architecture.kind == "nuclei" and (name.startswith("encoder") or rectified)
        return Convolution(
            self._target,
            self._weights,
            name,
            norm if has_norm else "",
            rectified=rectified,
            bfloat16=self._bfloat16 and not exact,
            **more,
        )


def _grow(layers: list[Convolution], planes: Planes, width: int, workers: Workers) -> None:
    """Let each layer of a dense block add its features behind those it sees."""
    for layer in layers:
        layer(planes[:width], planes[width : width + layer.outputs], workers)
        width += layer.outputs


def _folded(image: NDArray[np.float32], fold: int) -> NDArray[np.float32]:
    """Blocks of pixels as channels."""
    planes, height, width = image.shape
    blocks = image.reshape(planes, height // fold, fold, width // fold, fold)
    return blocks.transpose(0, 2, 4, 1, 3).reshape(-1, height // fold, width // fold)


def _probability(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax of class 1; the logits are lost."""
    logits -= logits.max(axis=0)
    np.exp(logits, out=logits)
    share: NDArray[np.float32] = logits[1] / logits.sum(axis=0)
    return share
