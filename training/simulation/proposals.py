"""Candidates of many targets at once: drawn in batches that cross targets, kept packed, their quality measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modelzoo.models.geometry import LAYOUT_DIM, GeometryModel
from modelzoo.registry import Models
from modelzoo.samplers import FlowSettings
from modelzoo.samplers.geometry import draw_geometry
from training.data.batches import ConditionBatch
from training.metrics.overlap import volume_iou
from training.simulation.targets import SimulatedTarget

SETTINGS = FlowSettings(steps=8, rescale_t=4.0)
ROWS = 16  # of one forward: more rows are no faster on a CPU and need more memory


@dataclass(frozen=True, kw_only=True)
class Proposals:
    """N candidates for each of T targets. Occupancies are solid and packed to bits; latents and layouts are raw."""

    packed: NDArray[np.uint8]  # T x N x R^3 / 8
    resolution: int
    latents: NDArray[np.float32]  # T x N x C x D x D x D
    layouts: NDArray[np.float32]  # T x N x 13, in each target's normalised frame
    quality: NDArray[np.float64]  # T x N, volume IoU with the hidden truth

    def __post_init__(self) -> None:
        shape = self.quality.shape
        if not self.packed.shape[:2] == self.latents.shape[:2] == self.layouts.shape[:2] == shape:
            raise ValueError(f"proposals of {shape} candidates have other numbers of grids or latents")

    @property
    def num_targets(self) -> int:
        return int(self.quality.shape[0])

    @property
    def num_candidates(self) -> int:
        return int(self.quality.shape[1])

    def grids(self, target: int) -> NDArray[np.bool_]:
        """The N solid occupancies (N x R x R x R) of a target."""
        side = self.resolution
        bits = np.unpackbits(self.packed[target], axis=-1, count=side**3)
        return bits.view(np.bool_).reshape(-1, side, side, side)

    def chosen(self, columns: NDArray[np.int64]) -> Proposals:
        """For each target the candidates in its row of ``columns`` (T x K), in that order."""
        if columns.ndim != 2 or len(columns) != self.num_targets:
            raise ValueError(f"columns must have a row for each of {self.num_targets} targets")
        rows = np.arange(self.num_targets)[:, None]
        return Proposals(
            packed=self.packed[rows, columns],
            resolution=self.resolution,
            latents=self.latents[rows, columns],
            layouts=self.layouts[rows, columns],
            quality=self.quality[rows, columns],
        )


@torch.no_grad()
def propose(
    models: Models,
    targets: Sequence[SimulatedTarget],
    *,
    num: int = 8,
    seed: int,
    settings: FlowSettings = SETTINGS,
) -> Proposals:
    """``num`` candidates for each target. A candidate's noise follows from ``seed``, its target's name and its number.

    Raises ValueError without targets, and when a candidate's numbers are not finite.
    """
    if not targets or num < 1:
        raise ValueError("proposals need at least one target and one candidate")
    tokens = encoded(models.geometry, condition_batch(targets))
    shape_noise, layout_noise = _noise(targets, models.geometry, num=num, seed=seed)
    packed, latents, layouts = [], [], []
    owners = torch.arange(len(targets)).repeat_interleave(num)
    for rows in torch.split(torch.arange(len(owners)), ROWS):
        drawn = draw_geometry(
            models.geometry,
            tokens[owners[rows]],
            noise_shape=shape_noise[rows],
            noise_layout=layout_noise[rows],
            settings=settings,
        )
        if not bool(torch.isfinite(drawn.shape).all() and torch.isfinite(drawn.layout).all()):
            raise ValueError("a proposal's numbers are not finite: this checkpoint cannot be simulated with")
        grids = (models.ss_vae.decode(drawn.shape) > 0).flatten(1).numpy()
        packed.append(np.packbits(grids, axis=-1))
        latents.append(drawn.shape.numpy())
        layouts.append(drawn.layout.numpy())
    side = models.geometry.preset.resolution
    bits = np.concatenate(packed).reshape(len(targets), num, -1)
    return Proposals(
        packed=bits,
        resolution=side,
        latents=np.concatenate(latents).reshape(len(targets), num, *models.geometry.preset.latent_shape),
        layouts=np.concatenate(layouts).reshape(len(targets), num, LAYOUT_DIM),
        quality=_quality(bits, targets, side),
    )


def condition_batch(targets: Sequence[SimulatedTarget]) -> ConditionBatch:
    """What the model sees of the targets."""
    return ConditionBatch(
        crop=torch.from_numpy(np.stack([target.condition.crop for target in targets])),
        full=torch.from_numpy(np.stack([target.condition.full for target in targets])),
        box=torch.from_numpy(np.stack([target.condition.box for target in targets])),
    )


@torch.no_grad()
def encoded(model: GeometryModel, views: ConditionBatch) -> Tensor:
    """Condition tokens (T x L x X), a few targets at a time."""
    parts = zip(*(torch.split(part, ROWS) for part in (views.crop, views.full, views.box)), strict=True)
    return torch.cat([model.encode(crop, full, box) for crop, full, box in parts])


def _noise(
    targets: Sequence[SimulatedTarget], model: GeometryModel, *, num: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Shape noise (T N x C x D^3) and layout noise (T N x 13), one generator a target, candidate by candidate."""
    shapes, layouts, shape = [], [], model.preset.latent_shape
    for target in targets:
        own = np.random.SeedSequence([seed, *target.name.encode()]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(own) >> 1)
        for _ in range(num):
            shapes.append(torch.randn(shape, generator=generator))
            layouts.append(torch.randn(LAYOUT_DIM, generator=generator))
    return torch.stack(shapes), torch.stack(layouts)


def _quality(packed: NDArray[np.uint8], targets: Sequence[SimulatedTarget], side: int) -> NDArray[np.float64]:
    rows = []
    for bits, target in zip(packed, targets, strict=True):
        grids = np.unpackbits(bits, axis=-1, count=side**3).view(np.bool_).reshape(-1, side, side, side)
        rows.append(volume_iou(torch.from_numpy(grids), torch.from_numpy(target.truth)).numpy())
    return np.stack(rows).astype(np.float64)
