"""Shortcut distillation: what one long step should have as its velocity (Frans et al. 2024; SAM 3D appendix C.4)."""

from __future__ import annotations

import torch
from torch import Tensor


def average_velocity(state: Tensor, later: Tensor, *, t: Tensor, later_t: Tensor) -> Tensor:
    """The constant velocity that leads from ``state`` at ``t`` (B) to ``later`` at ``later_t`` (B): rows alike."""
    assert state.shape == later.shape and t.shape == later_t.shape == state.shape[:1], (state.shape, t.shape)
    length = (later_t - t).view(-1, *[1] * (state.dim() - 1))
    return (later - state) / length


def bootstrap_step_sizes(draws: Tensor, *, finest: int) -> Tensor:
    """Uniform ``draws`` (B, in [0, 1)) to the d of the two steps that one of 2d must equal: 1/2, 1/4 .. 1/``finest``.

    ``finest`` is a power of two, at least 2.
    """
    assert finest >= 2 and finest & (finest - 1) == 0, finest
    levels = finest.bit_length() - 1
    return torch.pow(0.5, 1 + torch.floor(draws * levels))


def bootstrap_times(draws: Tensor, step_sizes: Tensor) -> Tensor:
    """Uniform ``draws`` (B, in [0, 1)) to times on the grid of the long steps: 0, 2d, 4d .. 1 - 2d."""
    long_step = 2.0 * step_sizes
    return torch.floor(draws / long_step) * long_step
