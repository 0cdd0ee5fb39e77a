"""Rectified flow: the straight path from noise (t = 0) to data (t = 1), times to train at, and preconditioning."""

from __future__ import annotations

import torch
from torch import Tensor


def interpolate(noise: Tensor, data: Tensor, t: Tensor) -> Tensor:
    """x_t = (1 - t) noise + t data, with one t per row."""
    assert noise.shape == data.shape, (noise.shape, data.shape)
    assert t.shape == noise.shape[:1], (t.shape, noise.shape)
    at = t.view(-1, *[1] * (noise.dim() - 1))
    return (1.0 - at) * noise + at * data


def true_velocity(noise: Tensor, data: Tensor) -> Tensor:
    """velocity = data - noise, constant along the straight path."""
    return data - noise


def sample_times(count: int, *, mean: float, std: float, generator: torch.Generator) -> Tensor:
    """``count`` times in (0, 1) from sigmoid(N(mean, std)); a negative mean stays near the noise."""
    return torch.sigmoid(mean + std * torch.randn(count, generator=generator))


def precondition(t: Tensor, dims: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scales (input, skip, output) for unit-variance noise and data, shaped to broadcast over ``dims`` dimensions.

    velocity = skip * x_t + output * net(input * x_t) has a net target of unit variance at every t, and at t = 0 the
    target is the data itself: the network need not learn to copy the noise (Karras et al. 2022, section 5, adapted).
    """
    spread = t**2 + (1.0 - t) ** 2
    shape = (-1, *[1] * (dims - 1))
    return (spread**-0.5).view(shape), ((2.0 * t - 1.0) / spread).view(shape), (spread**-0.5).view(shape)
