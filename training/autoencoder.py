"""Trains the occupancy autoencoder on fresh procedural objects, every batch new, repeatable by seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from modelzoo.presets import preset_named
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.data.objects import make_object, object_occupancy
from training.losses.autoencoder import kl_loss, occupancy_loss

HELD_OUT_STREAM = 900_000  # streams from here on are never trained on


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """How long and how fast; the learning rate warms up for 30 steps, then follows a cosine to 2 %."""

    preset: str = "tiny"
    steps: int = 1500
    batch_size: int = 8
    learning_rate: float = 2e-3
    kl_weight: float = 1e-3
    shifted_share: float = 0.3
    seed: int = 0


def object_grids(*, stream: int, start: int, count: int, resolution: int, shifted_share: float) -> Tensor:
    """``count`` solid occupancies (B x R x R x R bool) of objects ``start`` ... of a stream."""
    grids = []
    for index in range(start, start + count):
        rng = np.random.default_rng([stream, index])
        shifted = bool(rng.random() < shifted_share)
        item = make_object(rng, shifted=shifted, quarter_turns=int(rng.integers(0, 4)))
        grids.append(object_occupancy(item, resolution=resolution))
    return torch.from_numpy(np.stack(grids))


def train_autoencoder(
    config: AutoencoderConfig, *, on_progress: Callable[[int, int, dict[str, float]], None] | None = None
) -> SparseStructureVAE:
    """Train from scratch; the held-out intersection over union is measured by ``autoencoder_iou``."""
    torch.manual_seed(config.seed)
    preset = preset_named(config.preset).geometry.structure
    model = SparseStructureVAE(preset)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=0.01)
    generator = torch.Generator().manual_seed(config.seed)
    for step in range(config.steps):
        share = min(1.0, (step + 1) / 30) * (0.02 + 0.49 * (1 + math.cos(math.pi * step / config.steps)))
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * share
        grids = object_grids(
            stream=config.seed,
            start=step * config.batch_size,
            count=config.batch_size,
            resolution=preset.resolution,
            shifted_share=config.shifted_share,
        )
        mean, log_variance = model.encode(grids)
        latent = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
        loss = occupancy_loss(model.decode(latent), grids) + config.kl_weight * kl_loss(mean, log_variance)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the autoencoder's loss is {loss.item()} at step {step}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if on_progress is not None:
            on_progress(step + 1, config.steps, {"loss": loss.item()})
    return model.eval()


@torch.no_grad()
def autoencoder_iou(model: SparseStructureVAE, *, count: int = 32, shifted_share: float = 0.0) -> Tensor:
    """Held-out intersection over union of each of ``count`` objects (solid, at the preset's resolution)."""
    grids = object_grids(
        stream=HELD_OUT_STREAM,
        start=0,
        count=count,
        resolution=model.preset.resolution,
        shifted_share=shifted_share,
    )
    guess = torch.cat([model.decode(model.encode(chunk)[0]) > 0 for chunk in torch.split(grids, 8)])
    both, either = (guess & grids).flatten(1).sum(1), (guess | grids).flatten(1).sum(1)
    return both.float() / either.clamp(min=1)


@torch.no_grad()
def latent_statistics(model: SparseStructureVAE, *, count: int = 512, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Per-channel mean and standard deviation (C x 1 x 1 x 1) of training latents."""
    grids = object_grids(
        stream=seed, start=1_000_000, count=count, resolution=model.preset.resolution, shifted_share=0.3
    )
    latents = torch.cat([model.encode(chunk)[0] for chunk in torch.split(grids, 16)])
    return latents.mean((0, 2, 3, 4)).view(-1, 1, 1, 1), latents.std((0, 2, 3, 4)).view(-1, 1, 1, 1)
