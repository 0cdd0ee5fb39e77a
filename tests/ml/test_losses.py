"""Losses, each with a number worked out by hand and a property."""

from __future__ import annotations

import math

import pytest
import torch

from training.losses.flow_matching import LayoutWeights, layout_error, shape_error
from training.losses.preference import flow_dpo_loss, implicit_accuracy


def test_shape_error_is_the_mean_square_per_example() -> None:
    predicted = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    velocity = torch.tensor([[0.0, 0.0], [0.0, 3.0]])
    assert shape_error(predicted, velocity).tolist() == [2.5, 4.5]


def test_layout_error_weighs_each_token_by_its_mean() -> None:
    predicted = torch.zeros(1, 13)
    velocity = torch.tensor([[1.0] * 6 + [2.0] * 3 + [3.0] * 3 + [9.0]])
    weights = LayoutWeights(rotation=1.0, translation=0.5, scale=0.1)
    assert layout_error(predicted, velocity, weights=weights).item() == pytest.approx(1.0 + 2.0 + 0.9)


def test_preference_loss_is_ln_2_when_policy_is_reference() -> None:
    chosen, rejected = torch.tensor([0.3, 0.7]), torch.tensor([0.9, 0.1])
    loss = flow_dpo_loss(chosen, rejected, chosen, rejected, beta=100.0)
    assert loss.tolist() == pytest.approx([math.log(2.0)] * 2)


def test_preference_loss_of_a_known_margin() -> None:
    one = torch.tensor([1.0])
    loss = flow_dpo_loss(one * 0.9, one * 1.2, one, one, beta=10.0)  # margin -.1 - .2 = -.3
    assert loss.item() == pytest.approx(math.log1p(math.exp(-3.0)), rel=1e-5)


def test_swapping_the_pair_flips_the_margin_and_its_gradient() -> None:
    a, b = torch.tensor([0.4], requires_grad=True), torch.tensor([0.6], requires_grad=True)
    reference = torch.tensor([0.5])
    straight = flow_dpo_loss(a, b, reference, reference, beta=5.0)
    swapped = flow_dpo_loss(b, a, reference, reference, beta=5.0)
    # softplus(x) - softplus(-x) = x
    assert (straight - swapped).item() == pytest.approx(5.0 * ((0.4 - 0.5) - (0.6 - 0.5)), rel=1e-5)
    (gradient,) = torch.autograd.grad(straight.sum(), a)
    (other,) = torch.autograd.grad(swapped.sum(), a)
    assert gradient.item() > 0 > other.item()


def test_implicit_accuracy_counts_the_pairs_that_moved_the_right_way() -> None:
    reference = torch.tensor([0.5, 0.5])
    accuracy = implicit_accuracy(torch.tensor([0.4, 0.6]), torch.tensor([0.5, 0.5]), reference, reference)
    assert accuracy.item() == 0.5
