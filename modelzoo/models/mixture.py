"""Two-stream mixture-of-transformers block: shape attends to shape only, layout to layout and to detached shape."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FREQUENCIES = 128

KeyValue = tuple[Tensor, Tensor]  # B x heads x T x d each


@dataclass(frozen=True, kw_only=True)
class BlockMemory:
    """What one block's streams look at in the condition: it does not change with t, so it is projected once."""

    shape: KeyValue
    layout: KeyValue


class StepEmbedding(nn.Module):
    """Embeds t (or step_size) in [0, 1], scaled by 1000, as 256 sinusoids through a two-layer network."""

    frequencies: Tensor

    def __init__(self, width: int, *, zero: bool) -> None:
        super().__init__()
        first, last = nn.Linear(2 * FREQUENCIES, width), nn.Linear(width, width)
        for layer in (first, last):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
        if zero:  # a step size then changes nothing until it is trained to
            nn.init.zeros_(last.weight)
        self.net = nn.Sequential(first, nn.SiLU(), last)
        self.register_buffer(
            "frequencies",
            torch.exp(-math.log(1e4) * torch.arange(FREQUENCIES) / FREQUENCIES),
            persistent=False,
        )

    def forward(self, value: Tensor) -> Tensor:
        """B numbers to B x width."""
        angles = 1000.0 * value[:, None] * self.frequencies
        out: Tensor = self.net(torch.cat([angles.cos(), angles.sin()], dim=1))
        return out


class Stream(nn.Module):
    """One stream's own weights in one block: self-attention, cross-attention and MLP."""

    def __init__(self, *, width: int, condition_width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.query_gain = nn.Parameter(torch.ones(heads, 1, width // heads))
        self.key_gain = nn.Parameter(torch.ones(heads, 1, width // heads))
        self.cross_norm = nn.LayerNorm(width)
        self.cross_query = nn.Linear(width, width)
        self.cross_key_value = nn.Linear(condition_width, 2 * width)
        self.cross_out = nn.Linear(width, width)
        hidden = mlp_ratio * width
        self.mlp = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(approximate="tanh"), nn.Linear(hidden, width)
        )
        for layer in (self.qkv, self.out, self.cross_query, self.cross_key_value, self.cross_out):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.cross_out.weight)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (B x heads x N x d), queries and keys RMS-normalised."""
        batch, count, width = x.shape
        query, key, value = self.qkv(x).view(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        size = (width // self.heads,)
        return (
            F.rms_norm(query, size, eps=1e-6) * self.query_gain,
            F.rms_norm(key, size, eps=1e-6) * self.key_gain,
            value,
        )

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Heads mixed back to B x N x width."""
        batch, _, count, _ = query.shape
        out: Tensor = self.out(
            F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch, count, -1)
        )
        return out

    def remember(self, condition: Tensor) -> KeyValue:
        """Keys and values of the condition (B x T x condition_width)."""
        batch, count = condition.shape[:2]
        pairs = self.cross_key_value(condition).view(batch, count, 2, self.heads, -1)
        key, value = pairs.permute(2, 0, 3, 1, 4)
        return key, value

    def cross(self, x: Tensor, remembered: KeyValue) -> Tensor:
        """What x (B x N x width) takes from the condition, whose keys and values are of B targets or of one."""
        batch, count, width = x.shape
        query = self.cross_query(self.cross_norm(x)).view(batch, count, self.heads, -1).transpose(1, 2)
        key, value = (one.expand(batch, -1, -1, -1) for one in remembered)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.cross_out(mixed.transpose(1, 2).reshape(batch, count, width))
        return out


class MixtureBlock(nn.Module):
    """Both streams under one shared adaLN modulation; gradients of the layout never reach the shape stream."""

    def __init__(
        self, *, width: int, condition_width: int, heads: int, mlp_ratio: int, gate_start: float
    ) -> None:
        super().__init__()
        self.width = width
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        with torch.no_grad():
            for gate in (2, 5):
                self.modulation.bias[gate * width : (gate + 1) * width].fill_(gate_start)
        self.shape, self.layout = (
            Stream(width=width, condition_width=condition_width, heads=heads, mlp_ratio=mlp_ratio)
            for _ in range(2)
        )

    def remember(self, condition: Tensor) -> BlockMemory:
        """Both streams' keys and values of the condition (B x T x condition_width)."""
        return BlockMemory(shape=self.shape.remember(condition), layout=self.layout.remember(condition))

    def forward(
        self, shape: Tensor, layout: Tensor, step: Tensor, memory: BlockMemory
    ) -> tuple[Tensor, Tensor]:
        """Shape tokens B x N x width and layout tokens B x M x width, one block on; ``step`` is B x width."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulation(F.silu(step))[:, None].chunk(
            6, dim=-1
        )
        query, key, value = self.shape.project(self._modulated(shape, shift, scale))
        query_l, key_l, value_l = self.layout.project(self._modulated(layout, shift, scale))
        shape = shape + gate * self.shape.attend(query, key, value)
        joint_key = torch.cat([key_l, key.detach()], dim=2)
        joint_value = torch.cat([value_l, value.detach()], dim=2)
        layout = layout + gate * self.layout.attend(query_l, joint_key, joint_value)
        shape = shape + self.shape.cross(shape, memory.shape)
        layout = layout + self.layout.cross(layout, memory.layout)
        shape = shape + mlp_gate * self.shape.mlp(self._modulated(shape, mlp_shift, mlp_scale))
        layout = layout + mlp_gate * self.layout.mlp(self._modulated(layout, mlp_shift, mlp_scale))
        return shape, layout

    def _modulated(self, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
        return F.layer_norm(x, (self.width,), eps=1e-6) * (1.0 + scale) + shift
