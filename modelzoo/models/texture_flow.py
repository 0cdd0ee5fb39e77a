"""Texture and refinement: a sparse flow model over active cells that denoises structured latents, given the photograph.

Residual blocks of sparse convolutions lead down to half the grid, a transformer over each object's cells works there,
and mirrored blocks lead back up (Xiang et al. 2024, SLatFlow). Where a preset has probes, every cell is also told what
it projects to, and the flow starts from a guess of the latent: the visible side takes its colours from the picture.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelzoo.encoders.condition import ConditionEncoder, Views
from modelzoo.flow import precondition
from modelzoo.models.attention import HeadNorm, Sequences, attend_packed, even_sequences, object_sequences
from modelzoo.models.cells import CUBE, FACES, CellBatch
from modelzoo.models.mixture import StepEmbedding
from modelzoo.models.positions import positions
from modelzoo.models.probes import ProbeEncoder, Probes
from modelzoo.models.sparse import CellConv, pool_to_parents, spread_to_children
from modelzoo.presets import StructuredLatentPreset, TexturePreset
from modelzoo.samplers import VelocityFn

NORM_EPS = 1e-6


@dataclass(frozen=True, kw_only=True)
class TextureCondition:
    """What the model is told: ``views`` for presets with a condition encoder, ``probes`` for those with probes."""

    views: Views | None = None
    probes: Probes | None = None


@dataclass(frozen=True, kw_only=True)
class EncodedTexture:
    """What does not depend on t. ``tokens`` (B, T, X) for cross-attention; with probes also ``features``
    (N, io_width) of each cell and ``prior`` (N, channels), the latent that the flow starts from."""

    tokens: Tensor
    features: Tensor | None = None
    prior: Tensor | None = None


class TextureFlow(nn.Module):
    """Predicts ``velocity`` = data - noise of standardised structured latents; t = 0 is noise, t = 1 is data."""

    def __init__(self, preset: TexturePreset, latent: StructuredLatentPreset) -> None:
        super().__init__()
        if preset.channels != latent.channels:
            raise ValueError(f"{preset.channels} channels for latents of {latent.channels}")
        self.preset = preset
        fine, width = preset.io_width, preset.width
        reach = CUBE if preset.io_reach == "cube" else FACES
        plain = preset.io_blocks - 1
        self.time = StepEmbedding(width, zero=False)
        self.from_latent = nn.Linear(preset.channels, fine)
        self.enter = nn.ModuleList([_ResidualBlock(fine, fine, width, reach) for _ in range(plain)])
        self.down = _ResidualBlock(fine, width, width, reach)
        self.blocks = nn.ModuleList([_TrunkBlock(preset) for _ in range(preset.depth)])
        self.up = _ResidualBlock(2 * width, fine, width, reach)
        self.leave = nn.ModuleList([_ResidualBlock(2 * fine, fine, width, reach) for _ in range(plain)])
        self.to_velocity = nn.Linear(fine, preset.channels)
        nn.init.zeros_(self.to_velocity.weight)
        nn.init.zeros_(self.to_velocity.bias)
        self.condition_encoder = None if preset.condition is None else ConditionEncoder(preset.condition)
        self.probe_encoder = ProbeEncoder(preset, latent) if preset.probes else None

    def encode(self, condition: TextureCondition, cells: CellBatch) -> EncodedTexture:
        """Everything the photograph says, once per object; reused by all steps. ValueError when a part is missing."""
        views, probes = condition.views, condition.probes
        if (self.condition_encoder is not None and views is None) or (self.probe_encoder and probes is None):
            raise ValueError("this preset needs " + ("views" if views is None else "probes"))
        features = prior = tokens = None
        if self.probe_encoder is not None and probes is not None:
            features, prior, tokens = self.probe_encoder(probes, cells)
        if self.condition_encoder is not None and views is not None:
            tokens, _ = self.condition_encoder(views)
        assert tokens is not None and tokens.shape[0] == cells.size
        return EncodedTexture(tokens=tokens, features=features, prior=prior)

    def without_photograph(self, encoded: EncodedTexture, drop: Tensor) -> EncodedTexture:
        """The encoding with the tokens of the objects in ``drop`` (B,) zeroed, for guidance."""
        return replace(encoded, tokens=encoded.tokens * (~drop)[:, None, None])

    def forward(self, x_t: Tensor, t: Tensor, encoded: EncodedTexture, cells: CellBatch) -> Tensor:
        """``x_t`` (N, channels) at times ``t`` (B,) to velocities (N, channels).

        With a prior the network flows what is left of the data after it: x_t - t prior, towards data - prior.
        """
        assert x_t.shape == (len(cells.coords), self.preset.channels), x_t.shape
        assert t.shape == (cells.size,), t.shape
        prior = torch.zeros_like(x_t) if encoded.prior is None else encoded.prior
        rest = x_t - t[cells.batch, None] * prior
        if not self.preset.preconditioned:
            return prior + self._network(rest, t, encoded, cells)
        scale_in, skip, scale_out = (scale[cells.batch] for scale in precondition(t, 2))
        return prior + skip * rest + scale_out * self._network(rest * scale_in, t, encoded, cells)

    def _network(self, x: Tensor, t: Tensor, encoded: EncodedTexture, cells: CellBatch) -> Tensor:
        time = F.silu(self.time(t))
        coarse = cells.coarser
        values = self.from_latent(x)
        if encoded.features is not None:
            values = values + encoded.features
        passed = []
        for block in self.enter:
            values = block(values, time, cells)
            passed.append(values)
        entered = self.down(pool_to_parents(cells, values), time, coarse)
        rows = entered + positions(coarse.coords, self.preset.width).to(entered.dtype)
        own, tokens = object_sequences(coarse), encoded.tokens
        theirs = even_sequences(*tokens.shape[:2], device=tokens.device)
        for block in self.blocks:
            rows = block(rows, time, own, tokens.flatten(0, 1), theirs)
        values = spread_to_children(cells, torch.cat([rows, entered], dim=1))
        values = self.up(values, time, cells)
        for block in self.leave:
            values = block(torch.cat([values, passed.pop()], dim=1), time, cells)
        velocity: Tensor = self.to_velocity(F.layer_norm(values, values.shape[1:]))
        return velocity


def texture_velocity(model: TextureFlow, condition: TextureCondition, cells: CellBatch) -> VelocityFn:
    """The model's velocities of packed latents (N, channels) under this condition, as ``sample`` calls them.

    Rows are cells: hand ``cells.batch`` to ``sample`` as their owners.
    """
    encoded = model.encode(condition, cells)
    everyone = torch.ones(cells.size, dtype=torch.bool, device=cells.coords.device)
    blind = model.without_photograph(encoded, everyone)

    def velocity(x_t: Tensor, t: float, conditioned: bool) -> Tensor:
        times = torch.full((cells.size,), t, device=x_t.device)
        found: Tensor = model(x_t, times, encoded if conditioned else blind, cells)
        return found

    return velocity


class _ResidualBlock(nn.Module):
    """Two sparse convolutions; the second is shifted and scaled by the time and adds nothing before training."""

    def __init__(self, width_in: int, width_out: int, time_width: int, reach: tuple[int, ...]) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width_in, eps=NORM_EPS)
        self.first = CellConv(width_in, width_out, reach=reach)
        self.modulation = nn.Linear(time_width, 2 * width_out)
        self.second = CellConv(width_out, width_out, reach=reach)
        nn.init.zeros_(self.second.linear.weight)
        nn.init.zeros_(self.second.linear.bias)
        self.skip = nn.Identity() if width_in == width_out else nn.Linear(width_in, width_out)

    def forward(self, values: Tensor, time: Tensor, cells: CellBatch) -> Tensor:
        scale, shift = self.modulation(time)[cells.batch].chunk(2, dim=-1)
        hidden = self.first(F.silu(self.norm(values)), cells)
        hidden = F.layer_norm(hidden, hidden.shape[1:], eps=NORM_EPS) * (1 + scale) + shift
        out: Tensor = self.skip(values) + self.second(F.silu(hidden), cells)
        return out


class _TrunkBlock(nn.Module):
    """Transformer block over packed cells: self-attention and MLP under adaLN, cross-attention to the photograph."""

    def __init__(self, preset: TexturePreset) -> None:
        super().__init__()
        width, heads = preset.width, preset.heads
        seen = width if preset.condition is None else preset.condition.width
        hidden = preset.mlp_ratio * width
        self.heads, self.gate_start = heads, preset.gate_start
        self.modulation = nn.Linear(width, 6 * width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.query_norm = HeadNorm(heads, width // heads)
        self.key_norm = HeadNorm(heads, width // heads)
        self.cross_norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.cross_query, self.cross_key_value = nn.Linear(width, width), nn.Linear(seen, 2 * width)
        self.cross_out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width)
        )
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(
        self, rows: Tensor, time: Tensor, own: Sequences, tokens: Tensor, theirs: Sequences
    ) -> Tensor:
        """``rows`` (P, C) of the objects ``own``, ``time`` (B, C), ``tokens`` (B T, X) cut by ``theirs``."""
        shift, scale, gate, shift2, scale2, gate2 = self.modulation(time)[own.owner].chunk(6, dim=-1)
        query, key, value = self._heads(self.qkv(_modulated(rows, shift, scale)), 3)
        mixed = attend_packed(self.query_norm(query), self.key_norm(key), value, own)
        rows = rows + (self.gate_start + gate) * self.out(mixed.flatten(1))
        (query,) = self._heads(self.cross_query(self.cross_norm(rows)), 1)
        key, value = self._heads(self.cross_key_value(tokens), 2)
        rows = rows + self.cross_out(attend_packed(query, key, value, own, key_sequences=theirs).flatten(1))
        moved: Tensor = rows + (self.gate_start + gate2) * self.mlp(_modulated(rows, shift2, scale2))
        return moved

    def _heads(self, values: Tensor, parts: int) -> tuple[Tensor, ...]:
        return values.view(len(values), parts, self.heads, -1).unbind(dim=1)


def _modulated(rows: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return F.layer_norm(rows, rows.shape[1:], eps=NORM_EPS) * (1 + scale) + shift
