"""Trains the occupancy autoencoder on fresh procedural objects, every batch new, repeatable by seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modelzoo.presets import StructurePreset
from modelzoo.vae.sparse_structure import SparseStructureVAE
from training.configs import RunConfig
from training.data.objects import World, make_object, object_occupancy
from training.losses.autoencoder import kl_loss, occupancy_loss
from training.trainer import LoopResult, Progress, TrainingLoop

HELD_OUT_STREAM = 900_000  # streams from here on are never trained on
SHIFTED_SHARE = 0.3  # of the objects
KL_WEIGHT = 1e-3


@dataclass(frozen=True, kw_only=True)
class ObjectGrids:
    """Fresh objects as solid occupancies: those of a step follow from stream and step."""

    stream: int
    resolution: int
    batch_size: int

    def batch(self, step: int) -> Tensor:
        """B x R x R x R bool."""
        return object_grids(
            stream=self.stream,
            start=step * self.batch_size,
            count=self.batch_size,
            resolution=self.resolution,
            shifted_share=SHIFTED_SHARE,
        )


class OccupancyObjective:
    """What the decoder makes of a latent drawn from the posterior, and how far that is from the unit normal."""

    def loss(
        self, model: SparseStructureVAE, batch: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss and what to log."""
        mean, log_variance = model.encode(batch)
        latent = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
        occupancy, kl = occupancy_loss(model.decode(latent), batch), kl_loss(mean, log_variance)
        return occupancy + KL_WEIGHT * kl, {"occupancy": occupancy.item(), "kl": kl.item()}


def object_grids(*, stream: int, start: int, count: int, resolution: int, shifted_share: float) -> Tensor:
    """``count`` solid occupancies (B x R x R x R bool) of objects ``start`` ... of a stream."""
    grids = []
    for index in range(start, start + count):
        rng = np.random.default_rng([stream, index])
        world: World = "shifted" if rng.random() < shifted_share else "rendered"
        item = make_object(rng, world=world, quarter_turns=int(rng.integers(0, 4)))
        grids.append(object_occupancy(item, resolution=resolution))
    return torch.from_numpy(np.stack(grids))


def train_autoencoder(
    config: RunConfig, preset: StructurePreset, folder: Path, *, on_progress: Progress | None = None
) -> tuple[SparseStructureVAE, LoopResult]:
    """Train from scratch, or go on in ``folder``; the held-out overlap is measured by ``autoencoder_iou``."""
    torch.manual_seed(config.seed)
    loop = TrainingLoop(
        config=config,
        model=SparseStructureVAE(preset),
        objective=OccupancyObjective(),
        source=ObjectGrids(
            stream=config.seed, resolution=preset.resolution, batch_size=config.micro_batch_size
        ),
        folder=folder,
        on_progress=on_progress,
    )
    result = loop.run()
    return loop.average, result


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
