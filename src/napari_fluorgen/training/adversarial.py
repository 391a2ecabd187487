"""Adversarial training: a conditional PatchGAN judges stains beside their brightfield."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_fluorgen.networks import PatchDiscriminator
from napari_fluorgen.training import losses
from napari_fluorgen.training.course import Phase, StainConfig
from napari_fluorgen.training.modules import Batch, Parts, StainModule


class ImagePool:
    """Earlier predictions, of which the discriminator is shown some in place of new ones.

    Once it is full, every second new image, by chance, stays in the pool in exchange for one of
    the old ones, which is shown instead.

    Parameters
    ----------
    size : int
        Images that it holds; 0 shows the new ones always.

    References
    ----------
    .. [1] Shrivastava et al., "Learning from simulated and unsupervised images through
       adversarial training", CVPR 2017, section 2.3.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def exchange(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Take new images in and return as many to show.

        Parameters
        ----------
        images : Tensor, shape (B, C, Y, X)
            New ones, without gradient.
        rng : numpy.random.Generator
            Decides which.
        """
        shown = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image.clone())  # else it would hold on to its whole batch
                shown.append(image)
            elif self.size and rng.random() < 0.5:
                place = int(rng.integers(self.size))
                shown.append(self.images[place].to(image.device))
                self.images[place] = image.clone()
            else:
                shown.append(image)
        return torch.stack(shown)


class AdversarialModule(StainModule):
    """A network that learns its stain with a discriminator, in phases of kind ``adversarial``.

    The discriminator sees brightfield and stain and learns by raLS alone; the generator's loss
    is equation 9 of the report. Parameters are those of `StainModule`.
    """

    def __init__(
        self, stain: str, settings: StainConfig, lengths: Sequence[int], **options: Any
    ) -> None:
        super().__init__(stain, settings, lengths, **options)
        wanted = settings.discriminator
        self.discriminator = PatchDiscriminator(
            settings.architecture.in_channels + 1, wanted.ndf, wanted.layers
        )
        self.pool = ImagePool(0)

    def learn(self, phase: Phase, batch: Batch) -> Parts:
        """Update discriminator and generator by a batch; return the weighted parts."""
        if phase.kind == "pretrain":
            return super().learn(phase, batch)
        generator, discriminator = self.all_optimizers()
        planes, truth, _ = batch
        stain, parts = self.parts(phase.loss, batch)
        real, fake = torch.cat((planes, truth), dim=1), torch.cat((planes, stain), dim=1)

        self.pool.size = phase.pool
        shown = self.pool.exchange(fake.detach(), np.random.default_rng(self.derived_seed()))
        judged = losses.relativistic_least_squares(
            self.discriminator(real), self.discriminator(shown)
        )
        self.optimise(discriminator, {"discriminator": judged})

        self.discriminator.requires_grad_(False)
        with torch.no_grad():
            real_scores = self.discriminator(real)
        parts["adversarial"] = phase.loss.alpha_adversarial * losses.relativistic_least_squares(
            self.discriminator(fake), real_scores
        )
        self.optimise(generator, parts)
        self.discriminator.requires_grad_(True)
        self.log("discriminator", judged.detach())
        return {name: part.detach() for name, part in parts.items()}

    def configure_optimizers(self) -> Any:
        """One optimiser for the generator, one for the discriminator."""
        return [self.adam(self.network), self.adam(self.discriminator)]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the pool as well."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["pool"] = [image.cpu() for image in self.pool.images]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the pool as well."""
        super().on_load_checkpoint(checkpoint)
        self.pool.images = list(checkpoint["pool"])


def build_module(
    stain: str, settings: StainConfig, lengths: Sequence[int], **options: Any
) -> StainModule:
    """Return the untrained module of a stain, with a discriminator where a phase needs it."""
    kind = AdversarialModule if settings.adversarial else StainModule
    return kind(stain, settings, lengths, **options)
