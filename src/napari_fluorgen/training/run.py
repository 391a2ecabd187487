"""Training of the three networks of a package, one after another, with checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from napari_fluorgen.errors import Cancelled
from napari_fluorgen.stack import STAINS
from napari_fluorgen.training.config import TrainingConfig
from napari_fluorgen.training.data import Crops, Pair, load_pairs
from napari_fluorgen.training.modules import StainModule, build_module
from napari_fluorgen.training.start import starting_weights

# Devices and tips; the progress bar says what a user needs.
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


@dataclass(frozen=True)
class TrainProgress:
    """Where a training run stands.

    Attributes
    ----------
    stain : str
        Network that is trained.
    step, steps : int
        Steps done, and all of that network.
    loss : float
        Training loss of the step.
    validation : dict of str to float, or None
        Figures of the validation fields (``"pearson"``, ``"pixel_error"``, nuclei also
        ``"dice"``) in the report that follows a validation, None in those of steps.
    """

    stain: str
    step: int
    steps: int
    loss: float
    validation: dict[str, float] | None = None


Progress = Callable[[TrainProgress], None]
"""Called after each step, and once more after each validation."""

Watch = Callable[[str, torch.nn.Module, dict[str, float]], None]
"""Called after each validation with stain, the network as it is then, and its figures."""


class Fields(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Whole fields for validation, cut to a multiple of `divisor`."""

    def __init__(self, pairs: list[Pair], stain: str, divisor: int) -> None:
        self.pairs, self.stain, self.divisor = pairs, stain, divisor

    def __len__(self) -> int:
        """Return the number of fields."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return planes, stain and mask of a field."""
        pair = self.pairs[index]
        y, x = (n // self.divisor * self.divisor for n in pair.labels.shape)
        planes = torch.from_numpy(pair.planes[:, :y, :x])
        truth = torch.from_numpy(pair.stains[self.stain][None, :y, :x])
        mask = torch.from_numpy((pair.labels[:y, :x] > 0).astype(np.int64))
        return planes, truth, mask


class _Report(Callback):
    def __init__(
        self,
        stain: str,
        progress: Progress | None,
        should_stop: Callable[[], bool] | None,
        watch: Watch | None,
    ) -> None:
        self.stain, self.progress, self.should_stop = stain, progress, should_stop
        self.watch = watch
        self.loss = float("nan")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.progress is not None:
            self.loss = float(outputs["loss"])
            steps = int(trainer.max_steps)
            self.progress(TrainProgress(self.stain, trainer.global_step, steps, self.loss))
        if self.should_stop is not None and self.should_stop():
            raise Cancelled(f"Training was stopped at step {trainer.global_step} of {self.stain}.")

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        figures = {
            name: float(value)
            for name, value in trainer.callback_metrics.items()
            if name in ("pearson", "dice", "pixel_error")
        }
        if self.watch is not None:
            self.watch(self.stain, pl_module.network, figures)
        if self.progress is not None:
            step, steps = trainer.global_step, int(trainer.max_steps)
            self.progress(TrainProgress(self.stain, step, steps, self.loss, figures))


def train_networks(
    config: TrainingConfig,
    folder: str | Path,
    *,
    resume: bool = False,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
    pairs: Mapping[str, list[Pair]] | None = None,
    stains: Sequence[str] = STAINS,
    watch: Watch | None = None,
) -> dict[str, torch.nn.Module]:
    """Train the networks of a configuration, one after another.

    Parameters
    ----------
    config : TrainingConfig
        What to do.
    folder : str or Path
        Takes checkpoints and logs, a subfolder a stain.
    resume : bool
        Whether to go on from the checkpoints in `folder`.
    progress : callable, optional
        Called with a `TrainProgress` after each step and after each validation.
    should_stop : callable, optional
        Asked after each step.
    pairs : mapping of str to list of Pair, optional
        ``"train"`` and ``"validation"`` fields in memory, instead of the folders of `config`.
    stains : sequence of str
        Which of the networks of `config` to train.
    watch : callable, optional
        Sees the network after each validation: to keep the best, or to show what it does.

    Returns
    -------
    dict of str to torch.nn.Module
        Trained networks in eval mode, by stain.

    Raises
    ------
    InputError
        If pairs are missing or do not fit.
    ConfigError
        If the weights of `config.init` do not fit.
    Cancelled
        If `should_stop` said so; checkpoints stay.
    """
    folder = Path(folder)
    chosen = [stain for stain in STAINS if stain in stains and stain in config.networks]
    start = starting_weights(config, chosen)
    pairs = _read_pairs(config) if pairs is None else pairs
    if not resume:  # else a later resume would take what an older run left for finished
        for stain in chosen:
            (folder / stain / "last.ckpt").unlink(missing_ok=True)
    networks = {}
    for stain in chosen:
        report = _Report(stain, progress, should_stop, watch)
        module = _train_one(config, stain, pairs, folder / stain, resume, report, start.get(stain))
        networks[stain] = module.network.eval().requires_grad_(False)
    return networks


def _read_pairs(config: TrainingConfig) -> dict[str, list[Pair]]:
    def load(path: Path) -> list[Pair]:
        planes = len(config.z_um)
        return load_pairs(path, config.input, config.outputs, config.pixel_size_um, planes)

    if config.data.calibration is not None:
        load(config.data.calibration)  # read at the end: say now what is wrong with it
    return {"train": load(config.data.train), "validation": load(config.data.validation)}


def _train_one(
    config: TrainingConfig,
    stain: str,
    pairs: Mapping[str, list[Pair]],
    folder: Path,
    resume: bool,
    report: _Report,
    start: dict[str, Tensor] | None,
) -> StainModule:
    settings = config.networks[stain]  # type: ignore[index]
    seed_everything(config.seed, verbose=False)
    module = build_module(stain, settings)
    if start is not None:
        module.network.load_state_dict(start)
    checkpoint = folder / "last.ckpt"
    crops = Crops(
        pairs["train"],
        stain,
        config.data.crop,
        centred=config.data.centred,
        seed=config.seed,
        augment=config.data.augment,
        planes=settings.architecture.in_channels,
    )
    every = min(config.validate_every, settings.steps or 1)
    trainer = Trainer(
        accelerator=config.device,
        devices=1,
        precision=config.precision,
        max_steps=settings.steps or 1,
        val_check_interval=every,
        gradient_clip_val=1.0,
        callbacks=[
            ModelCheckpoint(
                folder, save_last=True, every_n_train_steps=every, enable_version_counter=False
            ),
            report,
        ],
        logger=CSVLogger(folder, name="", version=""),
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    fields = Fields(pairs["validation"], stain, settings.architecture.divisor)
    trainer.fit(
        module,
        DataLoader(crops, batch_size=config.data.batch),
        DataLoader(fields),
        ckpt_path=checkpoint if resume and checkpoint.is_file() else None,
        weights_only=True,
    )
    return module
