"""Rectified flow: path, times, preconditioning."""

from __future__ import annotations

import pytest
import torch

from modelzoo.flow import interpolate, precondition, sample_times, true_velocity


def test_the_path_runs_from_noise_to_data() -> None:
    noise, data = torch.zeros(2, 3), torch.ones(2, 3)
    at = interpolate(noise, data, torch.tensor([0.0, 0.25]))
    torch.testing.assert_close(at, torch.tensor([[0.0] * 3, [0.25] * 3]))
    torch.testing.assert_close(true_velocity(noise, data), data - noise)


def test_a_negative_mean_keeps_most_times_near_the_noise() -> None:
    times = sample_times(4000, mean=-2.0, std=1.3, generator=torch.Generator().manual_seed(0))
    assert float((times < 0.2).float().mean()) > 0.65
    assert float(times.min()) > 0.0 and float(times.max()) < 1.0


def test_preconditioning_gives_the_network_a_target_of_unit_variance() -> None:
    generator = torch.Generator().manual_seed(1)
    noise, data = torch.randn(20_000, generator=generator), torch.randn(20_000, generator=generator)
    for level in (0.0, 0.2, 0.5, 0.9, 1.0):
        t = torch.full((20_000,), level)
        scale_in, skip, scale_out = precondition(t, 1)
        x_t = (1 - level) * noise + level * data
        target = (data - noise - skip * x_t) / scale_out
        assert float(target.std()) == pytest.approx(1.0, abs=0.03)
        assert float((scale_in * x_t).std()) == pytest.approx(1.0, abs=0.03)
        if level == 0.0:
            torch.testing.assert_close(target, data)
