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
from training.objectives.frozen import FrozenWeights


@dataclass(frozen=True, kw_only=True)
class PreferenceObjective:
    """softplus(beta * margin) of velocity errors against ``reference``, which is never trained.

    ``draws`` noises and times share each encoded photograph, and their mean error is the pair's: a margin of one draw
    is mostly its noise. ``anchor`` adds that many times the chosen half's own error, as supervised fine-tuning would
    (0: plain DPO). The reference is frozen here and named by its hash (``frozen``); ReferenceChanged ends a run in
    which it moves.
    """

    reference: GeometryModel
    beta: float = 100.0
    anchor: float = 0.0
    draws: int = 1
    times: TimeSampler = field(default_factory=TimeSampler)
    frozen: FrozenWeights = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frozen", FrozenWeights(self.reference, name="the reference"))

    def loss(
        self, model: GeometryModel, batch: PreferenceBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss and what to log: ``chosen_rise`` is the stop rule's number. Raises ReferenceChanged."""
        self.frozen.glance()
        chosen, rejected = model.standardise_shape(batch.chosen), model.standardise_shape(batch.rejected)
        count = chosen.shape[0] * self.draws
        t = sample_times(count, mean=self.times.mean, std=self.times.std, generator=generator)
        noise = torch.randn((count, *chosen.shape[1:]), generator=generator)
        layout = torch.randn(count, LAYOUT_DIM, generator=generator)
        errors = _errors(model, batch, chosen, rejected, noise, layout, t)
        with torch.no_grad():
            frozen = _errors(self.reference, batch, chosen, rejected, noise, layout, t)
        preference = flow_dpo_loss(errors[0], errors[1], frozen[0], frozen[1], beta=self.beta).mean()
        return preference + self.anchor * errors[0].mean(), {
            "preference": preference.item(),
            "chosen_rise": (errors[0] - frozen[0]).mean().item(),
            "rejected_rise": (errors[1] - frozen[1]).mean().item(),
            "implicit_accuracy": implicit_accuracy(errors[0], errors[1], frozen[0], frozen[1]).item(),
        }


def _errors(
    model: GeometryModel,
    batch: PreferenceBatch,
    chosen: Tensor,
    rejected: Tensor,
    noise: Tensor,
    layout: Tensor,
    t: Tensor,
) -> tuple[Tensor, Tensor]:
    """Errors of chosen and rejected (B each) in one forward: same condition, same noise, same t (a multiple of B)."""
    views = batch.condition
    draws = len(t) // len(chosen)
    tokens = model.encode(views.crop, views.full, views.box).repeat(2 * draws, 1, 1)
    data = torch.cat([chosen.repeat(draws, 1, 1, 1, 1), rejected.repeat(draws, 1, 1, 1, 1)])
    both, times = noise.repeat(2, 1, 1, 1, 1), t.repeat(2)
    predicted, _ = model(interpolate(both, data, times), layout.repeat(2, 1), times, tokens)
    errors = shape_error(predicted, true_velocity(both, data)).unflatten(0, (2, draws, -1)).mean(dim=1)
    return errors[0], errors[1]
