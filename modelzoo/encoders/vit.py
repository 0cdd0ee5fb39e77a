"""A small vision transformer trained from scratch, for the image or the mask of crop and full view."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelzoo.presets import EmbedderPreset

CHANNELS = {"image": slice(0, 3), "mask": slice(3, 4)}


class VitEmbedder(nn.Module):
    """Patches and a class token through ``depth`` blocks; the same weights see the crop and the full view."""

    def __init__(self, preset: EmbedderPreset) -> None:
        super().__init__()
        if preset.reads not in CHANNELS:
            raise ValueError(f"a vit reads the image or the mask, not {preset.reads}")
        self.preset = preset
        self.channels = CHANNELS[preset.reads]
        width, count = preset.width, self.channels.stop - self.channels.start
        self.patches = nn.Conv2d(count, width, preset.patch, stride=preset.patch)
        self.class_token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.position = nn.Parameter(torch.randn(1, preset.tokens_per_view, width) * 0.02)
        self.blocks = nn.ModuleList(
            [TransformerBlock(width=width, heads=preset.heads, mlp_ratio=4) for _ in range(preset.depth)]
        )

    def forward(self, crop: Tensor, full: Tensor, box: Tensor) -> list[Tensor]:
        """B x 8 x S x S twice to tokens (B, n, width) of the crop and of the full view; ``box`` is not read."""
        views = torch.cat([crop, full])[:, self.channels]
        if views.shape[-1] != self.preset.size:
            views = F.interpolate(views, self.preset.size, mode="bilinear", antialias=True)
        tokens = self.patches(views).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], dim=1) + self.position
        for block in self.blocks:
            tokens = block(tokens)
        return list(tokens.chunk(2))


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and MLP."""

    def __init__(self, *, width: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp_ratio * width),
            nn.GELU(approximate="tanh"),
            nn.Linear(mlp_ratio * width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """B x N x width to the same."""
        batch, count, width = x.shape
        qkv = self.qkv(self.norm_attention(x)).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, count, width))
        out: Tensor = x + self.mlp(self.norm_mlp(x))
        return out
