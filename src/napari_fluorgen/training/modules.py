"""Lightning modules: one that learns a stain, one that learns nuclei and their mask."""

from __future__ import annotations

from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor

from napari_fluorgen.networks import NucleiOutput, build_network
from napari_fluorgen.training import losses
from napari_fluorgen.training.config import StainConfig

Batch = tuple[Tensor, Tensor, Tensor]


class StainModule(LightningModule):
    """A dense U-Net that learns one stain.

    Parameters
    ----------
    config : StainConfig
        Network, loss weights and schedule.
    """

    def __init__(self, config: StainConfig) -> None:
        super().__init__()
        self.config = config
        network = build_network(config.architecture)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(self, batch: Batch) -> Tensor:
        """Return the training loss of a batch."""
        planes, truth, _ = batch
        prediction = self.network(planes)
        weights = self.config.course[0].loss
        return weights.alpha_reconstruction * losses.stain_loss(
            prediction, truth
        ) + weights.alpha_gradient * losses.gradient_loss(prediction, truth)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the loss and log it."""
        loss = self.loss(_channels_last(batch))
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the correlation of each whole validation field."""
        planes, truth, mask = _channels_last(batch)
        output = self.network(planes)
        stain = output[0] if isinstance(output, tuple) else output
        self.log("pearson", _pearson(stain, truth), prog_bar=True, batch_size=1)
        if isinstance(output, NucleiOutput):
            predicted = output.logits.argmax(1) == 1
            both = (predicted & (mask == 1)).sum()
            dice = 2 * both / (predicted.sum() + (mask == 1).sum()).clamp(min=1)
            self.log("dice", dice.float(), prog_bar=True, batch_size=1)

    def configure_optimizers(self) -> Any:
        """AdamW with a one-cycle schedule."""
        optimizer = torch.optim.AdamW(
            self.parameters(), self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.config.learning_rate, total_steps=self.config.steps, pct_start=0.15
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class NucleiModule(StainModule):
    """The nuclei network, taught the mask as privileged information (report, section 4.1)."""

    def loss(self, batch: Batch) -> Tensor:
        """Return the training loss of a batch, equation 6."""
        planes, truth, mask = batch
        stain, logits, side_outputs = self.network.forward_train(planes)
        weights = self.config.course[0].loss
        focus = losses.misclassification_weights(logits, mask, weights.misclassified)
        total = weights.alpha_reconstruction * (
            losses.stain_loss(stain, truth) + losses.stain_loss(stain, truth, focus)
        )
        total = total + weights.alpha_gradient * losses.gradient_loss(stain, truth)
        total = total + weights.alpha_segmentation * losses.segmentation_loss(logits, mask, focus)
        return total + weights.alpha_lwm * losses.loss_weight_modules(side_outputs, truth, focus)


def build_module(stain: str, config: StainConfig) -> StainModule:
    """Return the untrained module of a stain."""
    return NucleiModule(config) if stain == "nuclei" else StainModule(config)


def _channels_last(batch: Batch) -> Batch:
    planes, truth, mask = batch
    return planes.contiguous(memory_format=torch.channels_last), truth, mask


def _pearson(a: Tensor, b: Tensor) -> Tensor:
    return torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]
