"""Adversarial steps: the pool, the discriminator's view, who learns from what."""

import numpy as np
import pytest
import torch

from napari_fluorgen.networks import PatchDiscriminator
from napari_fluorgen.training.config import StainConfig
from napari_fluorgen.training.course import DiscriminatorConfig

pytest.importorskip("lightning", reason="training needs the extra 'train'")

from napari_fluorgen.training import losses
from napari_fluorgen.training.adversarial import AdversarialModule, ImagePool, build_module
from napari_fluorgen.training.modules import StainModule, correlate

SMALL = {"kind": "dense-unet", "first_filters": 4, "blocks": 2, "layers": 2, "growth_rate": 2}


def _numbers(*values):
    return torch.tensor(values, dtype=torch.float32)[:, None, None, None]


def test_the_pool_fills_and_then_shows_old_images_for_half_of_the_new():
    pool, rng = ImagePool(50), np.random.default_rng(1)
    for number in range(50):  # shown as they are while there is room
        assert pool.exchange(_numbers(number), rng).item() == number
    shown = [pool.exchange(_numbers(number), rng).item() for number in range(50, 2050)]
    old = [value < number for number, value in enumerate(shown, start=50)]
    assert len(pool.images) == 50
    assert 0.45 < np.mean(old) < 0.55
    # An image is shown at once or kept: never twice, and none is lost.
    late = [value for value in shown if value >= 50]
    held = [image.item() for image in pool.images if image.item() >= 50]
    assert sorted(late + held) == list(range(50, 2050))


def test_a_pool_of_nothing_shows_the_new():
    pool = ImagePool(0)
    images = _numbers(1, 2)
    assert torch.equal(pool.exchange(images, np.random.default_rng(0)), images)


def test_three_layers_see_patches_of_70_pixels():
    settings = DiscriminatorConfig()
    network = PatchDiscriminator(2, 4, settings.layers).eval()
    planes = torch.rand(1, 2, 128, 128, requires_grad=True)
    scores = network(planes)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    seen = planes.grad.abs().sum((0, 1)) > 0
    assert seen.any(1).sum() == seen.any(0).sum() == 70
    side = settings.smallest_crop
    assert network(torch.rand(1, 2, side, side)).shape[2:] == (1, 1)


def _module(**phase):
    settings = StainConfig.model_validate(
        {
            "architecture": SMALL,
            "discriminator": {"ndf": 4, "layers": 2},
            "phases": [{"kind": "adversarial", "steps": 5, **phase}],
        }
    )
    return build_module("lipids", settings, [5])


def test_the_generators_total_is_equation_9(monkeypatch):
    """Weighted parts of a step, with the discriminator's scores and the prediction known."""
    weights = {
        "reconstruction": "median-mae",
        "alpha_reconstruction": 1.0,
        "alpha_gradient": 10.0,
        "alpha_adversarial": 0.01,
    }
    module = _module(loss=weights).eval()
    batch = torch.rand(1, 7, 16, 16), torch.rand(1, 1, 16, 16), torch.zeros(1, 16, 16).long()
    stepped = []
    monkeypatch.setattr(module, "all_optimizers", lambda: ["generator", "discriminator"])
    monkeypatch.setattr(
        module, "optimise", lambda optimizer, parts: stepped.append((optimizer, parts))
    )
    monkeypatch.setattr(module, "log", lambda *_: None)
    module._fabric = None
    monkeypatch.setattr(module, "derived_seed", lambda: 1)
    parts = module.learn(module.settings.course[0], batch)
    planes, truth, _ = batch
    stain = module.network(planes)
    real = module.discriminator(torch.cat((planes, truth), 1))
    fake = module.discriminator(torch.cat((planes, stain), 1))
    assert [name for name, _ in stepped] == ["discriminator", "generator"]
    judged = losses.relativistic_least_squares(real, fake)
    torch.testing.assert_close(stepped[0][1]["discriminator"], judged)
    expected = (
        0.01 * losses.relativistic_least_squares(fake, real)
        + 10 * losses.gradient_loss(stain, truth)
        + 1.0 * losses.median_mae(stain, truth)
    )
    torch.testing.assert_close(sum(parts.values()), expected.detach())
    # The generator's loss reaches no weight of the discriminator, and the other way round.
    sum(stepped[1][1].values()).backward()
    assert all(p.grad is None for p in module.discriminator.parameters())
    module.network.zero_grad()
    stepped[0][1]["discriminator"].backward()
    assert all(p.grad is None for p in module.network.parameters())
    assert all(p.grad is not None for p in module.discriminator.parameters())


def test_only_adversarial_phases_need_a_discriminator():
    settings = StainConfig.model_validate({"architecture": SMALL, "steps": 3})
    assert type(build_module("lipids", settings, [3])) is StainModule
    assert isinstance(_module(), AdversarialModule)


def test_phases_follow_each_other():
    settings = StainConfig.model_validate(
        {"architecture": SMALL, "phases": [{"steps": 2}, {"steps": 1, "learning_rate": 1e-5}]}
    )
    module = build_module("lipids", settings, [2, 1])
    seen = []
    for module.done in range(3):
        phase, step, steps = module.phase()
        seen.append((phase.learning_rate, step, steps))
    assert seen == [(3e-3, 0, 2), (3e-3, 1, 2), (1e-5, 0, 1)]


def test_correlation_of_constant_images_is_none_or_zero():
    ramp = torch.arange(4.0).reshape(1, 1, 2, 2)
    assert correlate(ramp, 2 * ramp + 1) == pytest.approx(1)
    assert correlate(-ramp, ramp) == pytest.approx(-1)
    assert correlate(torch.ones_like(ramp), ramp) == 0
    assert correlate(ramp, torch.ones_like(ramp)) is None
