"""Texture and refinement: a sparse flow model over active cells that denoises structured latents, given the photograph.

Every cell is told where it falls in the photograph: colours, mask and depth gap at its projected points. The visible
side therefore takes its colours from the picture and only the hidden side is invented.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelzoo.flow import euler_sample, precondition
from modelzoo.models.cells import FACES, CellBatch, CellConv, pad_parents, pool_to_parents

FREQUENCIES = 32


@dataclass(frozen=True, kw_only=True)
class TextureConfig:
    """Sizes of the texture flow model and of the view it reads."""

    channels: int = 8  # of the structured latent
    voxels_per_cell: int = 64
    fine_width: int = 64
    width: int = 128
    heads: int = 4
    blocks: int = 4
    stem_width: int = 32
    view: int = 128  # pixels per side of the crop
    probes: int = 8  # projected points per cell


@dataclass(frozen=True, kw_only=True)
class TextureCondition:
    """What the model is told, for B objects with N cells in all.

    ``view`` (B, 4, S, S): the crop's RGB in [-1, 1] and mask. ``probe_pixels`` (N, P, 2): where each cell's points
    fall in the crop, in [-1, 1] of it. ``probe_depth`` (N, P, 2): how far the point lies behind the nearest cell on
    its ray, and behind the point map, in cells, clamped to [-4, 4] and divided by 4. ``known_depth`` (B,): 1 where
    there is a point map. ``field`` (N, V): the coarse field in [-1, 1]. ``view_direction`` (B, 3): the camera's
    viewing direction in the object frame.
    """

    view: Tensor
    probe_pixels: Tensor
    probe_depth: Tensor
    known_depth: Tensor
    field: Tensor
    view_direction: Tensor


@dataclass(frozen=True, kw_only=True)
class EncodedTexture:
    """The part of the work that does not depend on t: cell features, image tokens and the cells at half resolution."""

    features: Tensor  # (N, fine_width)
    tokens: Tensor  # (B, T, width)


class TextureFlow(nn.Module):
    """Predicts ``velocity`` = data - noise of standardised structured latents; t = 0 is noise, t = 1 is data."""

    def __init__(self, config: TextureConfig) -> None:
        super().__init__()
        self.config = config
        fine, width, stem = config.fine_width, config.width, config.stem_width
        self.stem = nn.Sequential(
            nn.Conv2d(4, stem, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(stem, stem, 3, padding=1),
        )
        self.deep = nn.Sequential(
            nn.SiLU(),
            nn.Conv2d(stem, width // 2, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width // 2, width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
        )
        self.token_position = nn.Parameter(torch.randn(1, (config.view // 16) ** 2, width) * 0.02)
        inputs = config.voxels_per_cell + config.probes * 6 + stem + 1 + 3 + 18
        self.cell_features = nn.Sequential(nn.Linear(inputs, 2 * fine), nn.SiLU(), nn.Linear(2 * fine, fine))
        self.unconditional = nn.Parameter(torch.zeros(1, 1, width))
        self.from_latent = nn.Linear(config.channels, fine)
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))
        self.enter = nn.ModuleList([_FineBlock(fine, width), _FineBlock(fine, width)])
        self.down = nn.Linear(fine, width)
        self.parent_position = nn.Linear(18, width)
        self.trunk = nn.ModuleList([_CoarseBlock(width, config.heads) for _ in range(config.blocks)])
        self.up = nn.Linear(width, fine)
        self.leave = nn.ModuleList([_FineBlock(fine, width), _FineBlock(fine, width)])
        self.norm = nn.LayerNorm(fine)
        self.to_velocity = nn.Linear(fine, config.channels)
        nn.init.zeros_(self.to_velocity.weight)
        nn.init.zeros_(self.to_velocity.bias)

    def encode(self, condition: TextureCondition, cells: CellBatch) -> EncodedTexture:
        """Everything the photograph says, once per object; reused by all steps."""
        n, probes = len(cells.coords), self.config.probes
        assert condition.probe_pixels.shape == (n, probes, 2), condition.probe_pixels.shape
        assert condition.view.shape == (cells.size, 4, self.config.view, self.config.view), (
            condition.view.shape
        )
        shallow = self.stem(condition.view)
        tokens = self.deep(shallow).flatten(2).transpose(1, 2) + self.token_position
        pixels = condition.probe_pixels
        inside = (pixels.abs() <= 1).all(dim=-1, keepdim=True).to(pixels.dtype)
        colours = _sample(condition.view, pixels, cells) * inside
        features = _sample(shallow, pixels.mean(dim=1, keepdim=True), cells)[:, 0]
        values = torch.cat(
            [
                condition.field,
                colours.flatten(1),
                condition.probe_depth.flatten(1),
                features,
                condition.known_depth[cells.batch][:, None],
                condition.view_direction[cells.batch],
                _position_features(cells.coords, cells.grid),
            ],
            dim=-1,
        )
        return EncodedTexture(features=self.cell_features(values), tokens=tokens)

    def without_photograph(self, encoded: EncodedTexture, drop: Tensor) -> EncodedTexture:
        """The encoding with the image tokens of the objects in ``drop`` (B,) replaced, for guidance."""
        tokens = torch.where(drop[:, None, None], self.unconditional, encoded.tokens)
        return EncodedTexture(features=encoded.features, tokens=tokens)

    def forward(self, x_t: Tensor, t: Tensor, encoded: EncodedTexture, cells: CellBatch) -> Tensor:
        """``x_t`` (N, channels) at times ``t`` (B,) to velocities (N, channels)."""
        assert x_t.shape == (len(cells.coords), self.config.channels) and t.shape == (cells.size,), (
            x_t.shape,
            t.shape,
        )
        scale_in, skip, scale_out = (scale[cells.batch] for scale in precondition(t, 2))
        time = F.silu(self.time(_time_features(t)))
        values = self.from_latent(x_t * scale_in) + encoded.features
        for block in self.enter:
            values = block(values, time, cells)
        parents = self.down(pool_to_parents(cells, values))
        parents = parents + self.parent_position(_position_features(cells.parent_coords, cells.grid // 2))
        tokens, mask = pad_parents(cells, parents)
        for block in self.trunk:
            tokens = block(tokens, mask, time, encoded.tokens)
        values = values + self.up(tokens[cells.parent_batch, cells.parent_slot])[cells.parent]
        for block in self.leave:
            values = block(values, time, cells)
        velocity: Tensor = skip * x_t + scale_out * self.to_velocity(self.norm(values))
        return velocity


def sample_texture(
    model: TextureFlow,
    condition: TextureCondition,
    cells: CellBatch,
    *,
    noise: Tensor,
    steps: int,
    rescale_t: float,
    cfg_strength: float = 0.0,
) -> Tensor:
    """Standardised latents (N, channels) of all objects in one batch, from ``noise`` (N, channels)."""
    encoded = model.encode(condition, cells)
    blind = model.without_photograph(encoded, torch.ones(cells.size, dtype=torch.bool, device=noise.device))

    def velocity(x_t: Tensor, t: float, conditioned: bool) -> Tensor:
        times = torch.full((cells.size,), t, device=x_t.device)
        found: Tensor = model(x_t, times, encoded if conditioned else blind, cells)
        return found

    return euler_sample(velocity, noise, steps=steps, rescale_t=rescale_t, cfg_strength=cfg_strength)


class _FineBlock(nn.Module):
    """Sparse convolution and a per-cell layer, both shifted and scaled by the time."""

    def __init__(self, fine: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(fine, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * fine)
        self.conv = CellConv(fine, fine, reach=FACES)
        self.out = nn.Sequential(nn.SiLU(), nn.Linear(fine, 2 * fine), nn.SiLU(), nn.Linear(2 * fine, fine))

    def forward(self, values: Tensor, time: Tensor, cells: CellBatch) -> Tensor:
        shift, scale = self.modulation(time)[cells.batch].chunk(2, dim=-1)
        hidden = self.norm(values) * (1 + scale) + shift
        change: Tensor = self.out(self.conv(hidden, cells))
        return values + change


class _CoarseBlock(nn.Module):
    """Transformer block over the parents: self-attention and MLP under adaLN, cross-attention to the photograph."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 6 * width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )
        self.q_norm = nn.RMSNorm(width // heads)
        self.k_norm = nn.RMSNorm(width // heads)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        nn.init.zeros_(self.cross_out.weight)
        nn.init.zeros_(self.cross_out.bias)

    def forward(self, tokens: Tensor, mask: Tensor, time: Tensor, image: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(time)[:, None].chunk(6, dim=-1)
        q, k, v = self.qkv(self.norm1(tokens) * (1 + scale1) + shift1).chunk(3, dim=-1)
        q, k = self.q_norm(self._split(q)), self.k_norm(self._split(k))
        attended = F.scaled_dot_product_attention(q, k, self._split(v), attn_mask=mask[:, None, None])
        tokens = tokens + gate1 * self.out(attended.transpose(1, 2).flatten(2))
        k, v = self.key_value(image).chunk(2, dim=-1)
        seen = F.scaled_dot_product_attention(
            self._split(self.query(self.norm2(tokens))), self._split(k), self._split(v)
        )
        tokens = tokens + self.cross_out(seen.transpose(1, 2).flatten(2))
        moved: Tensor = tokens + gate2 * self.mlp(self.norm3(tokens) * (1 + scale2) + shift2)
        return moved

    def _split(self, values: Tensor) -> Tensor:
        split: Tensor = values.reshape(*values.shape[:2], self.heads, -1)
        return split.transpose(1, 2)


def _sample(image: Tensor, pixels: Tensor, cells: CellBatch) -> Tensor:
    """Bilinear values (N, P, C) of each object's image (B, C, H, W) at its cells' pixels (N, P, 2) in [-1, 1]."""
    n, probes = pixels.shape[:2]
    slot = torch.arange(n, device=pixels.device)
    counts = torch.bincount(cells.batch, minlength=cells.size)
    slot = slot - (torch.cumsum(counts, 0) - counts)[cells.batch]
    padded = pixels.new_zeros(cells.size, int(counts.max()), probes, 2)
    padded[cells.batch, slot] = pixels
    sampled = F.grid_sample(image, padded, mode="bilinear", padding_mode="zeros", align_corners=False)
    return sampled[cells.batch, :, slot].transpose(1, 2)


def _position_features(coords: Tensor, grid: int) -> Tensor:
    """Sines and cosines of the cell's centre at three octaves, (N, 18)."""
    centre = (coords.to(torch.float32) + 0.5) / grid
    angles = torch.cat([centre * math.pi * octave for octave in (1, 2, 4)], dim=-1)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _time_features(t: Tensor) -> Tensor:
    frequency = torch.exp(torch.linspace(0, math.log(1000.0), FREQUENCIES, device=t.device))
    angles = t[:, None] * frequency
    return torch.cat([angles.sin(), angles.cos()], dim=-1)
