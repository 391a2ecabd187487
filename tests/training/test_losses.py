"""Losses against values worked out by hand."""

import math

import pytest
import torch

from napari_fluorgen.training import losses


def test_stain_loss_is_square_near_and_linear_far():
    truth = torch.zeros(1, 1, 1, 2)
    prediction = torch.tensor([[[[0.02, 0.5]]]])
    # Below beta = 0.1: d² / (2 beta); above: d - beta / 2.
    expected = (0.02**2 / 0.2 + 0.45) / 2
    assert losses.stain_loss(prediction, truth).item() == pytest.approx(expected)


def test_stain_loss_weighs_pixels():
    prediction = torch.tensor([[[[0.5, 0.5]]]])
    weight = torch.tensor([[[[2.0, 1.0]]]])
    loss = losses.stain_loss(prediction, torch.zeros(1, 1, 1, 2), weight)
    assert loss.item() == pytest.approx(0.45 * 1.5)


def test_gradient_loss_ignores_offsets_and_counts_edges():
    truth = torch.zeros(1, 1, 2, 2)
    assert losses.gradient_loss(truth + 0.7, truth).item() == 0
    prediction = torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]])
    assert losses.gradient_loss(prediction, truth).item() == pytest.approx(1.0)


def test_misclassified_pixels_weigh_more():
    logits = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    mask = torch.tensor([[[1, 1]]])
    weights = losses.misclassification_weights(logits, mask, 2.0)
    assert weights.flatten().tolist() == [2.0, 1.0]
    assert not weights.requires_grad


def test_segmentation_loss_adds_the_weighted_form():
    logits = torch.zeros(1, 2, 1, 2)
    mask = torch.tensor([[[0, 1]]])
    weight = torch.tensor([[[[1.0, 2.0]]]])
    loss = losses.segmentation_loss(logits, mask, weight)
    assert loss.item() == pytest.approx(math.log(2) * (1 + 1.5))


def test_loss_weight_modules_compare_at_their_own_scale():
    truth = torch.tensor([[[[0.0, 1.0], [1.0, 0.0]]]])
    weight = torch.ones(1, 1, 2, 2)
    exact = [torch.tensor([[[[0.5]]]]), truth]
    assert losses.loss_weight_modules(exact, truth, weight).item() == 0
    off = [torch.tensor([[[[1.0]]]])]
    assert losses.loss_weight_modules(off, truth, 2 * weight).item() == pytest.approx(0.9)
