"""Objectives of the texture flow: flow matching with decoded colours (pre-training and SFT), and flow-DPO of pairs."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from modelzoo.flow import interpolate, sample_times, true_velocity
from modelzoo.models.cells import CellBatch
from modelzoo.models.texture_flow import TextureFlow
from modelzoo.vae.structured_latent import StructuredLatentVAE
from training.data.texture_batches import TextureBatch
from training.data.texture_manifests import TextureCandidates, TexturePreferenceBatch
from training.losses.preference import flow_dpo_loss, implicit_accuracy
from training.losses.texture import cell_error, colour_error
from training.objectives.flow_matching import NEAR_NOISE, TimeSampler
from training.objectives.frozen import FrozenWeights


@dataclass(frozen=True, kw_only=True)
class TextureObjective:
    """Mean squared velocity error, and the colour error near the surface of what the frozen VAE decodes.

    The latent's own error counts shape and colour as the VAE happens to mix them; a person sees the colours.
    """

    vae: StructuredLatentVAE
    times: TimeSampler = field(default_factory=TimeSampler)
    condition_dropout: float = 0.1
    colour_weight: float = 2.0

    def loss(
        self, model: TextureFlow, batch: TextureBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss and what to log; every random number comes from ``generator``."""
        size, owner = batch.cells.size, batch.cells.batch
        t = sample_times(size, mean=self.times.mean, std=self.times.std, generator=generator)
        noise = torch.randn(batch.latent.shape, generator=generator)
        drop = torch.rand(size, generator=generator) < self.condition_dropout
        encoded = model.without_photograph(model.encode(batch.condition, batch.cells), drop)
        x_t = interpolate(noise, batch.latent, t[owner])
        velocity = model(x_t, t, encoded, batch.cells)
        errors = (velocity - true_velocity(noise, batch.latent)).square().mean(dim=1)
        reached = x_t + (1 - t[owner, None]) * velocity
        decoded, _ = self.vae.decode(reached, batch.cells)
        colour = colour_error(decoded.colour, batch.colour, batch.field)
        loss = errors.mean() + self.colour_weight * colour
        metrics = {"latent": errors.mean().item(), "colour": colour.item()}
        near = ((t < NEAR_NOISE) & ~drop)[owner]
        if near.any():
            metrics["latent_near_noise"] = errors[near].mean().item()
        return loss, metrics


@dataclass(frozen=True, kw_only=True)
class TexturePreferenceObjective:
    """Flow-DPO of structured latents against ``reference``, which is frozen and named by its hash.

    The two candidates of a pair may have different shapes, so each counts by its mean error; they share t, and noise
    wherever their cells coincide. ``anchor`` adds that many times the chosen one's own error.
    """

    reference: TextureFlow
    beta: float = 100.0
    anchor: float = 0.0
    times: TimeSampler = field(default_factory=TimeSampler)
    frozen: FrozenWeights = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "frozen", FrozenWeights(self.reference, name="the texture reference"))

    def loss(
        self, model: TextureFlow, batch: TexturePreferenceBatch, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss and what to log: ``chosen_rise`` is the stop rule's number. Raises ReferenceChanged."""
        self.frozen.glance()
        cells = batch.chosen.cells
        t = sample_times(cells.size, mean=self.times.mean, std=self.times.std, generator=generator)
        shape = (cells.size, *[cells.grid] * 3, batch.chosen.latent.shape[1])
        noise = torch.randn(shape, generator=generator)
        chosen, rejected = (_errors(model, one, noise, t) for one in (batch.chosen, batch.rejected))
        with torch.no_grad():
            before = [_errors(self.reference, one, noise, t) for one in (batch.chosen, batch.rejected)]
        preference = flow_dpo_loss(chosen, rejected, *before, beta=self.beta).mean()
        return preference + self.anchor * chosen.mean(), {
            "preference": preference.item(),
            "chosen_rise": (chosen - before[0]).mean().item(),
            "rejected_rise": (rejected - before[1]).mean().item(),
            "implicit_accuracy": implicit_accuracy(chosen, rejected, *before).item(),
        }


def noise_at(noise: Tensor, cells: CellBatch) -> Tensor:
    """Each cell's own noise (N, C) from whole grids (B, G, G, G, C): a cell's noise follows from its place."""
    assert noise.shape[:4] == (cells.size, *[cells.grid] * 3), noise.shape
    return noise[(cells.batch, *cells.coords.unbind(dim=1))]


def _errors(model: TextureFlow, one: TextureCandidates, noise: Tensor, t: Tensor) -> Tensor:
    own = noise_at(noise, one.cells)
    encoded = model.encode(one.condition, one.cells)
    predicted = model(interpolate(own, one.latent, t[one.cells.batch]), t, encoded, one.cells)
    return cell_error(predicted, true_velocity(own, one.latent), one.cells)
