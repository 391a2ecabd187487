"""Mean of the weights that a network had at the ends of its last phases.

References
----------
.. [1] Izmailov et al., "Averaging weights leads to wider optima and better generalization",
   arXiv:1803.05407 (stochastic weight averaging).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn
from torch.utils.data import DataLoader, Subset

from napari_fluorgen.training.loading import Fields

_FIELDS = 12
"""Whole fields that give the batch norm statistics."""


def average_weights(
    network: nn.Module, states: Sequence[dict[str, Tensor]], fields: Fields, seed: int
) -> None:
    """Give a network the mean of states, and the statistics of batch norm that go with it [1]_.

    Parameters
    ----------
    network : Module
        Changed in place.
    states : sequence of dict of str to Tensor
        Its weights at several times, at least one.
    fields : Fields
        Training fields; the first twelve give the statistics.
    seed : int
        Of dropout, which is at work while they are taken.
    """
    mean = {}
    for name, value in states[0].items():
        parts = torch.stack([state[name].float() for state in states])
        mean[name] = parts.mean(0).to(value.dtype)
    network.load_state_dict(mean)
    torch.manual_seed(seed)
    few = range(min(len(fields), _FIELDS))
    update_bn(DataLoader(Subset(fields, few)), network)
