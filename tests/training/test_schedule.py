"""Learning rates against values by hand and against PyTorch's schedulers."""

import pytest
import torch

from napari_fluorgen.training.course import Constant, OneCycle, WarmRestarts
from napari_fluorgen.training.schedule import learning_rate, momentum


def _optimizer(rate):
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=rate)


@pytest.mark.parametrize("steps", [1, 4, 7, 100])
def test_one_cycle_is_that_of_pytorch(steps):
    optimizer = _optimizer(3e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 3e-3, total_steps=steps, pct_start=0.15
    )
    for step in range(steps):
        group = optimizer.param_groups[0]
        assert learning_rate(OneCycle(), 3e-3, step, steps) == pytest.approx(group["lr"])
        assert momentum(OneCycle(), step, steps) == pytest.approx(group["betas"][0])
        optimizer.step()
        if step < steps - 1:
            scheduler.step()


def test_warm_restarts_by_hand():
    # Periods of 2, 4, 8 epochs of 10 steps: (1 + cos(pi · share)) / 2.
    schedule = WarmRestarts(t_0=2, t_mult=2)
    rates = {0: 1.0, 10: 0.5, 20: 1.0, 30: 0.5 + 0.5**1.5, 40: 0.5, 60: 1.0, 100: 0.5, 140: 1.0}
    for step, rate in rates.items():
        assert learning_rate(schedule, 1.0, step, 600, 10) == pytest.approx(rate)


def test_warm_restarts_are_those_of_pytorch():
    optimizer = _optimizer(1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    for step in range(300):
        scheduler.step(step / 7)
        rate = learning_rate(WarmRestarts(), 1e-3, step, 300, 7)
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)


def test_constant():
    assert {learning_rate(Constant(), 1e-5, step, 9) for step in range(9)} == {1e-5}
    assert momentum(Constant(), 3, 9) == 0.9
