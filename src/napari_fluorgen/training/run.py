"""Training of the networks of a package, one after another, with checkpoints."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from napari_fluorgen.errors import Cancelled, ConfigError, InputError
from napari_fluorgen.io.atomic import ensure_folder
from napari_fluorgen.stack import STAINS
from napari_fluorgen.training.adversarial import build_module
from napari_fluorgen.training.averaging import average_weights
from napari_fluorgen.training.checkpoints import (
    BEST,
    LAST,
    LOGS,
    Keeper,
    discard,
    load_weights,
    read_checkpoint,
    recipe_of,
)
from napari_fluorgen.training.config import TrainingConfig
from napari_fluorgen.training.data import Crops, Pair
from napari_fluorgen.training.loading import Fields, epochs_of, make_loaders, steps_per_epoch
from napari_fluorgen.training.modules import StainModule
from napari_fluorgen.training.reading import load_part
from napari_fluorgen.training.start import starting_weights

_log = logging.getLogger(__name__)

# Devices and tips; the progress bar says what a user needs.
logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
# How Lightning calls torch is for its programmers; a command or napari would show it to users.
warnings.filterwarnings("ignore", category=FutureWarning, module=r"lightning\.pytorch\.")


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


class _Report(Callback):
    def __init__(
        self,
        progress: Progress | None,
        should_stop: Callable[[], bool] | None,
        watch: Watch | None,
    ) -> None:
        self.progress, self.should_stop, self.watch = progress, should_stop, watch
        self.loss = float("nan")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_global_zero:
            self.loss = float(outputs["loss"])
            self._tell(pl_module, None)
        if self.should_stop is not None and self.should_stop():
            raise Cancelled(f"Training was stopped at step {pl_module.done} of {pl_module.stain}.")

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.is_global_zero:
            if self.watch is not None:
                self.watch(pl_module.stain, pl_module.network, dict(pl_module.figures))
            self._tell(pl_module, dict(pl_module.figures))

    def _tell(self, module: StainModule, figures: dict[str, float] | None) -> None:
        if self.progress is not None:
            self.progress(
                TrainProgress(module.stain, module.done, module.total, self.loss, figures)
            )


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
    on_note: Callable[[str], None] | None = None,
) -> dict[str, torch.nn.Module]:
    """Train the networks of a configuration, one after another.

    On one CPU the same configuration gives the same weights, bit for bit, also if the run was
    stopped or killed in between and resumed.

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
    on_note : callable, optional
        Gets each sentence on what was assumed or found in the pairs of folders; they are logged
        where it is not given.

    Returns
    -------
    dict of str to torch.nn.Module
        Trained networks in eval mode on the CPU, by stain. Where several processes share the
        work, those of Lightning's making end here and only the first returns.

    Raises
    ------
    InputError
        If pairs are missing or do not fit.
    ConfigError
        If the weights of `config.init` or a checkpoint do not fit, or the loss is not finite.
    OutputError
        If a checkpoint cannot be written.
    Cancelled
        If `should_stop` said so; checkpoints stay.
    """
    folder = Path(folder)
    chosen: list[str] = [stain for stain in STAINS if stain in stains and stain in config.networks]
    start = starting_weights(config, chosen)
    pairs = _read_pairs(config, on_note or _log.warning) if pairs is None else pairs
    if not resume:  # else a later resume would take what an older run left for finished
        for stain in chosen:
            discard(folder / stain)
    networks: dict[str, torch.nn.Module] = {}
    rank = 0
    for stain in chosen:
        seed_everything(config.seed, verbose=False)
        report = _Report(progress, should_stop, watch)
        module, rank = _train_one(config, stain, pairs, folder / stain, report, start.get(stain))
        networks[stain] = module.network.cpu().eval().requires_grad_(False)
    if rank > 0:
        raise SystemExit(0)
    return networks


def _read_pairs(config: TrainingConfig, on_note: Callable[[str], None]) -> dict[str, list[Pair]]:
    data = config.data
    pairs = {
        "train": load_part(config, "train", on_note),
        "validation": load_part(config, "validation", on_note),
    }
    for stain in config.networks:
        if not any(stain in pair.stains for pair in pairs["validation"]):
            raise InputError(
                f"{data.validation} has no true {stain} image, by which that network would be "
                "judged: add some or leave the network out."
            )
    if data.calibration is not None and "nuclei" not in config.networks:
        on_note(
            f"{data.calibration} is not used: confidence is calibrated on nuclei, of which this "
            "model has no network; train one as well or leave data.calibration out."
        )
    elif data.calibration is not None:  # used at the end: say now what is wrong with it
        held = load_part(config, "calibration", on_note)
        if not any(pair.labels.any() for pair in held):
            raise InputError(
                f"{data.calibration} has no nuclei, neither labels nor a nuclear stain, by which "
                "confidence is calibrated: add them or leave data.calibration out."
            )
    return pairs


def _train_one(
    config: TrainingConfig,
    stain: str,
    pairs: Mapping[str, list[Pair]],
    folder: Path,
    report: _Report,
    start: dict[str, Tensor] | None,
) -> tuple[StainModule, int]:
    """Train one network, from its checkpoint where there is one; also return the process's rank."""
    settings = config.networks[stain]  # type: ignore[index]
    planes, divisor = settings.architecture.in_channels, settings.architecture.divisor
    ensure_folder(folder)
    fields = Fields(pairs["validation"], stain, planes, divisor)
    epoch = steps_per_epoch(config, stain, pairs)
    lengths = [phase.count_steps(epoch) for phase in settings.course]
    module = build_module(
        stain, settings, lengths, epoch=epoch, seed=config.seed, median=fields.median()
    )
    if start is not None:
        module.network.load_state_dict(start)
    recipe = recipe_of(config, stain)
    checkpoint = read_checkpoint(folder / LAST, recipe)
    rank = 0
    if checkpoint is not None and checkpoint["fluorgen"]["over"]:
        module.load_state_dict(checkpoint["state_dict"])
        module.on_load_checkpoint(checkpoint)
    else:
        data = config.data_for(stain)
        crops = Crops(
            pairs["train"],
            stain,
            data.crop,
            centred=data.centred,
            seed=config.seed,
            augment=data.augment,
            planes=planes,
        )
        keeper = Keeper(folder, recipe, config.early_stopping)
        version = "" if checkpoint is None else f"from-step-{checkpoint['done']}"
        trainer = _trainer(config, module, folder, version, [report, keeper])
        trainer.fit(
            module,
            *make_loaders(config, crops, fields, module),
            ckpt_path=None if checkpoint is None else folder / LAST,
            weights_only=True,
        )
        rank = trainer.global_rank
    if config.early_stopping is not None:
        load_weights(module.network, folder / BEST)
    elif len(module.ends) > 1:
        seen = Fields(pairs["train"], stain, planes, divisor)
        average_weights(module.network.cpu(), module.ends, seen, config.seed)
    return module, rank


def _trainer(
    config: TrainingConfig,
    module: StainModule,
    folder: Path,
    version: str,
    callbacks: list[Callback],
) -> Trainer:
    loggers: list[Logger] = [CSVLogger(folder, name=LOGS, version=version)]
    if importlib.util.find_spec("tensorboard") is not None:
        loggers.append(
            TensorBoardLogger(folder, name=LOGS, version=version, default_hp_metric=False)
        )
    strategy = config.strategy
    if strategy in ("auto", "ddp") and config.devices > 1:
        # The discriminator has no part in a pretraining phase.
        strategy = "ddp_find_unused_parameters_true" if module.settings.adversarial else "ddp"
    try:
        return Trainer(
            accelerator=config.device,
            devices=config.devices,
            strategy=strategy,
            precision=config.precision,
            max_epochs=epochs_of(module, config.validate_every),
            callbacks=callbacks,
            logger=loggers,
            log_every_n_steps=10,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"device {config.device}, devices {config.devices}, strategy {config.strategy} and "
            f"precision {config.precision} do not go together on this machine; change one of "
            f"them, for Lightning says: {_first_sentence(error)}."
        ) from None


def _first_sentence(error: Exception) -> str:
    return " ".join(str(error).split()).split(". ")[0].rstrip(".")
