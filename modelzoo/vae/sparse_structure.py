"""Occupancy autoencoder (sparse-structure VAE): a grid of 64^3 to a small latent grid and back to logits.

Dense 3-D residual convolutions with channel norms, strided down and shuffled up, as in TRELLIS (sam3d facts 2.1). Small
presets fold voxels into channels at the entry, so that no convolution runs at full resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from modelzoo.presets import StructurePreset


class SparseStructureVAE(nn.Module):
    """Encoder to mean and log variance, decoder to logits: positive means occupied."""

    def __init__(self, preset: StructurePreset) -> None:
        super().__init__()
        self.preset = preset
        self.encoder = _Encoder(preset)
        self.decoder = _Decoder(preset)

    def encode(self, occupancy: Tensor) -> tuple[Tensor, Tensor]:
        """Occupancy (B x R x R x R, 0 or 1) to latent mean and log variance (B x C x D x D x D)."""
        side = self.preset.resolution
        assert occupancy.shape[1:] == (side, side, side), occupancy.shape
        mean, log_variance = self.encoder(_fold(occupancy[:, None].float(), self.preset.fold)).chunk(2, dim=1)
        return mean, log_variance.clamp(-12.0, 6.0)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent (B x C x D x D x D) to occupancy logits (B x R x R x R)."""
        assert latent.shape[1:] == self.preset.latent_shape, latent.shape
        return _unfold(self.decoder(latent), self.preset.fold)[:, 0]


class _Encoder(nn.Module):
    def __init__(self, preset: StructurePreset) -> None:
        super().__init__()
        widths = preset.widths
        self.enter = _entry(preset.fold**3, widths[0], preset)
        levels: list[nn.Module] = []
        for index, width in enumerate(widths):
            levels += [_Residual(width) for _ in range(preset.blocks)]
            if index + 1 < len(widths):
                levels.append(nn.Conv3d(width, widths[index + 1], 2, stride=2))
        self.levels = nn.Sequential(*levels)
        self.middle = nn.Sequential(*[_Residual(widths[-1]) for _ in range(preset.middle_blocks)])
        self.norm = _ChannelNorm(widths[-1])
        self.leave = nn.Conv3d(widths[-1], 2 * preset.channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.leave(F.silu(self.norm(self.middle(self.levels(self.enter(x))))))
        return out


class _Decoder(nn.Module):
    def __init__(self, preset: StructurePreset) -> None:
        super().__init__()
        widths = preset.widths[::-1]
        self.enter = nn.Conv3d(preset.channels, widths[0], 3, padding=1)
        self.middle = nn.Sequential(*[_Residual(widths[0]) for _ in range(preset.middle_blocks)])
        levels: list[nn.Module] = []
        for index, width in enumerate(widths):
            levels += [_Residual(width) for _ in range(preset.blocks)]
            if index + 1 < len(widths):
                levels.append(_Rise(width, widths[index + 1]))
        self.levels = nn.Sequential(*levels)
        self.norm = _ChannelNorm(widths[-1])
        self.leave = _entry(widths[-1], preset.fold**3, preset)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.leave(F.silu(self.norm(self.levels(self.middle(self.enter(x))))))
        return out


def _entry(width_in: int, width: int, preset: StructurePreset) -> nn.Conv3d:
    """Folded voxels have seen their neighbours already: one cell wide there, three voxels wide at full resolution."""
    kernel = 3 if preset.fold == 1 else 1
    return nn.Conv3d(width_in, width, kernel, padding=kernel // 2)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = _ChannelNorm(width), _ChannelNorm(width)
        self.conv1, self.conv2 = (nn.Conv3d(width, width, 3, padding=1) for _ in range(2))
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)  # type: ignore[arg-type]  # there is one: bias=True

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return out


class _Rise(nn.Module):
    """Twice the resolution: a convolution to eight times the channels, shuffled into space."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(width, 8 * out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return _unfold(self.conv(x), 2)


class _ChannelNorm(nn.Module):
    """Layer norm over the channels of each voxel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        moved = F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias)
        return moved.movedim(-1, 1)


def _fold(x: Tensor, factor: int) -> Tensor:
    """(B, C, R, R, R) to (B, C factor^3, R/factor ...)."""
    if factor == 1:
        return x
    batch, channels, side = x.shape[:3]
    n = side // factor
    cut = x.view(batch, channels, n, factor, n, factor, n, factor).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return cut.reshape(batch, channels * factor**3, n, n, n)


def _unfold(x: Tensor, factor: int) -> Tensor:
    """(B, C factor^3, N, N, N) to (B, C, N factor ...): the inverse of ``_fold``."""
    if factor == 1:
        return x
    batch, channels, n = x.shape[:3]
    out = channels // factor**3
    cut = x.view(batch, out, factor, factor, factor, n, n, n).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return cut.reshape(batch, out, n * factor, n * factor, n * factor)
