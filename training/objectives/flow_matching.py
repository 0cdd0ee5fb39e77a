"""Flow matching of shape and layout: pre-training and supervised fine-tuning differ only in their data."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from modelzoo.flow import interpolate, sample_times, true_velocity
from modelzoo.models.geometry import GeometryModel
from training.data.batches import DemonstrationBatch, without_points
from training.losses.flow_matching import LayoutWeights, layout_error, shape_error

NEAR_NOISE = 0.1  # the loss below this t says whether the photograph is used at all


@dataclass(frozen=True, kw_only=True)
class TimeSampler:
    """t = sigmoid(N(mean, std)); shapes of 4096 redundant numbers need times near the noise."""

    mean: float = -2.0
    std: float = 1.3


@dataclass(frozen=True, kw_only=True)
class FlowMatchingObjective:
    """Mean squared velocity error at sampled times, with condition dropout and point-map dropout."""

    times: TimeSampler = field(default_factory=TimeSampler)
    weights: LayoutWeights = field(default_factory=LayoutWeights)
    condition_dropout: float = 0.1
    points_dropout: float = 0.1

    def loss(
        self, model: GeometryModel, batch: DemonstrationBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss and what to log; every random number comes from ``generator``."""
        count = len(batch.condition)
        dropped = torch.rand(count, generator=generator) < self.points_dropout
        views = without_points(batch.condition, dropped)
        tokens = model.encode(views.crop, views.full, views.box)
        keep = (torch.rand(count, generator=generator) >= self.condition_dropout).float()
        tokens = tokens * keep[:, None, None]
        shape, layout = model.standardise_shape(batch.shape), model.standardise_layout(batch.layout)
        t = sample_times(count, mean=self.times.mean, std=self.times.std, generator=generator)
        noise_shape = torch.randn(shape.shape, generator=generator)
        noise_layout = torch.randn(layout.shape, generator=generator)
        got_shape, got_layout = model(
            interpolate(noise_shape, shape, t), interpolate(noise_layout, layout, t), t, tokens
        )
        shape_errors = shape_error(got_shape, true_velocity(noise_shape, shape))
        layout_errors = layout_error(got_layout, true_velocity(noise_layout, layout), weights=self.weights)
        has_layout = batch.has_layout.float()
        layout_loss = (layout_errors * has_layout).sum() / has_layout.sum().clamp(min=1.0)
        loss = shape_errors.mean() + layout_loss
        near = (t < NEAR_NOISE) & (keep > 0)
        metrics = {"shape": shape_errors.mean().item(), "layout": layout_loss.item()}
        if near.any():
            metrics["shape_near_noise"] = shape_errors[near].mean().item()
        return loss, metrics
