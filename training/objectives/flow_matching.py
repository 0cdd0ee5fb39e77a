"""Flow matching of shape and layout: pre-training and supervised fine-tuning differ only in their data."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from modelzoo.flow import interpolate, sample_times, true_velocity
from modelzoo.models.geometry import GeometryModel
from training.data.batches import DemonstrationBatch, without_points
from training.losses.flow_matching import LayoutWeights, layout_error, place_error, shape_error

NEAR_NOISE = 0.1  # the loss below this t says whether the photograph is used at all


@dataclass(frozen=True, kw_only=True)
class TimeSampler:
    """t = sigmoid(N(mean, std)); shapes of 4096 redundant numbers need times near the noise."""

    mean: float = -2.0
    std: float = 1.3


@dataclass(frozen=True, kw_only=True)
class FlowMatchingObjective:
    """Mean squared velocity error at sampled times, with condition dropout and point-map dropout.

    ``draws`` noises and times share each encoded photograph. A joint embedder also learns the crop patches' places.
    """

    times: TimeSampler = field(default_factory=TimeSampler)
    weights: LayoutWeights = field(default_factory=LayoutWeights)
    place_weight: float = 2.0
    draws: int = 1
    condition_dropout: float = 0.1
    points_dropout: float = 0.1

    def loss(
        self, model: GeometryModel, batch: DemonstrationBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss and what to log; every random number comes from ``generator``."""
        targets = len(batch.condition)
        dropped = torch.rand(targets, generator=generator) < self.points_dropout
        views = without_points(batch.condition, dropped)
        tokens, places = model.encode_with_places(views.crop, views.full, views.box)
        count = targets * self.draws
        keep = (torch.rand(count, generator=generator) >= self.condition_dropout).float()
        tokens = tokens.repeat(self.draws, 1, 1) * keep[:, None, None]
        shape = model.standardise_shape(batch.shape).repeat(self.draws, 1, 1, 1, 1)
        layout = model.standardise_layout(batch.layout).repeat(self.draws, 1)
        t = sample_times(count, mean=self.times.mean, std=self.times.std, generator=generator)
        noise_shape = torch.randn(shape.shape, generator=generator)
        noise_layout = torch.randn(layout.shape, generator=generator)
        got_shape, got_layout = model(
            interpolate(noise_shape, shape, t), interpolate(noise_layout, layout, t), t, tokens
        )
        shape_errors = shape_error(got_shape, true_velocity(noise_shape, shape))
        layout_errors = layout_error(got_layout, true_velocity(noise_layout, layout), weights=self.weights)
        layout_loss = _mean_where(layout_errors, batch.has_layout.repeat(self.draws))
        loss = shape_errors.mean() + layout_loss
        near = (t < NEAR_NOISE) & (keep > 0)
        metrics = {"shape": shape_errors.mean().item(), "layout": layout_loss.item()}
        if places is not None and self.place_weight > 0:
            place_loss = _mean_where(
                place_error(places, batch.condition.crop, batch.layout), batch.has_layout
            )
            loss = loss + self.place_weight * place_loss
            metrics["place"] = place_loss.item()
        if near.any():
            metrics["shape_near_noise"] = shape_errors[near].mean().item()
        return loss, metrics


def _mean_where(errors: Tensor, counted: Tensor) -> Tensor:
    """The mean of the errors that count; 0 when none does."""
    share = counted.to(errors.dtype)
    return (errors * share).sum() / share.sum().clamp(min=1.0)
