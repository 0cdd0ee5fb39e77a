"""The training benchmark: what it counts, and that its peak is one."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.training import counted_flops, matrix_flops

BATCH, HEADS, TOKENS, WIDTH = 2, 3, 32, 16


def test_a_linear_layer_s_step_counts_two_products() -> None:
    layer, given = nn.Linear(24, 10), torch.randn(6, 24)
    product = 2 * 6 * 24 * 10
    assert counted_flops(lambda: layer(given).sum()) == 2 * product  # its output and its weight's gradient
    second = nn.Sequential(layer, nn.Linear(10, 5))
    assert counted_flops(lambda: second(given).sum()) == 2 * product + 3 * (2 * 6 * 10 * 5)


def test_attention_s_step_counts_two_products_and_five_in_its_gradient() -> None:
    parts = [torch.randn(BATCH, HEADS, TOKENS, WIDTH, requires_grad=True) for _ in range(3)]
    product = 2 * BATCH * HEADS * TOKENS * TOKENS * WIDTH
    assert counted_flops(lambda: F.scaled_dot_product_attention(*parts).sum()) == 7 * product


def test_the_peak_is_a_rate_of_this_machine() -> None:
    torch.set_num_threads(1)
    assert 1e8 < matrix_flops(torch.device("cpu"), torch.float32) < 1e13
