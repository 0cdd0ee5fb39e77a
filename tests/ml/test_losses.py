"""Losses, each with a number worked out by hand and a property."""

from __future__ import annotations

import math

import pytest
import torch

from modelzoo.models.cells import batch_cells
from modelzoo.vae.structured_latent import CellContent
from training.losses.autoencoder import kl_loss, occupancy_loss
from training.losses.flow_matching import LayoutWeights, layout_error, shape_error
from training.losses.preference import flow_dpo_loss, implicit_accuracy
from training.losses.shortcut import average_velocity, bootstrap_step_sizes, bootstrap_times
from training.losses.structured_latent import CellTargets, surface_loss
from training.losses.texture import cell_error, colour_error


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


def test_cell_error_is_the_mean_of_an_object_s_own_cells() -> None:
    cells = batch_cells([torch.tensor([[0, 0, 0], [0, 0, 1], [1, 0, 0]]), torch.tensor([[3, 3, 3]])], grid=4)
    velocity = torch.tensor([[1.0, 1.0], [2.0, 2.0], [0.0, 2.0], [3.0, 0.0]])
    # (1 + 4 + 2) / 3 of the first object's three cells, 9 / 2 of the second's one
    assert cell_error(torch.zeros(4, 2), velocity, cells).tolist() == pytest.approx([7 / 3, 4.5])


def test_colour_error_counts_what_is_near_the_surface() -> None:
    field = torch.tensor([[0.0, 0.9, 1.5]])
    colour = torch.zeros(1, 3, 3)
    predicted = torch.tensor([[[0.3, 0.0, 0.0], [0.1, 0.1, 0.1], [1.0, 1.0, 1.0]]])
    assert colour_error(predicted, colour, field).item() == pytest.approx(0.6 / 6)
    assert colour_error(colour, colour, field).item() == 0.0


def test_average_velocity_leads_from_one_state_to_the_other() -> None:
    state, later = torch.tensor([[1.0], [2.0]]), torch.tensor([[2.0], [0.0]])
    t, later_t = torch.tensor([0.0, 0.5]), torch.tensor([0.5, 0.75])
    found = average_velocity(state, later, t=t, later_t=later_t)
    assert found.tolist() == [[2.0], [-8.0]]
    torch.testing.assert_close(state + (later_t - t)[:, None] * found, later)


def test_bootstrapped_steps_are_powers_of_two_and_start_on_the_grid_of_the_long_step() -> None:
    draws = torch.tensor([0.0, 0.34, 0.67, 0.999])
    sizes = bootstrap_step_sizes(draws, finest=8)
    assert sizes.tolist() == [0.5, 0.25, 0.125, 0.125]
    assert bootstrap_times(torch.full((4,), 0.999), sizes).tolist() == [0.0, 0.5, 0.75, 0.75]
    assert bootstrap_times(torch.zeros(4), sizes).tolist() == [0.0] * 4


def test_occupancy_loss_of_a_coin_toss() -> None:
    """Two voxels at logit 0, one solid: cross-entropies 2 ln 2 and ln 2, Dice 1 - (2 x 0.5 + 1) / (1 + 1 + 1)."""
    occupancy = torch.tensor([True, False]).view(1, 1, 1, 2)
    found = occupancy_loss(torch.zeros(1, 1, 1, 2), occupancy)
    assert found.item() == pytest.approx(3 * 1.5 * math.log(2) + 1 / 3, rel=1e-6)
    sure = occupancy_loss(torch.tensor([40.0, -40.0]).view(1, 1, 1, 2), occupancy)
    assert sure.item() == pytest.approx(0.0, abs=1e-6)


def test_kl_of_a_shifted_and_of_a_wider_normal() -> None:
    assert kl_loss(torch.tensor([1.0]), torch.tensor([0.0])).item() == pytest.approx(0.5)
    assert kl_loss(torch.tensor([0.0]), torch.tensor([math.log(4.0)])).item() == pytest.approx(
        0.5 * (4 - 1 - math.log(4.0))
    )


def test_surface_loss_by_hand() -> None:
    """Two voxels: one near the surface, and one far beyond the clamp, which counts a fifth and has no colour."""
    decoded = CellContent(field=torch.tensor([[0.0, 1.0]]), colour=torch.full((1, 2, 3), 0.2))
    targets = CellTargets(
        field=torch.tensor([[0.5, 3.0]]),
        colour=torch.full((1, 2, 3), 0.5),
        surface=torch.zeros(1, 2, 3),
        normal=torch.zeros(1, 2, 3),
    )
    terms = {name: value.item() for name, value in surface_loss(decoded, targets).items()}
    assert terms["field"] == pytest.approx((0.5 + 0.2 * 1.0) / 2)  # the second is clamped to 2
    assert terms["sign"] == pytest.approx((math.log(2) + 0.2 * math.log1p(math.exp(-3.0))) / 2)
    assert terms["colour"] == pytest.approx(0.3)
