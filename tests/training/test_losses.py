"""Losses against values worked out by hand, beside each test."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_fluorgen.training import losses

KINDS = ["smooth-l1", "l1", "median-mae", "log-squared"]


def image(*rows):
    """Tensor (1, 1, Y, X) of the rows."""
    return torch.tensor(rows)[None, None]


def test_smooth_l1_is_square_near_and_linear_far():
    # Below beta = 0.1: d² / (2 beta) = 0.0004 / 0.2 = 0.002; above: d - beta / 2 = 0.45.
    loss = losses.reconstruction_loss("smooth-l1", image([0.02, 0.5]), image([0.0, 0.0]))
    assert loss.item() == pytest.approx((0.002 + 0.45) / 2)


def test_l1():
    # (0.25 + 0.5) / 2
    loss = losses.reconstruction_loss("l1", image([0.25, 0.0]), image([0.0, 0.5]))
    assert loss.item() == pytest.approx(0.375)


def test_log_squared_loss():
    # Equation 3: ln(0.5 / 0.25) = ln 2, ln(0.5 / 0.5) = 0, so (ln² 2 + 0) / 2; epsilon is lost.
    loss = losses.log_squared_loss(image([0.25, 0.5]), image([0.5, 0.5]))
    assert loss.item() == pytest.approx(math.log(2) ** 2 / 2)
    # At zero epsilon counts: ln(1e-8 / (1e-6 + 1e-8)) = -ln 101.
    loss = losses.log_squared_loss(image([1e-6]), image([0.0]))
    assert loss.item() == pytest.approx(math.log(101) ** 2, rel=1e-5)
    # What is negative counts as zero: ln((1e-6 + 1e-8) / 1e-8) = ln 101.
    loss = losses.log_squared_loss(image([-0.3]), image([1e-6]))
    assert loss.item() == pytest.approx(math.log(101) ** 2, rel=1e-5)


def test_median_mae():
    # Equation 4: errors 0.1, 0, 0.2 with mean 0.1; the median of 0.2, 0.4, 0.8 is 0.4.
    truth = image([0.2, 0.4, 0.8])
    loss = losses.median_mae(image([0.3, 0.4, 0.6]), truth)
    assert loss.item() == pytest.approx(0.1 / 0.4)
    # Equation 8, the last pixel misclassified: (0.1 + 0 + 2 · 0.2) / 3 / 0.4.
    loss = losses.median_mae(image([0.3, 0.4, 0.6]), truth, image([1.0, 1.0, 2.0]))
    assert loss.item() == pytest.approx(0.5 / 3 / 0.4)


def test_a_median_of_zero_is_replaced_by_the_smallest():
    # Mean error 0.3 / 3 = 0.1, over 0.01 in place of 0.
    loss = losses.median_mae(image([0.0, 0.0, 0.7]), image([0.0, 0.0, 1.0]))
    assert loss.item() == pytest.approx(0.1 / 0.01)


def test_gradient_loss_ignores_offsets_and_counts_edges():
    truth = torch.zeros(1, 1, 2, 2)
    assert losses.gradient_loss(truth + 0.7, truth).item() == 0
    # Equation 5. Differences down: 0 - 0, 0.2 - 1 with mean |.| 0.4; right: 1 - 0, 0.2 - 0 with
    # mean 0.6.
    prediction = image([0.0, 1.0], [0.0, 0.2])
    assert losses.gradient_loss(prediction, truth).item() == pytest.approx(0.4 + 0.6)
    # Against a truth with the same edge to the right: down stays, right is 0.1 and -0.7.
    edge = image([0.0, 0.9], [0.0, 0.9])
    assert losses.gradient_loss(prediction, edge).item() == pytest.approx(0.4 + 0.4)


def test_misclassified_pixels_weigh_more():
    # Equation 7: argmax says 0 and 1, both are nucleus: the first is wrong.
    logits = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]], requires_grad=True)
    weights = losses.misclassification_weights(logits, torch.tensor([[[1, 1]]]), 2.0)
    assert weights.flatten().tolist() == [2.0, 1.0]
    assert not weights.requires_grad


def test_segmentation_loss_adds_the_weighted_form():
    # Equal logits: probability 1/2, cross entropy ln 2 everywhere; weights 1 and 2 average 1.5.
    mask = torch.tensor([[[0, 1]]])
    loss = losses.segmentation_loss(torch.zeros(1, 2, 1, 2), mask, image([1.0, 2.0]))
    assert loss.item() == pytest.approx(math.log(2) * (1 + 1.5))
    # Logits 0 and ln 3 give the probabilities 1/4 and 3/4: -ln 3/4 where nucleus, -ln 1/4 where
    # not; the second is misclassified and weighs 2.
    logits = torch.zeros(1, 2, 1, 2)
    logits[:, 1] = math.log(3)
    mask = torch.tensor([[[1, 0]]])
    weight = losses.misclassification_weights(logits, mask, 2.0)
    right, wrong = math.log(4 / 3), math.log(4)
    expected = (right + wrong) / 2 + (right + 2 * wrong) / 2
    assert losses.segmentation_loss(logits, mask, weight).item() == pytest.approx(expected)


def test_loss_weight_modules_compare_at_their_own_scale():
    truth = image([0.0, 1.0], [1.0, 0.0])
    weight = torch.ones(1, 1, 2, 2)
    # Averaged down to one pixel the truth is 0.5.
    exact = [image([0.5]), truth]
    assert losses.loss_weight_modules("l1", exact, truth, weight).item() == 0
    # |1 - 0.5| weighs (2 + 1 + 1 + 1) / 4 = 1.25 there: 0.625; at full size the only error, 0.4,
    # is where the weight is 2: 2 · 0.4 / 4 = 0.2.
    weight[0, 0, 0, 0] = 2
    off = [image([1.0]), image([0.4, 1.0], [1.0, 0.0])]
    loss = losses.loss_weight_modules("l1", off, truth, weight)
    assert loss.item() == pytest.approx(0.625 + 0.2)
    # Median MAE: the coarse truth's median is 0.5, that of 0, 1, 1, 0 the lower of the middle two,
    # 0, so 0.01 is taken.
    loss = losses.loss_weight_modules("median-mae", off, truth, weight)
    assert loss.item() == pytest.approx(0.625 / 0.5 + 0.2 / 0.01)


def test_relativistic_least_squares():
    # Means 2 and 0. Real: (1 - 0 - 1)² = 0 and (3 - 0 - 1)² = 4, mean 2.
    # Fake: (0 - 2 + 1)² = 1 twice, mean 1. Sum 3.
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 0.0])
    assert losses.relativistic_least_squares(real, fake).item() == pytest.approx(3)
    # The generator's, roles exchanged. Fake: (0 - 2 - 1)² = 9 twice, mean 9.
    # Real: (1 - 0 + 1)² = 4 and (3 - 0 + 1)² = 16, mean 10. Sum 19.
    assert losses.relativistic_least_squares(fake, real).item() == pytest.approx(19)
    # Judged alike, both have something to learn: 1 + 1.
    assert losses.relativistic_least_squares(real[:1], real[:1]).item() == pytest.approx(2)


@given(
    kind=st.sampled_from(KINDS),
    prediction=st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4),
    truth=st.lists(st.sampled_from([0.0, 1e-7, 0.3, 1.0]), min_size=4, max_size=4),
)
def test_losses_and_their_gradients_are_finite_and_not_negative(kind, prediction, truth):
    predicted = image(prediction[:2], prediction[2:]).requires_grad_()
    true = image(truth[:2], truth[2:])
    loss = losses.reconstruction_loss(kind, predicted, true) + losses.gradient_loss(predicted, true)
    loss.backward()
    assert torch.isfinite(loss)
    assert loss >= 0
    assert torch.isfinite(predicted.grad).all()
    assert losses.reconstruction_loss(kind, true, true).item() == pytest.approx(0, abs=1e-9)
