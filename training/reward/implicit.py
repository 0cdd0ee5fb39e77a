"""The reward that a preference-trained policy implies: how much better than its reference it explains a candidate."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist

import torch
from torch import Tensor

from modelzoo.flow import interpolate, true_velocity
from modelzoo.models.geometry import LAYOUT_DIM, ConditionMemory, GeometryModel
from training.data.batches import ConditionBatch
from training.losses.flow_matching import shape_error
from training.objectives.flow_matching import TimeSampler

ROWS = 32  # of one forward


@dataclass(frozen=True, kw_only=True)
class ImplicitReward:
    """beta * (error of the reference - error of the policy) of a shape latent, the mean over ``draws`` of (t, noise).

    The same draws serve every candidate, so that their noise cancels between candidates (Wallace et al. 2023, equation
    11, for rectified flow; sam3d facts 5). The times are the sampler's quantiles, not samples of it.
    """

    policy: GeometryModel
    reference: GeometryModel
    beta: float = 100.0
    draws: int = 8
    seed: int = 0
    times: TimeSampler = field(default_factory=TimeSampler)

    def __post_init__(self) -> None:
        if self.policy.preset != self.reference.preset:
            raise ValueError("policy and reference are of different presets")
        if self.draws < 1:
            raise ValueError("an implicit reward needs at least one draw")

    @torch.no_grad()
    def scores(self, views: ConditionBatch, latents: Tensor) -> Tensor:
        """T x N rewards of raw shape latents (T x N x C x D^3) of the targets that ``views`` (T) show."""
        count, num = latents.shape[:2]
        assert len(views) == count, (len(views), latents.shape)
        rows = []
        for row in range(count):
            seen = (views.crop[row, None], views.full[row, None], views.box[row, None])
            policy = self._errors(self.policy, latents[row], self.policy.encode(*seen))
            reference = self._errors(self.reference, latents[row], self.reference.encode(*seen))
            rows.append(self.beta * (reference - policy))
        return torch.stack(rows) if rows else latents.new_zeros(0, num)

    def drawn(self, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """The times (K) and noises (K x shape) that every candidate meets."""
        normal = NormalDist(self.times.mean, self.times.std)
        levels = [normal.inv_cdf((k + 0.5) / self.draws) for k in range(self.draws)]
        generator = torch.Generator().manual_seed(self.seed)
        return torch.sigmoid(torch.tensor(levels)), torch.randn((self.draws, *shape), generator=generator)

    def _errors(self, model: GeometryModel, latents: Tensor, tokens: Tensor) -> Tensor:
        """N mean velocity errors."""
        data, memory = model.standardise_shape(latents), model.remember(tokens)
        times, noises = self.drawn(data.shape[1:])
        owners = torch.arange(len(data)).repeat_interleave(self.draws)
        draws = torch.arange(self.draws).repeat(len(data))
        errors = [
            _error(model, data[owners[part]], noises[draws[part]], times[draws[part]], memory)
            for part in torch.split(torch.arange(len(owners)), ROWS)
        ]
        return torch.cat(errors).view(len(data), self.draws).mean(dim=1)


def _error(model: GeometryModel, data: Tensor, noise: Tensor, t: Tensor, memory: ConditionMemory) -> Tensor:
    """The shape stream does not see the layout, so that any will do."""
    predicted, _ = model(interpolate(noise, data, t), data.new_zeros(len(data), LAYOUT_DIM), t, memory)
    return shape_error(predicted, true_velocity(noise, data))
