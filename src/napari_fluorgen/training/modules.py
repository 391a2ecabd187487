"""The Lightning module that teaches a network its stain, phase by phase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from torch import Tensor

from napari_fluorgen.errors import ConfigError
from napari_fluorgen.networks import NucleiOutput, build_network
from napari_fluorgen.training import losses
from napari_fluorgen.training.course import LossConfig, Phase, StainConfig
from napari_fluorgen.training.schedule import learning_rate, momentum

Batch = tuple[Tensor, Tensor, Tensor]
Parts = dict[str, Tensor]

_LARGEST_GRADIENT = 1.0


class StainModule(LightningModule):
    """A network that learns one stain, the nuclei network also its mask (report, section 4.1).

    Optimises by hand, and everything that chance or time decides in a step (dropout, learning
    rate) follows from the number of the step: a resumed run goes on as if it had never stopped.

    Parameters
    ----------
    stain : str
        For messages.
    settings : StainConfig
        Network and phases.
    lengths : sequence of int
        Steps of each phase.
    epoch : float
        Steps of an epoch.
    seed : int
        Of dropout.
    median : float
        Of the true stain over the validation fields, for the pixel error.

    Attributes
    ----------
    done, total : int
        Steps done, and all of them.
    figures : dict of str to float
        Of the last validation.
    ends : list of dict of str to Tensor
        Weights at the ends of the last phases, where `settings` asks for their mean.
    """

    def __init__(
        self,
        stain: str,
        settings: StainConfig,
        lengths: Sequence[int],
        *,
        epoch: float = 1.0,
        seed: int = 42,
        median: float = 1.0,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.stain, self.settings, self.epoch, self.seed = stain, settings, epoch, seed
        self.lengths, self.median = tuple(lengths), median
        self.total, self.done = sum(lengths), 0
        self.figures: dict[str, float] = {}
        self.ends: list[dict[str, Tensor]] = []
        self._seen: dict[str, list[float]] = {}
        network = build_network(settings.architecture)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def phase(self) -> tuple[Phase, int, int]:
        """Phase of the next step, the number of that step in it, and its length."""
        step = self.done
        for phase, length in zip(self.settings.course, self.lengths, strict=True):
            if step < length:
                return phase, step, length
            step -= length
        raise RuntimeError("the training is over")

    def training_step(self, batch: Batch, batch_index: int) -> dict[str, Tensor]:
        """Do one step and return its loss."""
        phase, step, steps = self.phase()
        torch.manual_seed(self.derived_seed())
        if step == 0:  # a phase is like a new run that starts from the weights of the last
            for optimizer in self.all_optimizers():
                optimizer.optimizer.state.clear()
        unit = self.epoch if phase.steps is None else 1.0
        rates = [
            learning_rate(phase.schedule, peak, step, steps, unit)
            for peak in (phase.learning_rate, phase.discriminator_learning_rate)
        ]
        for optimizer, rate in zip(self.all_optimizers(), rates, strict=False):
            for group in optimizer.optimizer.param_groups:
                group["lr"] = rate
                group["betas"] = momentum(phase.schedule, step, steps), 0.999
        parts = self.learn(phase, channels_last(batch))
        self.done += 1
        if step == steps - 1 and self.settings.averaged_phases > 1:
            weights = {name: value.clone() for name, value in self.network.state_dict().items()}
            self.ends = [*self.ends, weights][-self.settings.averaged_phases :]
        loss = sum(part.detach() for part in parts.values())
        assert isinstance(loss, Tensor)
        self.log_dict({"loss": loss, **parts, "learning_rate": rates[0]})
        return {"loss": loss}

    def learn(self, phase: Phase, batch: Batch) -> Parts:
        """Update the network by a batch; return the weighted parts of the loss."""
        _, parts = self.parts(phase.loss, batch)
        self.optimise(self.all_optimizers()[0], parts)
        return _detached(parts)

    def parts(self, weights: LossConfig, batch: Batch) -> tuple[Tensor, Parts]:
        """Predicted stain of a batch, and the weighted parts of its loss (6, 9)."""
        planes, truth, mask = batch
        kind = weights.reconstruction
        parts = {}
        if self.settings.architecture.kind == "nuclei":
            stain, logits, sides = self.network.forward_train(planes)
            focus = losses.misclassification_weights(logits, mask, weights.misclassified)
            parts["reconstruction"] = weights.alpha_reconstruction * (
                losses.reconstruction_loss(kind, stain, truth)
                + losses.reconstruction_loss(kind, stain, truth, focus)
            )
            parts["segmentation"] = weights.alpha_segmentation * losses.segmentation_loss(
                logits, mask, focus
            )
            parts["loss_weight_modules"] = weights.alpha_lwm * losses.loss_weight_modules(
                kind, sides, truth, focus
            )
        else:
            stain = self.network(planes)
            parts["reconstruction"] = weights.alpha_reconstruction * losses.reconstruction_loss(
                kind, stain, truth
            )
        parts["gradient"] = weights.alpha_gradient * losses.gradient_loss(stain, truth)
        return stain, parts

    def optimise(self, optimizer: Any, parts: Parts) -> None:
        """Take a step down the sum of the parts.

        Raises
        ------
        ConfigError
            If it is not finite.
        """
        loss = torch.stack(list(parts.values())).sum()
        if not torch.isfinite(loss):
            raise self._diverged("loss", loss)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Clip the gradients, which are unscaled by then."""
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, _LARGEST_GRADIENT)
        # Half precision skips steps with infinite gradients and lowers its scale by itself.
        if self.trainer.precision != "16-mixed" and not torch.isfinite(norm):
            raise self._diverged("gradient of the loss", norm)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Score a whole validation field."""
        planes, truth, mask = channels_last(batch)
        output = self.network(planes)
        stain = output[0] if isinstance(output, tuple) else output
        error = float((stain - truth).abs().mean())
        self._seen.setdefault("pixel_error", []).append(error / self.median)
        pearson = correlate(stain, truth)
        if pearson is not None:
            self._seen.setdefault("pearson", []).append(pearson)
        if isinstance(output, NucleiOutput):
            self._seen.setdefault("dice", []).append(dice(output.logits.argmax(1) == 1, mask == 1))

    def on_validation_epoch_end(self) -> None:
        """Average the figures over fields and log them."""
        self.figures = {name: float(np.mean(values)) for name, values in self._seen.items()}
        self._seen = {}
        self.log_dict(self.figures)

    def configure_optimizers(self) -> Any:
        """AdamW; without weight decay that is Adam."""
        return self.adam(self.network)

    def adam(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        """Optimiser of a network; each step sets its learning rate."""
        return torch.optim.AdamW(network.parameters(), weight_decay=self.settings.weight_decay)

    def all_optimizers(self) -> list[Any]:
        """That of the network first."""
        optimizers = self.optimizers()
        return optimizers if isinstance(optimizers, list) else [optimizers]

    def derived_seed(self) -> int:
        """Seed of this step on this device."""
        chance = np.random.SeedSequence((self.seed, self.done, self.global_rank))
        return int(chance.generate_state(1)[0])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store how far the training is."""
        checkpoint["done"], checkpoint["ends"] = self.done, self.ends

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from there."""
        self.done, self.ends = checkpoint["done"], checkpoint["ends"]

    def _diverged(self, what: str, value: Tensor) -> ConfigError:
        return ConfigError(
            f"The {what} of {self.stain} became {float(value)} at step {self.done + 1}: lower "
            f"networks.{self.stain}.learning_rate or use precision 32-true, and see that no image "
            "of the pairs has values that are not finite."
        )


def channels_last(batch: Batch) -> Batch:
    """The batch with its planes in the memory order in which convolutions are fast."""
    planes, truth, mask = batch
    return planes.contiguous(memory_format=torch.channels_last), truth, mask


def correlate(prediction: Tensor, truth: Tensor) -> float | None:
    """Pearson's r: None where the truth is constant, 0 where only the prediction is."""
    a, b = (image.double().flatten() - image.double().mean() for image in (prediction, truth))
    if not (truth != truth.flatten()[0]).any():
        return None
    scale = float(a.norm() * b.norm())
    return float(a @ b) / scale if scale else 0.0


def dice(predicted: Tensor, true: Tensor) -> float:
    """Dice overlap of two masks; 1 where both are empty."""
    size = int(predicted.sum() + true.sum())
    return 2 * int((predicted & true).sum()) / size if size else 1.0


def _detached(parts: Parts) -> Parts:
    return {name: part.detach() for name, part in parts.items()}
