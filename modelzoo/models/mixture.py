"""Two-stream mixture-of-transformers block: shape attends to shape only, layout to layout and to detached shape."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class StepEmbedding(nn.Module):
    """Embeds t (or step_size) in [0, 1], scaled by 1000, as sinusoids through a two-layer network."""

    frequencies: Tensor

    def __init__(self, width: int, *, zero: bool) -> None:
        super().__init__()
        first, last = nn.Linear(128, width), nn.Linear(width, width)
        if zero:
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        self.net = nn.Sequential(first, nn.SiLU(), last)
        self.register_buffer(
            "frequencies", torch.exp(-math.log(1e4) * torch.arange(64) / 64), persistent=False
        )

    def forward(self, value: Tensor) -> Tensor:
        angles = 1000.0 * value[:, None] * self.frequencies
        out: Tensor = self.net(torch.cat([angles.cos(), angles.sin()], dim=1))
        return out


class Stream(nn.Module):
    """One stream's own weights in one block: self-attention, cross-attention and MLP."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.query_gain = nn.Parameter(torch.ones(width // heads))
        self.key_gain = nn.Parameter(torch.ones(width // heads))
        self.cross_norm = nn.LayerNorm(width)
        self.cross_query, self.cross_key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.cross_out = nn.Linear(width, width)
        nn.init.zeros_(self.cross_out.weight)
        nn.init.zeros_(self.cross_out.bias)
        hidden = mlp_ratio * width
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width)
        )

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (B x heads x N x d), queries and keys RMS-normalised."""
        batch, count, width = x.shape
        query, key, value = self.qkv(x).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        size = (width // self.heads,)
        return (
            F.rms_norm(query, size, self.query_gain, 1e-6),
            F.rms_norm(key, size, self.key_gain, 1e-6),
            value,
        )

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        batch, _, count, _ = query.shape
        out: Tensor = self.out(
            F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch, count, -1)
        )
        return out

    def cross(self, x: Tensor, condition: Tensor) -> Tensor:
        batch, count, width = x.shape
        query = self.cross_query(self.cross_norm(x)).view(batch, count, self.heads, -1).transpose(1, 2)
        pairs = self.cross_key_value(condition).view(batch, condition.shape[1], 2, self.heads, -1)
        key, value = pairs.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.cross_out(mixed.transpose(1, 2).reshape(batch, count, width))
        return out


class MixtureBlock(nn.Module):
    """Both streams, one shared adaLN modulation; gradients of the layout never reach the shape stream."""

    def __init__(self, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.width = width
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        self.shape, self.layout = Stream(width, heads, mlp_ratio), Stream(width, heads, mlp_ratio)

    def forward(
        self, shape: Tensor, layout: Tensor, step: Tensor, condition: Tensor
    ) -> tuple[Tensor, Tensor]:
        parts = self.modulation(F.silu(step))[:, None].chunk(6, dim=-1)
        shift, scale, gate = parts[0], parts[1], parts[2]
        query, key, value = self.shape.project(self._modulated(shape, shift, scale))
        query_l, key_l, value_l = self.layout.project(self._modulated(layout, shift, scale))
        shape = shape + (1.0 + gate) * self.shape.attend(query, key, value)
        joint_key = torch.cat([key_l, key.detach()], dim=2)
        joint_value = torch.cat([value_l, value.detach()], dim=2)
        layout = layout + (1.0 + gate) * self.layout.attend(query_l, joint_key, joint_value)
        shape = shape + self.shape.cross(shape, condition)
        layout = layout + self.layout.cross(layout, condition)
        shift, scale, gate = parts[3], parts[4], parts[5]
        shape = shape + (1.0 + gate) * self.shape.mlp(self._modulated(shape, shift, scale))
        layout = layout + (1.0 + gate) * self.layout.mlp(self._modulated(layout, shift, scale))
        return shape, layout

    def _modulated(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return F.layer_norm(x, (self.width,)) * (1.0 + scale) + shift
