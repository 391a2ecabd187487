"""Weights that a training run starts from."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from napari_fluorgen.errors import ConfigError
from napari_fluorgen.models import load_model
from napari_fluorgen.networks import Architecture, for_finer_pixels
from napari_fluorgen.training.config import TrainingConfig


def starting_weights(config: TrainingConfig, stains: Sequence[str]) -> dict[str, dict[str, Tensor]]:
    """Weights of `config.init` for each of the stains that it has.

    A network whose configuration folds more pixels than that of the start, and is the same
    otherwise, starts from the latter carried over to finer pixels. Dropout and views may differ.
    Where the configuration alone has outlines, the convolution for them starts at zero.

    Returns
    -------
    dict of str to dict of str to Tensor
        State of the networks; a stain that `init` has not is left out and starts at random.

    Raises
    ------
    ModelError
        If `init` is unknown or damaged.
    ConfigError
        If its networks are other than those of the configuration.
    """
    if config.init is None:
        return {}
    model = load_model(config.init)
    weights = {}
    for stain in stains:
        if stain not in model.spec.architectures:
            continue
        held, wanted = model.spec.architectures[stain], config.networks[stain].architecture  # type: ignore[index]
        factor = wanted.fold // held.fold
        target = wanted.model_copy(update={"outlined": wanted.outlined and held.outlined})
        if _bare(held, held.fold * factor) != _bare(target, target.fold):
            raise ConfigError(
                f"networks.{stain}.architecture is not that of {model.spec.name}, which init "
                f"names: give it {_difference(held, target)}, or leave init out."
            )
        network = model.network(stain)
        if factor > 1:
            network, _ = for_finer_pixels(network, held, factor)
        weights[stain] = network.state_dict()
        if wanted.kind == "nuclei" and wanted != target:
            weights[stain] |= _no_outlines(weights[stain], wanted.classes)
    return weights


def _no_outlines(weights: dict[str, Tensor], classes: int) -> dict[str, Tensor]:
    """Zeros for the head of outlines, which reads what the stain's head reads, for each class."""
    heads = {name: weights[f"stain_head.{name}"] for name in ("weight", "bias")}
    return {
        f"outline_head.{name}": head.new_zeros(classes * len(head), *head.shape[1:])
        for name, head in heads.items()
    }


def _bare(architecture: Architecture, fold: int) -> Architecture:
    return architecture.model_copy(update={"fold": fold, "dropout": 0.0, "views": 1})


def _difference(held: Architecture, wanted: Architecture) -> str:
    names = [
        name
        for name in type(held).model_fields
        if name not in ("dropout", "views") and getattr(held, name) != getattr(wanted, name)
    ]
    return ", ".join(f"{name} {getattr(held, name)}" for name in names)
