"""Batches for the texture flow: a sliding window of samples, each used a few times with other poses and depths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from modelzoo.models.cells import CellBatch, batch_cells, coarse_features
from modelzoo.models.texture_flow import TextureCondition
from modelzoo.texture_conditioning import Placement, texture_condition
from modelzoo.vae.structured_latent import FIELD_CLAMP, CellContent, StructuredLatentVAE
from training.data.textured import TexturedSample, draw_textured_sample, jittered_pose

DROP_DEPTH = 0.2
POSE_ERRORS = (0.0, 0.5, 1.0, 1.5)  # times what the layout model makes
DEPTH_ERROR = 0.01  # relative, one factor a point map


@dataclass(frozen=True, kw_only=True)
class PooledSample:
    """A sample with everything that does not change from use to use already worked out, packed small."""

    sample: TexturedSample
    field: NDArray[np.float16]  # (N, V), clamped
    colour: NDArray[np.uint8]  # (N, V, 3)
    features: NDArray[np.float16]  # (N, V), the coarse shape as the model sees it
    latent: Tensor  # (N, C), standardised


@dataclass(frozen=True, kw_only=True)
class TextureBatch:
    """Several samples, packed: what the model is told, the latents it should make, and what these decode to."""

    cells: CellBatch
    condition: TextureCondition
    latent: Tensor
    field: Tensor
    colour: Tensor


@dataclass(frozen=True, kw_only=True)
class WindowSize:
    """How many samples a batch chooses from, how many there are before the first step, and steps a new one lasts."""

    most: int = 1000
    first: int = 240
    steps_per_sample: int = 2


class TextureSource:
    """The batch of a step follows from seed and step alone; a resumed run draws its window of samples again."""

    def __init__(
        self,
        vae: StructuredLatentVAE,
        *,
        view: int,
        stream: int,
        batch_size: int,
        window: WindowSize,
        seed: int,
    ) -> None:
        self.vae, self.view, self.stream = vae, view, stream
        self.batch_size, self.window, self.seed = batch_size, window, seed
        self._drawn: dict[int, PooledSample | None] = {}

    def batch(self, step: int) -> TextureBatch:
        """Poses and point maps get errors of this step's own."""
        rng = np.random.default_rng([self.seed, step])
        newest = self.window.first + step // self.window.steps_per_sample
        indices = range(max(0, newest - self.window.most), newest)
        self._drawn = {index: self._sample(index) for index in indices}
        pool = [one for one in self._drawn.values() if one is not None]
        chosen = [pool[int(at)] for at in rng.integers(0, len(pool), self.batch_size)]
        return collate(chosen, self.vae, rng, pose_error=1.0)

    def _sample(self, index: int) -> PooledSample | None:
        if index in self._drawn:
            return self._drawn[index]
        drawn = draw_textured_sample(
            stream=self.stream, index=index, size=self.view, grid=self.vae.preset.grid
        )
        return None if drawn is None else pooled(drawn, self.vae)


def held_out_samples(vae: StructuredLatentVAE, *, view: int, stream: int, count: int) -> list[PooledSample]:
    """The first ``count`` samples of a stream that is not trained on."""
    found: list[PooledSample] = []
    index = 0
    while len(found) < count:
        drawn = draw_textured_sample(stream=stream, index=index, size=view, grid=vae.preset.grid)
        index += 1
        if drawn is not None:
            found.append(pooled(drawn, vae))
    return found


@torch.no_grad()
def pooled(sample: TexturedSample, vae: StructuredLatentVAE) -> PooledSample:
    """Encode the true cells and look up the coarse shape once."""
    cells = batch_cells([torch.from_numpy(sample.cells.coords)], grid=vae.preset.grid)
    field = torch.from_numpy(sample.cells.field).clamp(-FIELD_CLAMP, FIELD_CLAMP)
    colour = torch.from_numpy(sample.cells.colour)
    latent = vae.standardise(vae.encode(CellContent(field=field, colour=colour), cells)[0])
    features = coarse_features(torch.from_numpy(sample.occupancy.astype(np.float32))[None], cells)
    return PooledSample(
        sample=sample.without_volumes(),
        field=field.numpy().astype(np.float16),
        colour=(sample.cells.colour * 255).round().astype(np.uint8),
        features=features.numpy().astype(np.float16),
        latent=latent,
    )


def collate(
    items: list[PooledSample], vae: StructuredLatentVAE, rng: Generator, *, pose_error: float
) -> TextureBatch:
    """Pack samples; poses and point maps get errors, some point maps are withheld."""
    samples = [item.sample for item in items]
    cells = batch_cells([torch.from_numpy(sample.cells.coords) for sample in samples], grid=vae.preset.grid)
    poses = [
        jittered_pose(sample, rng, amount=pose_error * float(rng.choice(POSE_ERRORS))) for sample in samples
    ]
    rgb = np.stack([sample.rgb for sample in samples]).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
    mask = np.stack([sample.mask for sample in samples])[:, None].astype(np.float32)
    with torch.no_grad():
        condition = texture_condition(
            view=torch.from_numpy(np.concatenate([rgb, mask], axis=1)),
            depth=torch.from_numpy(np.stack([_depth(sample, rng) for sample in samples])),
            camera=torch.from_numpy(np.stack([sample.camera for sample in samples])),
            placement=Placement(
                rotation=torch.from_numpy(np.stack([pose[0] for pose in poses])),
                translation=torch.from_numpy(np.stack([pose[1] for pose in poses])),
                scale=torch.tensor([pose[2] for pose in poses], dtype=torch.float32),
            ),
            field=_joined([item.features for item in items]),
            cells=cells,
            vae=vae,
        )
    return TextureBatch(
        cells=cells,
        condition=condition,
        latent=torch.cat([item.latent for item in items]),
        field=_joined([item.field for item in items]),
        colour=_joined([item.colour for item in items]) / 255,
    )


def _depth(sample: TexturedSample, rng: Generator) -> NDArray[np.float32]:
    if rng.random() < DROP_DEPTH:
        return np.full_like(sample.depth, np.nan)
    return np.asarray(sample.depth * np.float32(np.exp(rng.normal(0, DEPTH_ERROR))), dtype=np.float32)


def _joined(arrays: list[NDArray[np.generic]]) -> Tensor:
    return torch.from_numpy(np.concatenate(arrays)).float()
