"""Flow-DPO of the shape against a frozen reference: chosen and rejected share noise and t; the layout is untouched."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from modelzoo.flow import interpolate, sample_times, true_velocity
from modelzoo.models.geometry import LAYOUT_DIM, GeometryModel
from training.data.batches import PreferenceBatch
from training.losses.flow_matching import shape_error
from training.losses.preference import flow_dpo_loss, implicit_accuracy
from training.objectives.flow_matching import TimeSampler


@dataclass(frozen=True, kw_only=True)
class PreferenceObjective:
    """softplus(beta * margin) of velocity errors against ``reference``, which is never trained."""

    reference: GeometryModel
    beta: float = 100.0
    times: TimeSampler = field(default_factory=TimeSampler)

    def loss(
        self, model: GeometryModel, batch: PreferenceBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss and what to log: ``chosen_rise`` is the stop rule's number."""
        chosen, rejected = model.standardise_shape(batch.chosen), model.standardise_shape(batch.rejected)
        count = chosen.shape[0]
        t = sample_times(count, mean=self.times.mean, std=self.times.std, generator=generator)
        noise = torch.randn(chosen.shape, generator=generator)
        layout = torch.randn(count, LAYOUT_DIM, generator=generator)
        errors = [_errors(model, batch, data, noise, layout, t) for data in (chosen, rejected)]
        with torch.no_grad():
            frozen = [_errors(self.reference, batch, data, noise, layout, t) for data in (chosen, rejected)]
        loss = flow_dpo_loss(errors[0], errors[1], frozen[0], frozen[1], beta=self.beta).mean()
        return loss, {
            "chosen_rise": (errors[0] - frozen[0]).mean().item(),
            "rejected_rise": (errors[1] - frozen[1]).mean().item(),
            "implicit_accuracy": implicit_accuracy(errors[0], errors[1], frozen[0], frozen[1]).item(),
        }


def _errors(
    model: GeometryModel, batch: PreferenceBatch, data: Tensor, noise: Tensor, layout: Tensor, t: Tensor
) -> Tensor:
    views = batch.condition
    tokens = model.encode(views.crop, views.full, views.box)
    predicted, _ = model(interpolate(noise, data, t), layout, t, tokens)
    return shape_error(predicted, true_velocity(noise, data))
