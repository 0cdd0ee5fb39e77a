"""A small U-Net from RGB to log-depth up to one scale, what is sky, and the focal length."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class DepthConfig:
    """Sizes of the depth net; it sees images whose longer side is ``view`` pixels."""

    view: int = 128
    widths: tuple[int, ...] = (24, 40, 64, 96, 128)


@dataclass(frozen=True, kw_only=True)
class DepthPrediction:
    """``log_depth`` and ``sky`` (logit), both (B, H, W); ``log_focal`` (B,) in units of the longer side."""

    log_depth: Tensor
    sky: Tensor
    log_focal: Tensor


class DepthNet(nn.Module):
    """Works at half the input's size and below; sides must be multiples of 2 ** len(widths)."""

    def __init__(self, config: DepthConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = nn.Conv2d(5, widths[0], 5, stride=2, padding=2)
        self.encode = nn.ModuleList([_Residual(width) for width in widths])
        self.down = nn.ModuleList([nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths)])
        self.up = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairwise(widths)])
        self.decode = nn.ModuleList([_Residual(width) for width in widths[:-1]])
        self.global_mix = nn.Linear(widths[-1], widths[-1])
        self.out = nn.Conv2d(widths[0], 2, 3, padding=1)
        self.focal = nn.Sequential(nn.Linear(widths[-1], 64), nn.SiLU(), nn.Linear(64, 1))

    @property
    def stride(self) -> int:
        return int(2 ** len(self.config.widths))

    def forward(self, image: Tensor) -> DepthPrediction:
        """``image`` (B, 3, H, W) in [-1, 1]."""
        batch, channels, height, width = image.shape
        assert channels == 3 and height % self.stride == 0 and width % self.stride == 0, image.shape
        # Rows tell the ground from the wall, so the net is told where each pixel is.
        v = (
            torch.linspace(-1, 1, height, device=image.device)
            .view(1, 1, height, 1)
            .expand(batch, 1, height, width)
        )
        u = (
            torch.linspace(-1, 1, width, device=image.device)
            .view(1, 1, 1, width)
            .expand(batch, 1, height, width)
        )
        x = self.stem(torch.cat([image, u, v], dim=1))
        skips = []
        for index, block in enumerate(self.encode):
            x = block(x if index == 0 else self.down[index - 1](x))
            skips.append(x)
        pooled = x.mean(dim=(2, 3))
        x = x + self.global_mix(pooled)[:, :, None, None]
        for index in reversed(range(len(self.decode))):
            x = F.interpolate(self.up[index](x), scale_factor=2, mode="bilinear", align_corners=False)
            x = self.decode[index](x + skips[index])
        full = F.interpolate(self.out(x), size=(height, width), mode="bilinear", align_corners=False)
        return DepthPrediction(log_depth=full[:, 0], sky=full[:, 1], log_focal=self.focal(pooled)[:, 0])


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.second(F.silu(self.first(F.silu(self.norm(x)))))
        return x + change
