"""The layout alone: a stage in which poses are learned and the shape stream stays bit for bit what it was."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from modelzoo.flow import interpolate, sample_times, true_velocity
from modelzoo.models.geometry import GeometryModel
from training.data.batches import DemonstrationBatch, without_points
from training.losses.flow_matching import LayoutWeights, layout_error
from training.objectives.flow_matching import TimeSampler

#: Of the released weights' last stage (sam3d facts 2.2): the shape's loss is left out altogether.
RELEASED_WEIGHTS = LayoutWeights(rotation=0.1, translation=1.0, scale=0.1)


@dataclass(frozen=True, kw_only=True)
class LayoutObjective:
    """Mean squared velocity error of the layout's tokens, of the targets whose pose is known.

    The shape's latent is shown noised to the same t, as it is while a candidate is drawn. Freeze the parts "shape",
    "shared" and "condition" (GeometryModel.freeze) to keep the shapes that the model draws; with "shared" or
    "condition" trained, they change.
    """

    times: TimeSampler = field(default_factory=TimeSampler)
    weights: LayoutWeights = RELEASED_WEIGHTS
    condition_dropout: float = 0.1
    points_dropout: float = 0.1

    def loss(
        self, model: GeometryModel, batch: DemonstrationBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss (0 when no pose is known) and what to log; every random number comes from ``generator``."""
        count = len(batch.condition)
        views = without_points(batch.condition, torch.rand(count, generator=generator) < self.points_dropout)
        keep = (torch.rand(count, generator=generator) >= self.condition_dropout).float()
        tokens = model.encode(views.crop, views.full, views.box) * keep[:, None, None]
        shape, layout = model.standardise_shape(batch.shape), model.standardise_layout(batch.layout)
        t = sample_times(count, mean=self.times.mean, std=self.times.std, generator=generator)
        noise_shape = torch.randn(shape.shape, generator=generator)
        noise = torch.randn(layout.shape, generator=generator)
        _, predicted = model(interpolate(noise_shape, shape, t), interpolate(noise, layout, t), t, tokens)
        known = batch.has_layout.to(predicted.dtype)
        errors = layout_error(predicted, true_velocity(noise, layout), weights=self.weights)
        loss = (errors * known).sum() / known.sum().clamp(min=1.0)
        return loss, {"layout": loss.item()}
