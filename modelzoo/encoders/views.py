"""The small condition encoder: crop and full view (RGB, mask, normalised points, validity) to condition tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

VIEW_CHANNELS = 8  # RGB, mask, normalised xyz, point validity


class ViewEncoder(nn.Module):
    """A shared convolutional stem, then transformer blocks over crop tokens (8 x 8), full-view tokens (4 x 4), box."""

    def __init__(self, *, image_size: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        if image_size % 16:
            raise ValueError("image_size must be a multiple of 16")
        self.image_size = image_size
        self.grid = image_size // 8
        narrow, middle = max(8, width // 4), max(16, width // 2)
        self.stem = nn.Sequential(
            nn.Conv2d(VIEW_CHANNELS, narrow, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(narrow, middle, 3, stride=2, padding=1),
            nn.GELU(),
            _Residual(middle),
            nn.Conv2d(middle, width, 3, stride=2, padding=1),
        )
        self.crop_position = nn.Parameter(torch.randn(1, self.grid**2, width) * 0.02)
        self.full_position = nn.Parameter(torch.randn(1, (self.grid // 2) ** 2, width) * 0.02)
        self.box = nn.Sequential(nn.Linear(4, width), nn.GELU(), nn.Linear(width, width))
        self.blocks = nn.ModuleList([_Block(width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)

    @property
    def num_tokens(self) -> int:
        return self.grid**2 + (self.grid // 2) ** 2 + 1

    def forward(self, crop: Tensor, full: Tensor, box: Tensor) -> Tensor:
        """B x 8 x S x S twice and B x 4 (crop centre u, v, side, point map present) to B x tokens x width."""
        batch, size = crop.shape[0], self.image_size
        assert crop.shape == full.shape == (batch, VIEW_CHANNELS, size, size), (crop.shape, full.shape)
        assert box.shape == (batch, 4), box.shape
        near, far = self.stem(torch.cat([crop, full])).chunk(2)
        far = F.avg_pool2d(far, 2)
        tokens = torch.cat(
            [
                near.flatten(2).transpose(1, 2) + self.crop_position,
                far.flatten(2).transpose(1, 2) + self.full_position,
                self.box(box)[:, None],
            ],
            dim=1,
        )
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.norm(tokens)
        return out


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + F.gelu(self.conv(x))


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        qkv = self.qkv(self.norm_attention(x)).view(batch, count, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, count, width))
        out: Tensor = x + self.mlp(self.norm_mlp(x))
        return out
