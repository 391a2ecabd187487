"""Checkpoints that survive being killed, and the end of a training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from torch import nn

from napari_fluorgen.errors import ConfigError, InputError
from napari_fluorgen.io.atomic import output_error
from napari_fluorgen.training.config import EarlyStopping, TrainingConfig
from napari_fluorgen.training.modules import StainModule

LAST, BEST = "last.ckpt", "best-figure.safetensors"
LOGS = "logs"
"""Folder of a network's ``metrics.csv`` and TensorBoard files."""


class Keeper(Callback):
    """Writes a checkpoint after each validation, keeps the best weights, and stops early.

    A checkpoint takes its name when it is whole, so that there always is a good one.

    Parameters
    ----------
    folder : Path
        Takes ``last.ckpt`` and, where a figure is watched, ``best-figure.safetensors``.
    recipe : str
        From `recipe_of`; stored, so that another recipe does not go on from here.
    stopping : EarlyStopping or None
        Figure to watch; None trains to the end and keeps the last weights.
    """

    def __init__(self, folder: Path, recipe: str, stopping: EarlyStopping | None) -> None:
        self.folder, self.recipe, self.stopping = folder, recipe, stopping
        self.best: float | None = None
        self.since_best = 0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Look at the figures of the validation that ended this stretch, then save."""
        if self.stopping is not None:
            self._look(trainer, pl_module, self.stopping)
        path = self.folder / f".unfinished-{LAST}"
        try:
            trainer.save_checkpoint(path)
            if trainer.is_global_zero:
                path.replace(self.folder / LAST)
        except OSError as error:
            raise output_error(self.folder / LAST, error) from error

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: Any, checkpoint: dict[str, Any]
    ) -> None:
        """Add what `read_checkpoint` needs to know."""
        over = trainer.should_stop or pl_module.done >= pl_module.total
        checkpoint["fluorgen"] = {"recipe": self.recipe, "over": bool(over)}

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"best": self.best, "since_best": self.since_best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up."""
        self.best, self.since_best = state_dict["best"], state_dict["since_best"]

    def _look(self, trainer: Trainer, module: StainModule, stopping: EarlyStopping) -> None:
        if stopping.figure not in module.figures:
            raise InputError(
                f"The validation fields give no {stopping.figure} of {module.stain}, because the "
                "true images are constant: validate on other fields or leave early_stopping out."
            )
        # All devices follow the first, whose figures may differ from theirs in the last digit.
        figure = trainer.strategy.broadcast(module.figures[stopping.figure])
        score = -figure if stopping.figure == "pixel_error" else figure
        if self.best is None or score > self.best:
            self.best, self.since_best = score, 0
            if trainer.is_global_zero:
                save_weights(module.network, self.folder / BEST)
        else:
            self.since_best += 1
            trainer.should_stop = self.since_best >= stopping.patience


def discard(folder: Path) -> None:
    """Remove what an earlier training left in a network's folder, or a later one resumes it."""
    for name in (LAST, BEST):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / LOGS, ignore_errors=True)


def recipe_of(config: TrainingConfig, stain: str) -> str:
    """All settings that decide the weights, as JSON, without the folders: those may be moved."""
    whole = config.model_dump(mode="json")
    data = config.data_for(stain).model_dump(
        mode="json", include={"crop", "batch", "centred", "augment", "registration"}
    )
    names = (
        "init", "seed", "precision", "devices", "validate_every", "early_stopping", "input",
        "pixel_size_um", "z_um",
    )  # fmt: skip
    recipe = {name: whole[name] for name in names}
    parts = {"network": whole["networks"][stain], "output": whole["outputs"][stain], "data": data}
    return json.dumps(recipe | parts, sort_keys=True)


def read_checkpoint(path: Path, recipe: str) -> dict[str, Any] | None:
    """Checkpoint to go on from; None where there is none yet.

    Raises
    ------
    ConfigError
        If it is damaged or was written by another recipe.
    """
    if not path.is_file():
        return None
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        held = checkpoint["fluorgen"]["recipe"]
    except Exception:  # torch raises whatever it stumbles over in a file that is no checkpoint
        raise ConfigError(
            f"{path} is no checkpoint of this version or is damaged: start again without resuming."
        ) from None
    if held != recipe:
        before, now = json.loads(held), json.loads(recipe)
        changed = ", ".join(name for name in now if before.get(name) != now[name])
        raise ConfigError(
            f"{path} was written with another configuration ({changed}): give that again or start "
            "again without resuming."
        )
    return dict(checkpoint)


def save_weights(network: nn.Module, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write the weights of a network; the file takes its name when it is whole."""
    from safetensors.torch import save_file

    temporary = path.with_name(f".unfinished-{path.name}")
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    try:
        save_file(weights, temporary, metadata)
        temporary.replace(path)
    except OSError as error:
        raise output_error(path, error) from error


def load_weights(network: nn.Module, path: Path) -> None:
    """Read what `save_weights` wrote.

    Raises
    ------
    ConfigError
        If the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        network.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError):
        raise _damaged(path) from None


def read_metadata(path: Path) -> dict[str, str]:
    """What `save_weights` wrote beside the weights. Raises as `load_weights`."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError):
        raise _damaged(path) from None


def _damaged(path: Path) -> ConfigError:
    return ConfigError(
        f"{path}, the best weights of this training, is missing or damaged: start again without "
        "resuming."
    )
