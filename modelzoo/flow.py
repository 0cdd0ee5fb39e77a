"""Rectified flow: the straight path from noise (t = 0) to data (t = 1), its time sampler and its Euler sampler."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

VelocityFn = Callable[[Tensor, float, bool], Tensor]  # (x_t, t, conditioned) -> velocity


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


def time_grid(steps: int, *, rescale_t: float) -> list[float]:
    """``steps`` + 1 times from 0 to 1, warped by t' = t / (1 + (r - 1)(1 - t)) so that r > 1 dwells near the noise."""
    if steps < 1 or rescale_t <= 0:
        raise ValueError("steps must be at least 1 and rescale_t positive")
    return [(i / steps) / (1.0 + (rescale_t - 1.0) * (1.0 - i / steps)) for i in range(steps + 1)]


def precondition(t: Tensor, dims: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scales (input, skip, output) for unit-variance noise and data, shaped to broadcast over ``dims`` dimensions.

    velocity = skip * x_t + output * net(input * x_t) has a net target of unit variance at every t, and at t = 0 the
    target is the data itself: the network need not learn to copy the noise (Karras et al. 2022, section 5, adapted).
    """
    spread = t**2 + (1.0 - t) ** 2
    shape = (-1, *[1] * (dims - 1))
    return (spread**-0.5).view(shape), ((2.0 * t - 1.0) / spread).view(shape), (spread**-0.5).view(shape)


def euler_sample(
    velocity: VelocityFn,
    noise: Tensor,
    *,
    steps: int,
    rescale_t: float,
    cfg_strength: float = 0.0,
    cfg_until: float = 0.5,
) -> Tensor:
    """Integrate from noise to data. Guidance is (1 + w) cond - w uncond while t <= ``cfg_until``."""
    times = time_grid(steps, rescale_t=rescale_t)
    x_t = noise
    for start, stop in pairwise(times):
        guided = velocity(x_t, start, True)
        if cfg_strength > 0.0 and start <= cfg_until:
            guided = (1.0 + cfg_strength) * guided - cfg_strength * velocity(x_t, start, False)
        x_t = x_t + (stop - start) * guided
    return x_t
