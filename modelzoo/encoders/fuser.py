"""Tokens of several embedders to one condition sequence: norm, SwiGLU projection, and where each token comes from."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class EmbedderFuser(nn.Module):
    """Projects each embedder's tokens to one width and marks crop and full view (sam3d facts 1.3)."""

    def __init__(self, widths: tuple[int, ...], width: int, *, groups: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList([_Projection(one, width) for one in widths])
        self.group_position = nn.Parameter(torch.randn(groups + 1, width) / math.sqrt(width))

    def forward(self, tokens: list[list[Tensor]], *, shown: list[Tensor | None]) -> Tensor:
        """``tokens[e][g]`` (B, n, widths[e]) of embedder e and group g, to (B, all n, width).

        ``shown[e]`` (B) scales the finished tokens of embedder e: 0 hides them, None shows them all.
        """
        assert len(tokens) == len(self.projections) == len(shown), (len(tokens), len(shown))
        fused = []
        for project, groups, share in zip(self.projections, tokens, shown, strict=True):
            for group, one in enumerate(groups):
                made = project(one) + self.group_position[group]
                fused.append(made if share is None else made * share[:, None, None])
        return torch.cat(fused, dim=1)


class _Projection(nn.Module):
    """LayerNorm and SwiGLU; the hidden width is 8/3 of the output's, rounded up to a multiple of 256 (or the width)."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        step = min(256, width)
        hidden = step * math.ceil(int(8 * width / 3) / step)
        self.norm = nn.LayerNorm(width_in)
        self.gate, self.value = (nn.Linear(width_in, hidden, bias=False) for _ in range(2))
        self.out = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        out: Tensor = self.out(F.silu(self.gate(x)) * self.value(x))
        return out
